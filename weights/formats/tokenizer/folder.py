"""The tokenizer of a folder, in whichever file it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.weights.architecture import SentencePieceModel
from midfill.weights.errors import CorruptModelError
from midfill.weights.formats.strict import Metadata, read_json, reading
from midfill.weights.formats.tokenizer import byte_level
from midfill.weights.formats.tokenizer.json_file import bos_id_of

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.architecture import TokenizerData

GENERATION, SETTINGS = "generation_config.json", "tokenizer_config.json"


def read_tokenizer(folder: Path, config: Metadata, rows: int) -> TokenizerData:
    """SentencePiece's own file where there is one, since the json is converted from it.

    Args:
        folder: Of a model.
        config: The model's.
        rows: Of the embedding.

    Raises:
        CorruptModelError: there is no tokenizer, or a broken one.
        UnsupportedModelError: it needs something that midfill does not implement.
    """
    eos_ids = _ends(folder, config)
    file = folder / "tokenizer.model"
    if file.is_file():
        from midfill.weights.formats.tokenizer.added import read_added, with_added

        serialized, added = file.read_bytes(), read_added(folder)
        end = _end_name(folder)
        named = {i for i, token in added.items() if i < rows and token.content == end}
        return SentencePieceModel(
            with_added(serialized, added, rows) if added else serialized,
            bos_id_of(file, config, 1),
            eos_ids | named,
        )
    file = folder / "tokenizer.json"
    if file.is_file():
        return read_json_file(file, config, eos_ids)
    raise CorruptModelError(f"{folder} has neither tokenizer.model nor tokenizer.json")


def read_json_file(file: Path, config: Metadata, eos_ids: frozenset[int]) -> TokenizerData:
    """The tokenizer of a ``tokenizer.json``: merges of bytes, or of characters.

    Raises:
        CorruptModelError: it is broken.
        UnsupportedModelError: it needs something that midfill does not implement.
    """
    tokenizer = read_json(file)
    with reading(file):
        has_pieces = tokenizer["model"].get("byte_fallback") is True
    if has_pieces:
        from midfill.weights.formats.tokenizer import metaspace

        return metaspace.read_pieces(file, tokenizer, config, eos_ids)
    return byte_level.read_vocabulary(file, tokenizer, config, eos_ids)


def _ends(folder: Path, config: Metadata) -> frozenset[int]:
    """What ends a text by the config, and by the settings of generation beside it."""
    ends = set(config.integer_or_integers("eos_token_id", 2))
    generation = _settings(folder / GENERATION)
    if "eos_token_id" in generation:
        ends |= set(generation.integer_or_integers("eos_token_id", 2))
    return frozenset(ends)


def _end_name(folder: Path) -> object:
    """The token that ends a text, as tokenizers know it: ``"</s>"`` or ``{"content": "</s>"}``."""
    named = _settings(folder / SETTINGS).plain("eos_token", None)
    return named.get("content") if isinstance(named, dict) else named


def _settings(file: Path) -> Metadata:
    return Metadata(file, read_json(file) if file.is_file() else {})
