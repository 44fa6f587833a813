"""SentencePiece's ``tokenizer.model``: read, and written again with more control pieces.

The file is one protocol buffer. Importing ``sentencepiece_model_pb2`` would tie midfill to one
release of the protobuf runtime for three messages, so the wire format is read here
(protobuf.dev/programming-guides/encoding). Field numbers, from
github.com/google/sentencepiece, src/sentencepiece_model.proto::

    ModelProto       1 pieces (repeated)   2 trainer_spec   3 normalizer_spec
    SentencePiece    1 piece   3 type
    TrainerSpec      3 model_type   24 treat_whitespace_as_suffix   35 byte_fallback
    NormalizerSpec   2 precompiled_charsmap   3 add_dummy_prefix
                     4 remove_extra_whitespaces   5 escape_whitespaces
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from midfill.weights.errors import CorruptModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECES, _TRAINER_SPEC, _NORMALIZER_SPEC = 1, 2, 3
_MODEL_TYPE_BPE = 2


class PieceType(IntEnum):
    """SentencePiece.Type."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """One entry of the vocabulary; its id is its place in the file."""

    text: str
    type: PieceType
    message: bytes
    """Serialized."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A ``tokenizer.model``, as far as midfill needs it."""

    pieces: tuple[Piece, ...]
    is_bpe: bool
    byte_fallback: bool
    whitespace_is_suffix: bool
    maps_characters: bool
    removes_whitespace: bool
    escapes_whitespace: bool
    adds_dummy_space: bool
    other_fields: bytes
    """All but the pieces, serialized."""

    def serialize(self, control_ids: frozenset[int]) -> bytes:
        """The file again, with these pieces as control ones and never a dummy space.

        A field that comes twice counts the last time, so the changes are appended.
        """
        messages = (
            piece.message + (_varint_field(3, PieceType.CONTROL) if i in control_ids else b"")
            for i, piece in enumerate(self.pieces)
        )
        pieces = b"".join(_bytes_field(_PIECES, message) for message in messages)
        return pieces + self.other_fields + _bytes_field(_NORMALIZER_SPEC, _varint_field(3, 0))


def read_model(serialized: bytes) -> ModelFile:
    """Parse a ``tokenizer.model``.

    Raises:
        CorruptModelError: these bytes are not one.
    """
    try:
        return _model(serialized)
    except (IndexError, KeyError, ValueError) as error:
        raise CorruptModelError(
            f"the SentencePiece model ({len(serialized)} bytes) is broken ({error}); "
            "get tokenizer.model again"
        ) from error


def _model(serialized: bytes) -> ModelFile:
    top = [(field.number, field) for field in _fields(serialized)]
    trainer = _message(b"".join(f.data for number, f in top if number == _TRAINER_SPEC))
    normalizer = _message(b"".join(f.data for number, f in top if number == _NORMALIZER_SPEC))
    pieces = tuple(_piece(f.data) for number, f in top if number == _PIECES)
    if not pieces:
        raise ValueError("no pieces")
    return ModelFile(
        pieces=pieces,
        is_bpe=_number(trainer, 3, 1) == _MODEL_TYPE_BPE,
        whitespace_is_suffix=bool(_number(trainer, 24, 0)),
        byte_fallback=bool(_number(trainer, 35, 0)),
        maps_characters=2 in normalizer and normalizer[2].data != b"",
        adds_dummy_space=bool(_number(normalizer, 3, 1)),
        removes_whitespace=bool(_number(normalizer, 4, 1)),
        escapes_whitespace=bool(_number(normalizer, 5, 1)),
        other_fields=b"".join(f.raw for number, f in top if number != _PIECES),
    )


def _piece(message: bytes) -> Piece:
    fields = _message(message)
    return Piece(fields[1].data.decode("utf-8"), PieceType(_number(fields, 3, 1)), message)


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    value: int
    """Of a varint."""
    data: bytes
    """Of everything else."""
    raw: bytes
    """Tag and all."""


def _message(data: bytes) -> dict[int, _Field]:
    return {field.number: field for field in _fields(data)}


def _number(message: dict[int, _Field], number: int, default: int) -> int:
    return message[number].value if number in message else default


def _fields(data: bytes) -> Iterator[_Field]:
    """Each field is a varint tag, ``number << 3 | wire type``, and a value of that type."""
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        kind, value, end = tag & 7, 0, at
        if kind == 0:
            value, end = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            end = at + size
        elif kind in _FIXED_SIZES:
            end = at + _FIXED_SIZES[kind]
        else:
            raise ValueError(f"wire type {kind} at byte {start}")
        if end > len(data):
            raise ValueError(f"cut off at byte {len(data)} of {end}")
        yield _Field(tag >> 3, value, data[at:end], data[start:end])
        at = end


_FIXED_SIZES = {1: 8, 5: 4}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, lowest first, the top bit set on all but the last."""
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


def _varint_bytes(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _varint_field(number: int, value: int) -> bytes:
    return _varint_bytes(number << 3) + _varint_bytes(value)


def _bytes_field(number: int, data: bytes) -> bytes:
    return _varint_bytes(number << 3 | 2) + _varint_bytes(len(data)) + data
