"""SentencePiece's ``tokenizer.model``: read, made, and written again with more control pieces.

The messages are those of the sentencepiece package (src/sentencepiece_model.proto).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec

from midfill.weights.errors import CorruptModelError

if TYPE_CHECKING:
    from collections.abc import Iterable

PieceType = ModelProto.SentencePiece
"""Has the kinds as attributes: NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE."""
_BYTE = re.compile("<0x[0-9A-F]{2}>")


def read_model(serialized: bytes) -> ModelProto:
    """Parse a ``tokenizer.model``.

    Raises:
        CorruptModelError: these bytes are not one.
    """
    try:
        model = ModelProto.FromString(serialized)
    except DecodeError as error:
        raise _corrupt(serialized, str(error)) from error
    texts = [piece.piece for piece in model.pieces]
    # protobuf gives bytes for a string that is not UTF-8.
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise _corrupt(serialized, "no pieces, or some without text")
    if not all(_BYTE.fullmatch(p.piece) for p in model.pieces if p.type == PieceType.BYTE):
        raise _corrupt(serialized, "a piece for a byte that names none")
    return model


def new_model(*, dummy_space: bool) -> ModelProto:
    """A model without pieces, with the settings that leave a text as it is: BPE, bytes kept."""
    model = ModelProto()
    model.trainer_spec.model_type = TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.treat_whitespace_as_suffix = False
    model.normalizer_spec.add_dummy_prefix = dummy_space
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    return model


def add_piece(model: ModelProto, piece: str, kind: int, score: float = 0.0) -> None:
    """One more, with the next id."""
    model.pieces.add(piece=piece, score=score, type=kind)


def open_processor(serialized: bytes) -> SentencePieceProcessor:
    """What encodes by a ``tokenizer.model``.

    Raises:
        CorruptModelError: the library refuses it, for two equal pieces for example.
    """
    try:
        return SentencePieceProcessor(model_proto=serialized)
    except RuntimeError as error:
        raise _corrupt(serialized, str(error)) from error


def serialize(model: ModelProto, control_ids: Iterable[int]) -> bytes:
    """The file again, with these pieces as control ones and never a dummy space."""
    changed = ModelProto()
    changed.CopyFrom(model)
    changed.normalizer_spec.add_dummy_prefix = False
    for i in control_ids:
        changed.pieces[i].type = PieceType.CONTROL
    again: bytes = changed.SerializeToString()
    return again


def is_bpe(model: ModelProto) -> bool:
    """Whether pieces were found by merging, and not as a unigram language model."""
    found: bool = model.trainer_spec.model_type == TrainerSpec.BPE
    return found


def _corrupt(serialized: bytes, problem: str) -> CorruptModelError:
    return CorruptModelError(
        f"the SentencePiece model ({len(serialized)} bytes) is broken ({problem}); "
        "get tokenizer.model again"
    )
