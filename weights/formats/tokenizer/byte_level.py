"""A ``tokenizer.json`` of byte-level BPE kind, read as a plain vocabulary and written from one.

Whatever would make its encoding differ from that vocabulary's is refused, but for Qwen's
normalization (NFC): text keeps its bytes here, as in llama.cpp. Source: the serialization of the
``tokenizers`` library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midfill.weights.architecture import BytePairVocabulary
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
from midfill.weights.formats.tokenizer.splits import (
    IGNORES_MERGES,
    PRE_TOKENIZERS,
    SINGLE_DIGITS,
    SPLITS,
)

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.formats.strict import Metadata

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


def _rule_steps(name: str) -> list[dict[str, Any]]:
    """The steps of one of PRE_TOKENIZERS, with the fields that matter."""
    split = {"type": "Split", "behavior": "Isolated", "invert": False}
    expressions = SPLITS.get(name, ())
    return [
        *(split | {"pattern": {"Regex": expression}} for expression in expressions),
        *([{"type": "Digits", "individual_digits": True}] if name in SINGLE_DIGITS else []),
        _BYTE_LEVEL | {"use_regex": not expressions},
    ]


_PRE_TOKENIZER_STEPS = {name: _rule_steps(name) for name in sorted(PRE_TOKENIZERS)}


def read_vocabulary(
    file: Path, tokenizer: dict[str, Any], config: Metadata, eos_ids: frozenset[int]
) -> BytePairVocabulary:
    """The vocabulary of this file; added tokens are special, but for characters as they are.

    Args:
        file: A ``tokenizer.json``; ``add_bos_token`` of the ``tokenizer_config.json`` beside it has
            the last word on BOS, as in transformers.
        tokenizer: What it holds.
        config: The model's; its ``bos_token_id`` goes before the post-processor's.
        eos_ids: The ids that end a text.

    Raises:
        UnsupportedModelError: a setting that is not implemented, or other special tokens than one
            in front are added.
        CorruptModelError: it lacks what every such file has.
    """
    with reading(file):
        pre_tokenizer = _pre_tokenizer_name(file, tokenizer["pre_tokenizer"])
        _check_encoding_is_plain(file, tokenizer, pre_tokenizer)
        tokens = tokens_of(tokenizer)
        return BytePairVocabulary(
            tokens,
            merges_of(tokenizer),
            special_ids_of(tokenizer, tokens),
            pre_tokenizer,
            bos_id_of(file, config, added_in_front(file, tokenizer)),
            eos_ids,
            plain_ids_of(tokenizer),
        )


def to_json(vocabulary: BytePairVocabulary) -> dict[str, object]:
    """What the ``tokenizers`` library writes for such a vocabulary: its special tokens are added.

    A token's name in user text becomes the token there, as it is usual in that library.
    """
    steps = _PRE_TOKENIZER_STEPS[vocabulary.pre_tokenizer]
    vocab = {token: token_id for token_id, token in enumerate(vocabulary.tokens) if token}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token_id}
            | added_token(vocabulary.tokens[token_id])
            | {"special": token_id in vocabulary.special}
            for token_id in sorted(vocabulary.special | vocabulary.whole_characters)
            if vocabulary.tokens[token_id]
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [_whole(step) for step in steps]},
        "post_processor": _bos_in_front(vocabulary),
        "decoder": _whole(_BYTE_LEVEL),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": vocabulary.pre_tokenizer in IGNORES_MERGES,
            "vocab": vocab,
            "merges": [list(merge) for merge in vocabulary.merges],
        },
    }


def added_token(content: str) -> dict[str, object]:
    """A special token as it stands in both of a tokenizer's files."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"content": content, **flags, "special": True}


def _whole(step: dict[str, Any]) -> dict[str, Any]:
    return step | ({"trim_offsets": True} if step["type"] == "ByteLevel" else {})


def _bos_in_front(vocabulary: BytePairVocabulary) -> dict[str, object] | None:
    if vocabulary.bos_id is None:
        return None
    bos = vocabulary.tokens[vocabulary.bos_id]
    text, added = {"Sequence": {"id": "A", "type_id": 0}}, {"id": bos, "type_id": 0}
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": added}, text],
        "pair": [{"SpecialToken": added}, text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {bos: {"id": bos, "ids": [vocabulary.bos_id], "tokens": [bos]}},
    }


def _check_encoding_is_plain(file: Path, tokenizer: dict[str, Any], rule: str) -> None:
    check_merging(file, tokenizer, byte_fallback=False)
    ignoring: tuple[object, ...] = (True,) if rule in IGNORES_MERGES else (None, False)
    require(file, "model's ignore_merges", tokenizer["model"].get("ignore_merges"), ignoring)
    if steps(tokenizer["normalizer"], "normalizers"):
        normalizers = ({"type": "NFC"},) if rule.startswith("qwen") else (None,)
        require(file, "normalizer", tokenizer["normalizer"], normalizers)
    plain = plain_ids_of(tokenizer)
    for entry in tokenizer["added_tokens"]:
        if entry["id"] in plain and len(entry["content"]) != 1:
            require(file, "added token of plain text", entry["content"], ())


def _pre_tokenizer_name(file: Path, step: dict[str, Any] | None) -> str:
    found = [_essence(inner) for inner in steps(step, "pretokenizers")]
    for name, known in _PRE_TOKENIZER_STEPS.items():
        if found == known:
            return name
    raise unsupported(file, "pre-tokenizer", step, tuple(_PRE_TOKENIZER_STEPS.values()))


def _essence(step: dict[str, Any]) -> dict[str, Any]:
    """The step without what only concerns offsets; older files leave ``use_regex`` out."""
    essence = {key: value for key, value in step.items() if key != "trim_offsets"}
    return {"use_regex": True} | essence if step["type"] == "ByteLevel" else essence
