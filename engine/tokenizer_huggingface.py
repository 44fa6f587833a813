"""A Hugging Face ``tokenizer.json`` of byte-level BPE kind, read as a plain vocabulary.

Whatever would make its encoding differ from that vocabulary's is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from midfill.weights.architecture import BytePairVocabulary
from midfill.weights.errors import CorruptModelError, UnsupportedModelError

if TYPE_CHECKING:
    from midfill.weights.architecture import HuggingFaceTokenizer

# The steps of each pre-tokenizer, with the fields that matter, under llama.cpp's name for it.
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
_PRE_TOKENIZERS = {
    "gpt-2": [_BYTE_LEVEL],
    "smollm": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL],
}
# Settings of the model under which it merges differently, and the values that do not.
_PLAIN_MODEL = {
    "dropout": (None,),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
    "ignore_merges": (None, False),
}
_MARKER = re.compile(r"<.+>|\[.+\]", re.DOTALL)


def read_tokenizer_json(data: HuggingFaceTokenizer) -> BytePairVocabulary:
    """The vocabulary in a ``tokenizer.json``; its added tokens are the special ones.

    Raises:
        UnsupportedModelError: not byte-level BPE, or a setting that is not implemented.
        CorruptModelError: the file cannot be read, or lacks what every such file has.
    """
    try:
        document = json.loads(data.path.read_text(encoding="utf-8"))
        return _vocabulary(document, data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptModelError(
            f"{data.path} cannot be read as a tokenizer ({error!r}); get the file again"
        ) from error


def _vocabulary(document: dict[str, Any], data: HuggingFaceTokenizer) -> BytePairVocabulary:
    model, added = document["model"], document.get("added_tokens") or []
    _require_byte_level(document, data)
    ids: dict[str, int] = model["vocab"] | {entry["content"]: entry["id"] for entry in added}
    tokens = [""] * (max(ids.values()) + 1)
    for token, token_id in ids.items():
        tokens[token_id] = token
    unused = {token_id for token_id, token in enumerate(tokens) if not token}
    return BytePairVocabulary(
        tokens=tuple(tokens),
        merges=tuple(_merge(entry) for entry in model["merges"]),
        special=frozenset(entry["id"] for entry in added) | unused,
        pre_tokenizer=_pre_tokenizer_name(document.get("pre_tokenizer"), data),
        bos_id=data.bos_id,
        eos_ids=data.eos_ids,
    )


def _merge(entry: str | list[str]) -> tuple[str, str]:
    """A merge is written ``"a b"`` or, by newer releases, ``["a", "b"]``."""
    left, right = entry.split(" ") if isinstance(entry, str) else entry
    return left, right


def _require_byte_level(document: dict[str, Any], data: HuggingFaceTokenizer) -> None:
    model = document["model"]
    _require(data, "model type", model.get("type"), ("BPE",))
    _require(data, "normalizer", document.get("normalizer"), (None,))
    for setting, allowed in _PLAIN_MODEL.items():
        _require(data, setting, model.get(setting), allowed)
    for entry in document.get("added_tokens") or []:
        if not (entry.get("special") or _MARKER.fullmatch(entry["content"])):
            _require(data, "added token of plain text", entry["content"], ())


def _pre_tokenizer_name(step: dict[str, Any] | None, data: HuggingFaceTokenizer) -> str:
    steps = [_essence(s) for s in _flatten(step)]
    for name, known in _PRE_TOKENIZERS.items():
        if steps == known:
            return name
    raise _unsupported(data, "pre-tokenizer", step, tuple(_PRE_TOKENIZERS.values()))


def _flatten(step: dict[str, Any] | None) -> list[dict[str, Any]]:
    if step is None:
        return []
    if step["type"] == "Sequence":
        return [inner for part in step["pretokenizers"] for inner in _flatten(part)]
    return [step]


def _essence(step: dict[str, Any]) -> dict[str, Any]:
    """The step without what only concerns offsets; older files leave ``use_regex`` out."""
    essence = {key: value for key, value in step.items() if key != "trim_offsets"}
    return {"use_regex": True} | essence if step["type"] == "ByteLevel" else essence


def _require(
    data: HuggingFaceTokenizer, what: str, value: object, allowed: tuple[object, ...]
) -> None:
    if value not in allowed:
        raise _unsupported(data, what, value, allowed)


def _unsupported(
    data: HuggingFaceTokenizer, what: str, value: object, allowed: tuple[object, ...]
) -> UnsupportedModelError:
    known = " or ".join(map(repr, allowed)) or "absent"
    return UnsupportedModelError(
        f"{data.path}: the {what} is {value!r}; it must be {known}: use tokenizer.model if the "
        "model has one, or another model"
    )
