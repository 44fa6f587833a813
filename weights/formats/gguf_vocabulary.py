"""The tokenizer of a GGUF file, as data: byte-level BPE, or SentencePiece from its lists.

A file with ``tokenizer.ggml.model = llama`` has what a ``tokenizer.model`` has, in three lists:
tokens, scores and types, whose numbers are SentencePiece's own. Source: llama.cpp's converter
(``SentencePieceProcessor``'s pieces, with U+2581 for a space and ``<0x0A>`` for a byte).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.weights.architecture import BytePairVocabulary, SentencePieceModel
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.gguf_metadata import DUMMY_SPACE, SAME_RULES
from midfill.weights.formats.tokenizer.roles import steers

if TYPE_CHECKING:
    from midfill.weights.architecture import TokenizerData
    from midfill.weights.formats.strict import Metadata

END_OF_TEXT_NAMES = frozenset({"<|endoftext|>", "<|im_end|>"})
"""Control tokens that end a text, whatever the file declares as its end."""

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Token types (``gguf.TokenType``)."""


def read_vocabulary(metadata: Metadata, vocab_size: int) -> TokenizerData:
    """The tokenizer of a file that passed ``check_kind``, as data.

    Args:
        metadata: The file's.
        vocab_size: The rows of the embedding; there may be more of them than tokens.

    Raises:
        CorruptModelError: the tokenizer's lists do not fit together or with the embedding.
        UnsupportedModelError: a token is of a type that is not implemented.
    """
    tokens = metadata.texts("tokenizer.ggml.tokens")
    types = metadata.integers("tokenizer.ggml.token_type")
    if not len(types) == len(tokens) <= vocab_size:
        raise CorruptModelError(
            f"{metadata.origin}: {len(tokens)} tokens, {len(types)} token types and an embedding "
            f"of {vocab_size} rows do not fit together"
        )
    if metadata.text("tokenizer.ggml.model") == "llama":
        return _sentencepiece(metadata, tokens, types)
    whole = _whole_characters(metadata, tokens, types)
    special = frozenset(index for index, kind in enumerate(types) if kind != NORMAL) - whole
    named = metadata.text("tokenizer.ggml.pre")
    rule = SAME_RULES.get(named, named)
    return BytePairVocabulary(
        tokens=tuple(tokens),
        merges=_merges(metadata),
        special=special,
        pre_tokenizer=rule,
        bos_id=_bos_id(metadata, len(tokens), default=rule == "llama-bpe"),
        eos_ids=_eos_ids(metadata, tokens, special),
        whole_characters=whole,
    )


def _sentencepiece(metadata: Metadata, tokens: list[str], types: list[int]) -> SentencePieceModel:
    """The lists as a serialized ``tokenizer.model``; what steers or means nothing is a control."""
    from midfill.weights.formats.tokenizer.sentencepiece_file import add_piece, new_model

    scores = metadata.numbers("tokenizer.ggml.scores")
    if len(scores) != len(tokens) or not set(types) <= {*range(1, 7)}:
        raise CorruptModelError(
            f"{metadata.origin}: {len(tokens)} tokens, {len(scores)} scores and the token types"
            f" {sorted(set(types))} do not fit together"
        )
    model = new_model(dummy_space=metadata.flag(DUMMY_SPACE, default=True))
    model.trainer_spec.byte_fallback = BYTE in types
    for index, (token, score, kind) in enumerate(zip(tokens, scores, types, strict=True)):
        is_control = kind == UNUSED or (kind == USER_DEFINED and steers(token)) or not token
        name = token.replace(" ", "\u2581") or f"<unused {index}>"
        add_piece(model, name, CONTROL if is_control else kind, score)
    bos_id = _token_id(metadata, "tokenizer.ggml.bos_token_id", len(tokens), default=1)
    has_bos = metadata.flag("tokenizer.ggml.add_bos_token", default=True)
    special = frozenset(i for i, kind in enumerate(types) if kind in (CONTROL, USER_DEFINED))
    return SentencePieceModel(
        model.SerializeToString(),
        bos_id if has_bos else None,
        _eos_ids(metadata, tokens, special, default=2),
    )


def _whole_characters(metadata: Metadata, tokens: list[str], types: list[int]) -> frozenset[int]:
    """Ids of single characters that were added as they are.

    Raises:
        UnsupportedModelError: there are longer tokens of that kind, or other kinds.
    """
    added = [
        index
        for index, kind in enumerate(types)
        if kind not in (NORMAL, UNKNOWN, CONTROL, UNUSED)
        and not (kind == USER_DEFINED and steers(tokens[index]))
    ]
    odd = [index for index in added if types[index] != USER_DEFINED or len(tokens[index]) != 1]
    if odd:
        raise UnsupportedModelError(
            f"{metadata.origin}: the token {tokens[odd[0]]!r} has the type {types[odd[0]]}, which "
            "midfill does not implement; use the model's Hugging Face folder"
        )
    return frozenset(added)


def _merges(metadata: Metadata) -> tuple[tuple[str, str], ...]:
    merges = []
    for merge in metadata.texts("tokenizer.ggml.merges"):
        left, space, right = merge.partition(" ")
        if not (left and space and right) or " " in right:
            raise CorruptModelError(f"{metadata.origin}: the merge {merge!r} is not two tokens")
        merges.append((left, right))
    return tuple(merges)


def _token_id(metadata: Metadata, key: str, tokens: int, default: int | None = None) -> int:
    value = metadata.integer(key, default, minimum=0)
    if value >= tokens:
        raise CorruptModelError(f"{metadata.origin}: {key} is {value}; ids end at {tokens - 1}")
    return value


def _bos_id(metadata: Metadata, tokens: int, *, default: bool) -> int | None:
    """None unless the file asks for it; where it is silent, Llama 3 has one, as in llama.cpp."""
    if not metadata.flag("tokenizer.ggml.add_bos_token", default=default):
        return None
    return _token_id(metadata, "tokenizer.ggml.bos_token_id", tokens)


def _eos_ids(
    metadata: Metadata, tokens: list[str], special: frozenset[int], default: int | None = None
) -> frozenset[int]:
    keys = [f"tokenizer.ggml.{end}_token_id" for end in ("eos", "eot", "eom")]
    declared = {_token_id(metadata, key, len(tokens)) for key in keys if key in metadata}
    if not declared and default is not None:
        declared = {default}
    return frozenset(declared | {i for i in special if tokens[i] in END_OF_TEXT_NAMES})
