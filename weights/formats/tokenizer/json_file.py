"""What all ``tokenizer.json`` files have, whatever their kind: steps, tokens, what is in front.

Source: the serialization of the ``tokenizers`` library. Where something else stands than is
expected, any of ``strict.reading``'s errors is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midfill.weights.errors import UnsupportedModelError
from midfill.weights.formats.strict import Metadata, read_json
from midfill.weights.formats.tokenizer.roles import steers

if TYPE_CHECKING:
    from pathlib import Path

# Settings of the model under which it merges differently, and the values that do not.
_PLAIN_MODEL: dict[str, tuple[object, ...]] = {
    "type": ("BPE",),
    "dropout": (None,),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
}
_MOST_IDS = 1 << 22
"""Far more than any vocabulary has; a list of them is made."""


def check_merging(file: Path, tokenizer: dict[str, Any], *, byte_fallback: bool) -> None:
    """Refuse settings of the model under which it merges in another way.

    Raises:
        UnsupportedModelError: naming the setting and its value.
    """
    bytes_: tuple[object, ...] = (True,) if byte_fallback else (None, False)
    for setting, allowed in (_PLAIN_MODEL | {"byte_fallback": bytes_}).items():
        require(file, f"model's {setting}", tokenizer["model"].get(setting), allowed)


def require(file: Path, what: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuse a value that is not among the allowed ones.

    Raises:
        UnsupportedModelError: naming both.
    """
    if value not in allowed:
        raise unsupported(file, what, value, allowed)


def unsupported(
    file: Path, what: str, value: object, allowed: tuple[object, ...]
) -> UnsupportedModelError:
    """The error for a value that is not among the allowed ones."""
    known = " or ".join(map(repr, allowed)) or "absent"
    return UnsupportedModelError(
        f"{file}: the {what} is {value!r}; it must be {known}: use tokenizer.model if the model "
        "has one, or another model"
    )


def steps(step: dict[str, Any] | None, parts: str) -> list[dict[str, Any]]:
    """The step, or the steps of a sequence of them."""
    if step is None:
        return []
    if step["type"] != "Sequence":
        return [step]
    return [inner for part in step[parts] for inner in steps(part, parts)]


def merges_of(tokenizer: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Pairs of tokens, in order of rank."""
    return tuple(map(_merge, tokenizer["model"]["merges"]))


def _merge(entry: str | list[str]) -> tuple[str, str]:
    """A merge is written ``"a b"`` or, by newer releases, ``["a", "b"]``."""
    left, right = entry.split(" ") if isinstance(entry, str) else entry
    return left, right


def tokens_of(tokenizer: dict[str, Any]) -> tuple[str, ...]:
    """All tokens by id, added ones too; empty for ids that none has."""
    added = {entry["content"]: entry["id"] for entry in tokenizer["added_tokens"]}
    ids: dict[str, int] = tokenizer["model"]["vocab"] | added
    wrong = [token_id for token_id in ids.values() if not _is_id(token_id)]
    if wrong:
        raise ValueError(f"ids go from 0 to {_MOST_IDS - 1}; {wrong[0]!r} is none")
    tokens = [""] * (max(ids.values()) + 1)
    for token, token_id in ids.items():
        tokens[token_id] = token
    return tuple(tokens)


def plain_ids_of(tokenizer: dict[str, Any]) -> frozenset[int]:
    """The ids of added tokens that are text and not for the model only."""
    return frozenset(
        entry["id"]
        for entry in tokenizer["added_tokens"]
        if not (entry.get("special") or steers(entry["content"]))
    )


def special_ids_of(tokenizer: dict[str, Any], tokens: tuple[str, ...]) -> frozenset[int]:
    """The ids of the other added tokens, and those that no token has."""
    unused = {token_id for token_id, token in enumerate(tokens) if not token}
    added = {entry["id"] for entry in tokenizer["added_tokens"]}
    return frozenset(added | unused) - plain_ids_of(tokenizer)


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_IDS


def bos_id_of(file: Path, config: Metadata, in_front: int | None) -> int | None:
    """The id in front of a text: the config's, but for whether there is one.

    Args:
        file: A tokenizer's file; the ``tokenizer_config.json`` beside it has the last word.
        config: The model's.
        in_front: What the tokenizer itself would put there.
    """
    settings_file = file.with_name("tokenizer_config.json")
    settings = Metadata(settings_file, read_json(settings_file) if settings_file.is_file() else {})
    if settings.flag("add_bos_token", default=in_front is not None):
        return config.integer("bos_token_id", in_front, minimum=0)
    return None


def added_in_front(file: Path, tokenizer: dict[str, Any]) -> int | None:
    """The id that the post-processor adds, or None where it adds nothing.

    ``{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
    {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<s>": {"ids": [1]}}}``
    """
    ids: list[int] = []
    for step in steps(tokenizer["post_processor"], "processors"):
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
