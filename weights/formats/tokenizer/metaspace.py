"""A ``tokenizer.json`` that was made from a SentencePiece model: BPE on characters, or bytes.

transformers 4 and 5 write it for Llama, Code Llama, Mistral and Gemma, the newer one instead of the
``tokenizer.model``. It has the pieces, and merges in place of their scores.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from midfill.weights.architecture import SentencePieceModel
from midfill.weights.formats.strict import reading
from midfill.weights.formats.tokenizer.json_file import (
    added_in_front,
    bos_id_of,
    check_merging,
    merges_of,
    plain_ids_of,
    require,
    special_ids_of,
    steps,
    tokens_of,
    unsupported,
)
from midfill.weights.formats.tokenizer.sentencepiece_file import PieceType, add_piece, new_model

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.formats.strict import Metadata

_SPACE = "\u2581"
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_PREPEND = {"type": "Prepend", "prepend": _SPACE}
_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
_AT_BLANKS = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious"}
"""Does nothing where blanks are replaced."""
_METASPACE = {"type": "Metaspace", "replacement": _SPACE, "split": False}
_SCHEMES = ("always", "first", "never")


def read_pieces(
    file: Path, tokenizer: dict[str, Any], config: Metadata, eos_ids: frozenset[int]
) -> SentencePieceModel:
    """The pieces of this file, with its merges.

    Args:
        file: A ``tokenizer.json``.
        tokenizer: What it holds.
        config: The model's; its ``bos_token_id`` goes before the post-processor's.
        eos_ids: The ids that end a text.

    Raises:
        UnsupportedModelError: a setting that is not implemented.
        CorruptModelError: it lacks what every such file has.
    """
    with reading(file):
        check_merging(file, tokenizer, byte_fallback=True)
        ignoring = tokenizer["model"].get("ignore_merges")
        require(file, "model's ignore_merges", ignoring, (None, False))
        has_dummy, before_blank = _dummy_space(file, tokenizer)
        _check_added(file, tokenizer, repeats_dummy=before_blank and has_dummy)
        return SentencePieceModel(
            _serialized(tokenizer, has_dummy=has_dummy),
            bos_id_of(file, config, added_in_front(file, tokenizer)),
            eos_ids,
            merges_of(tokenizer),
            dummy_before_blank=before_blank,
        )


def _dummy_space(file: Path, tokenizer: dict[str, Any]) -> tuple[bool, bool]:
    """Whether texts get a dummy space, and whether those that begin with a space get one too."""
    normalizers = steps(tokenizer["normalizer"], "normalizers")
    words = steps(tokenizer["pre_tokenizer"], "pretokenizers")
    if [_without(step, "invert") for step in words] in ([], [_AT_BLANKS]):
        known = ([_PREPEND, _REPLACE], [_REPLACE])
        require(file, "normalizer", normalizers, known)
        return _PREPEND in normalizers, True
    scheme = words[0].get("prepend_scheme")
    if [_without(step, "prepend_scheme") for step in words] != [_METASPACE] or normalizers:
        raise unsupported(file, "pre-tokenizer", words, (_METASPACE,))
    require(file, "prepend_scheme", scheme, _SCHEMES)
    return scheme != "never", False


def _without(step: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in step.items() if key != name}


def _check_added(file: Path, tokenizer: dict[str, Any], *, repeats_dummy: bool) -> None:
    """Refuse added tokens of text that are looked for in another text than the user's."""
    plain = plain_ids_of(tokenizer)
    for entry in tokenizer["added_tokens"]:
        flags = {"single_word", "lstrip", "rstrip"} | ({"normalized"} if repeats_dummy else set())
        is_odd = " " in entry["content"] or any(entry.get(flag) for flag in flags)
        if entry["id"] in plain and is_odd:
            require(file, "added token of plain text", entry, ())


def _serialized(tokenizer: dict[str, Any], *, has_dummy: bool) -> bytes:
    """A ``tokenizer.model`` with these pieces, scored by rank."""
    tokens = tokens_of(tokenizer)
    special, plain = special_ids_of(tokenizer, tokens), plain_ids_of(tokenizer)
    unknown = tokenizer["model"].get("unk_token") or "<unk>"
    scores: dict[str, float] = {}
    for rank, (left, right) in enumerate(merges_of(tokenizer)):
        scores.setdefault(left + right, -float(rank))
    model = new_model(dummy_space=has_dummy)
    for token_id, token in enumerate(tokens):
        kind = PieceType.NORMAL
        if token == unknown:
            kind = PieceType.UNKNOWN
        elif token_id in special:
            kind = PieceType.CONTROL
        elif token_id in plain:
            kind = PieceType.USER_DEFINED
        elif _BYTE.fullmatch(token):
            kind = PieceType.BYTE
        add_piece(
            model, token or f"<unused {token_id}>", kind, scores.get(token, -float(len(scores)))
        )
    serialized: bytes = model.SerializeToString()
    return serialized
