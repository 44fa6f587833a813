"""What a ``tokenizer.json`` must be for the engine: byte-level BPE that loses no byte.

Source: the serialization of the ``tokenizers`` library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.strict import Metadata, read_json

if TYPE_CHECKING:
    from pathlib import Path


def read_bos_id(file: Path, config: Metadata) -> int | None:
    """The token that this tokenizer puts in front of a text, after a check of its kind.

    ``add_bos_token`` of ``tokenizer_config.json`` has the last word, as in transformers.

    Raises:
        UnsupportedModelError: not byte-level BPE, or text is changed before it is encoded, or
            other special tokens than one in front are added.
        CorruptModelError: not a tokenizer.json.
    """
    tokenizer = read_json(file)
    try:
        _check_model(file, tokenizer["model"])
        _check_text_is_kept(file, tokenizer)
        in_front = _added_in_front(file, tokenizer)
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptModelError(f"{file} is not a whole tokenizer.json: {error!r}") from error
    settings_file = file.with_name("tokenizer_config.json")
    settings = Metadata(settings_file, read_json(settings_file) if settings_file.is_file() else {})
    if settings.flag("add_bos_token", default=in_front is not None):
        return config.integer("bos_token_id", in_front, minimum=0)
    return None


def _check_model(file: Path, model: dict[str, Any]) -> None:
    kind = model.get("type", "BPE")
    if kind != "BPE" or model.get("dropout"):
        raise UnsupportedModelError(
            f"{file}: the model is {kind} with dropout {model.get('dropout')}; "
            "midfill implements BPE without dropout"
        )


def _check_text_is_kept(file: Path, tokenizer: dict[str, Any]) -> None:
    if tokenizer["normalizer"] is not None:
        raise UnsupportedModelError(f"{file}: its normalizer would change user text")
    steps = _steps(tokenizer["pre_tokenizer"], "pretokenizers")
    byte_level = [step for step in steps if step["type"] == "ByteLevel"]
    if not byte_level:
        raise UnsupportedModelError(
            f"{file} is not byte-level BPE (no ByteLevel pre-tokenizer); of a SentencePiece "
            "model midfill reads tokenizer.model"
        )
    if any(step["add_prefix_space"] for step in byte_level):
        raise UnsupportedModelError(f"{file}: add_prefix_space would change user text")


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
