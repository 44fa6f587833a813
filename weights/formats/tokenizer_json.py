"""A ``tokenizer.json`` of byte-level BPE kind, read as a plain vocabulary and written from one.

Whatever would make its encoding differ from that vocabulary's is refused, but for Qwen's
normalization (NFC): text keeps its bytes here, as in llama.cpp. Source: the serialization of the
``tokenizers`` library.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from midfill.weights.architecture import IGNORES_MERGES, SPLITS, BytePairVocabulary
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.strict import Metadata, read_json

if TYPE_CHECKING:
    from pathlib import Path

# The steps of each of PRE_TOKENIZERS, with the fields that matter.
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_PRE_TOKENIZER_STEPS = {
    "gpt-2": [_BYTE_LEVEL],
    "smollm": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL],
} | {
    name: [
        {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": False},
        _BYTE_LEVEL | {"use_regex": False},
    ]
    for name, words in SPLITS.items()
}
# Settings of the model under which it merges differently, and the values that do not.
_PLAIN_MODEL: dict[str, tuple[object, ...]] = {
    "type": ("BPE",),
    "dropout": (None,),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
}
_MOST_IDS = 1 << 22
"""Far more than any vocabulary has; a list of them is made."""
_BROKEN = (
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    IndexError,
    OverflowError,
    RecursionError,
)
"""What reading a file raises where something else stands than is expected."""
_MARKER = re.compile(r"<.+>|\[.+\]", re.DOTALL)


def read_vocabulary(file: Path, config: Metadata, eos_ids: frozenset[int]) -> BytePairVocabulary:
    """The vocabulary of this file; its added tokens are the special ones.

    Args:
        file: A ``tokenizer.json``; ``add_bos_token`` of the ``tokenizer_config.json`` beside it has
            the last word on BOS, as in transformers.
        config: The model's; its ``bos_token_id`` goes before the post-processor's.
        eos_ids: The ids that end a text.

    Raises:
        UnsupportedModelError: not byte-level BPE, or a setting that is not implemented, or other
            special tokens than one in front are added.
        CorruptModelError: the file cannot be read, or lacks what every such file has.
    """
    tokenizer = read_json(file)
    try:
        pre_tokenizer = _pre_tokenizer_name(file, tokenizer["pre_tokenizer"])
        _check_encoding_is_plain(file, tokenizer, pre_tokenizer)
        in_front = _added_in_front(file, tokenizer)
        merges = tuple(_merge(entry) for entry in tokenizer["model"]["merges"])
        tokens, special = _tokens(tokenizer)
    except _BROKEN as error:
        raise CorruptModelError(
            f"{file} is not a whole tokenizer.json ({error!r}); get the file again"
        ) from error
    bos_id = _bos_id(file, config, in_front)
    return BytePairVocabulary(tokens, merges, special, pre_tokenizer, bos_id, eos_ids)


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
            {"id": token_id} | added_token(vocabulary.tokens[token_id])
            for token_id in sorted(vocabulary.special)
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
    for setting, allowed in _PLAIN_MODEL.items():
        _require(file, f"model's {setting}", tokenizer["model"].get(setting), allowed)
    ignoring: tuple[object, ...] = (True,) if rule in IGNORES_MERGES else (None, False)
    _require(file, "model's ignore_merges", tokenizer["model"].get("ignore_merges"), ignoring)
    normalizers = (None, {"type": "NFC"}) if rule.startswith("qwen") else (None,)
    _require(file, "normalizer", tokenizer["normalizer"], normalizers)
    for entry in tokenizer["added_tokens"]:
        if not (entry.get("special") or _MARKER.fullmatch(entry["content"])):
            _require(file, "added token of plain text", entry["content"], ())


def _require(file: Path, what: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise _unsupported(file, what, value, allowed)


def _unsupported(
    file: Path, what: str, value: object, allowed: tuple[object, ...]
) -> UnsupportedModelError:
    known = " or ".join(map(repr, allowed)) or "absent"
    return UnsupportedModelError(
        f"{file}: the {what} is {value!r}; it must be {known}: use tokenizer.model if the model "
        "has one, or another model"
    )


def _pre_tokenizer_name(file: Path, step: dict[str, Any] | None) -> str:
    steps = [_essence(inner) for inner in _steps(step, "pretokenizers")]
    for name, known in _PRE_TOKENIZER_STEPS.items():
        if steps == known:
            return name
    raise _unsupported(file, "pre-tokenizer", step, tuple(_PRE_TOKENIZER_STEPS.values()))


def _essence(step: dict[str, Any]) -> dict[str, Any]:
    """The step without what only concerns offsets; older files leave ``use_regex`` out."""
    essence = {key: value for key, value in step.items() if key != "trim_offsets"}
    return {"use_regex": True} | essence if step["type"] == "ByteLevel" else essence


def _merge(entry: str | list[str]) -> tuple[str, str]:
    """A merge is written ``"a b"`` or, by newer releases, ``["a", "b"]``."""
    left, right = entry.split(" ") if isinstance(entry, str) else entry
    return left, right


def _tokens(tokenizer: dict[str, Any]) -> tuple[tuple[str, ...], frozenset[int]]:
    """The tokens by id, and the special ids: the added ones and those that no token has."""
    added = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    ids: dict[str, int] = tokenizer["model"]["vocab"] | added
    wrong = [token_id for token_id in ids.values() if not _is_id(token_id)]
    if wrong:
        raise ValueError(f"ids go from 0 to {_MOST_IDS - 1}; {wrong[0]!r} is none")
    tokens = [""] * (max(ids.values()) + 1)
    for token, token_id in ids.items():
        tokens[token_id] = token
    unused = {token_id for token_id, token in enumerate(tokens) if not token}
    return tuple(tokens), frozenset(added.values()) | unused


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_IDS


def _steps(step: dict[str, Any] | None, parts: str) -> list[dict[str, Any]]:
    """The step, or the steps of a sequence of them."""
    if step is None:
        return []
    if step["type"] != "Sequence":
        return [step]
    return [inner for part in step[parts] for inner in _steps(part, parts)]


def _added_in_front(file: Path, tokenizer: dict[str, Any]) -> int | None:
    """The id that the post-processor adds, or None where it adds nothing.

    ``{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
    {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<s>": {"ids": [1]}}}``
    """
    ids: list[int] = []
    for step in _steps(tokenizer["post_processor"], "processors"):
        if step["type"] == "ByteLevel":
            continue
        pieces = step["single"] if step["type"] == "TemplateProcessing" else [{}]
        for piece in pieces:
            if "SpecialToken" in piece:
                ids += step["special_tokens"][piece["SpecialToken"]["id"]]["ids"]
        if "Sequence" not in pieces[-1] or len(ids) > 1:
            raise UnsupportedModelError(
                f"{file}: its post-processor {step['type']} adds more than one token in front, or "
                "others; midfill implements one at most"
            )
    return ids[0] if ids else None


def _bos_id(file: Path, config: Metadata, in_front: int | None) -> int | None:
    settings_file = file.with_name("tokenizer_config.json")
    settings = Metadata(settings_file, read_json(settings_file) if settings_file.is_file() else {})
    if settings.flag("add_bos_token", default=in_front is not None):
        return config.integer("bos_token_id", in_front, minimum=0)
    return None
