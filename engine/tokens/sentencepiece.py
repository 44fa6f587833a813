"""SentencePiece BPE with byte fallback, as in the Llama and Code Llama families.

Pieces are merged by their scores, or by the merges of a ``tokenizer.json``, each in the library
that such a file is for. Two things differ from these, both so that user text stays text, byte for
byte:

- Code Llama's infilling markers are ordinary pieces in its ``tokenizer.model``, so its own
  processor turns a typed `` <PRE>`` into the marker. Here they are control pieces, which no text is
  encoded to.
- SentencePiece writes a space as U+2581, and so reads a typed U+2581 as a space. Here a typed one
  goes by byte fallback.

The processor never adds its dummy space; ``encode`` puts a real one in front, which is the same.
Without it, a text is encoded as Code Llama's reference does by putting "☺" in front and dropping
its two tokens: no piece joins "☺" with another character.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import tokenizers
from tokenizers import models, normalizers

from midfill.engine.tokens.vocabulary import Vocabulary, replace_surrogates
from midfill.weights.errors import UnsupportedModelError
from midfill.weights.formats.tokenizer.roles import steers
from midfill.weights.formats.tokenizer.sentencepiece_file import (
    PieceType,
    is_bpe,
    open_processor,
    read_model,
    serialize,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from sentencepiece.sentencepiece_model_pb2 import ModelProto

    from midfill.weights.architecture import SentencePieceModel

_SPACE = "\u2581"
_MARKERS = ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>")


class SentencePieceTokenizer(Vocabulary):
    """A Tokenizer from a ``tokenizer.model``.

    Raises:
        CorruptModelError: the file cannot be read.
        UnsupportedModelError: its encoding would not be exact on bytes.
    """

    def __init__(self, data: SentencePieceModel) -> None:
        model = read_model(data.serialized)
        _require_exact(model)
        special = {i: piece.piece for i, piece in enumerate(model.pieces) if _is_special(piece)}
        super().__init__(
            [b"" if i in special else _bytes_of(piece) for i, piece in enumerate(model.pieces)],
            special,
            data.bos_id,
            data.eos_ids,
        )
        self._dummy_space = " " if model.normalizer_spec.add_dummy_prefix else ""
        self._typed_escape = [_byte_ids(model)[byte] for byte in _SPACE.encode()]
        self._joined = _joined_pairs(model, special.keys())
        self._extended = {pair[0] for pair in self._joined}
        self._dummy_before_blank = data.dummy_before_blank
        self._encode: Callable[[str], list[int]] = (
            open_processor(serialize(model, special)).encode
            if data.merges is None
            else _merging(model, special.keys(), data.merges)
        )

    def encode(self, text: str, *, leading_space: bool = True) -> list[int]:
        """The ids of user text; see the Tokenizer protocol."""
        if not text:
            return []
        has_dummy = leading_space and (self._dummy_before_blank or text[0] != " ")
        space = self._dummy_space if has_dummy else ""
        first, *others = (space + replace_surrogates(text)).split(_SPACE)
        ids = self._encode(first)
        for part in others:
            ids += self._typed_escape + self._encode(part)
        return ids

    def stable_length(self, text: str, ids: list[int]) -> int:
        """How many leading ids no further text could change: those before the last seam.

        Merging knows no words: it joins any two neighbours whose concatenation is a piece. So two
        characters that are neighbours in no piece are a seam, and what is left and right of it is
        encoded independently.
        """
        text = replace_surrogates(text)
        seam = len(text)
        if text and text[-1] in self._extended:
            seam -= 1
            while seam and text[seam - 1 : seam + 1] in self._joined:
                seam -= 1
        if not seam:
            return 0
        return len(ids) - len(self.encode(text[seam:], leading_space=False))


def _merging(
    model: ModelProto, special: Container[int], merges: tuple[tuple[str, str], ...]
) -> Callable[[str], list[int]]:
    """What encodes by merges; those of special pieces are left out, so no text becomes one."""
    known = {piece.piece for piece in model.pieces}
    missing = [(a, b) for a, b in merges if not {a, b, a + b} <= known]
    if missing:
        raise UnsupportedModelError(
            f"the merge of {missing[0]} makes or needs a piece that is missing; use another model"
        )
    plain = {piece.piece: i for i, piece in enumerate(model.pieces) if i not in special}
    kept = [(a, b) for a, b in merges if {a, b, a + b} <= plain.keys()]
    merging = tokenizers.Tokenizer(
        models.BPE(vocab=plain, merges=kept, byte_fallback=True, fuse_unk=True)
    )
    merging.normalizer = normalizers.Replace(" ", _SPACE)
    added = [p.piece for p in model.pieces if p.type == PieceType.USER_DEFINED and p.piece in plain]
    merging.add_tokens([tokenizers.AddedToken(each, normalized=False) for each in added])
    return lambda text: list(merging.encode(text, add_special_tokens=False).ids)


def _require_exact(model: ModelProto) -> None:
    """Refuse what would change the user's text, or what no rule here covers."""
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    odd = [p.piece for p in model.pieces if p.type == PieceType.UNUSED and not _is_special(p)]
    spaces = [p for p in model.pieces if p.piece == _SPACE and p.type == PieceType.NORMAL]
    problems = {
        "is not of type BPE": not is_bpe(model),
        "has no byte fallback": not trainer.byte_fallback or len(_byte_ids(model)) != 256,
        "maps characters (its normalization is not identity)": normalizer.precompiled_charsmap
        != b"",
        "removes extra whitespace": normalizer.remove_extra_whitespaces,
        "has no piece for a space, which would become U+2581": not spaces,
        "does not escape whitespace": not normalizer.escape_whitespaces,
        "treats whitespace as a suffix": trainer.treat_whitespace_as_suffix,
        f"has unused pieces such as {odd[:3]}": bool(odd),
    }
    for problem, found in problems.items():
        if found:
            raise UnsupportedModelError(
                f"the SentencePiece model {problem}; midfill needs BPE with byte fallback that "
                "leaves text as it is, like Llama's: use such a model"
            )


def _is_special(piece: ModelProto.SentencePiece) -> bool:
    """Whether no text may be encoded to it; Code Llama also has chains such as ▁<EOT><EOT>."""
    by_type = piece.type in (PieceType.CONTROL, PieceType.UNKNOWN)
    is_added = piece.type == PieceType.USER_DEFINED
    return by_type or piece.piece.startswith(_MARKERS) or (is_added and steers(piece.piece))


def _byte_ids(model: ModelProto) -> dict[int, int]:
    """Ids of the byte-fallback pieces, which read ``<0x0A>``, by byte."""
    pieces = enumerate(model.pieces)
    return {_bytes_of(piece)[0]: i for i, piece in pieces if piece.type == PieceType.BYTE}


def _bytes_of(piece: ModelProto.SentencePiece) -> bytes:
    if piece.type == PieceType.BYTE:
        return bytes([int(piece.piece[3:-1], 16)])
    text: str = piece.piece
    return text.replace(_SPACE, " ").encode()


def _joined_pairs(model: ModelProto, special: Container[int]) -> frozenset[str]:
    """All pairs of characters that stand side by side in some piece of text."""
    texts = (
        piece.piece.replace(_SPACE, " ")
        for i, piece in enumerate(model.pieces)
        if piece.type in (PieceType.NORMAL, PieceType.USER_DEFINED) and i not in special
    )
    return frozenset(a + b for text in texts for a, b in pairwise(text))
