"""Tokens that were added to a ``tokenizer.model`` later, as fine-tuned models have them.

Their ids follow those of the pieces, or are those of pieces that had no use. Without them a model
would never end where its end is one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midfill.weights.errors import UnsupportedModelError
from midfill.weights.formats.strict import read_json, reading
from midfill.weights.formats.tokenizer.roles import steers
from midfill.weights.formats.tokenizer.sentencepiece_file import PieceType, add_piece, read_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token and whether it is for the model only."""

    content: str
    is_special: bool


def read_added(folder: Path) -> dict[int, AddedToken]:
    """The added tokens of a folder by id; none where no file has any.

    ::

        tokenizer_config.json  {"added_tokens_decoder": {"32000": {"content": "<x>", ...}}}
        added_tokens.json      {"<x>": 32000}
        tokenizer.json         {"added_tokens": [{"id": 32000, "content": "<x>", ...}]}

    Raises:
        CorruptModelError: one of the files is broken.
        UnsupportedModelError: a token of text takes blanks around it, or whole words only.
    """
    found: dict[int, AddedToken] = {}
    for name in ("tokenizer_config.json", "added_tokens.json", "tokenizer.json"):
        file = folder / name
        if file.is_file() and (name != "tokenizer.json" or not found):
            document = read_json(file)
            with reading(file):
                for token_id, entry in _entries(name, document):
                    found.setdefault(token_id, _token(file, entry))
    return found


def _entries(name: str, document: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    if name == "tokenizer_config.json":
        for token_id, entry in document.get("added_tokens_decoder", {}).items():
            yield int(token_id), entry
    elif name == "added_tokens.json":
        for content, token_id in document.items():
            yield token_id + 0, {"content": content}
    else:
        for entry in document["added_tokens"]:
            yield entry["id"] + 0, entry


def _token(file: Path, entry: dict[str, Any]) -> AddedToken:
    token = AddedToken(entry["content"], bool(entry.get("special")) or steers(entry["content"]))
    odd = [flag for flag in ("lstrip", "rstrip", "single_word") if entry.get(flag)]
    if odd and not token.is_special:
        raise UnsupportedModelError(
            f"{file}: the added token {token.content!r} has {odd[0]}, which midfill implements for"
            " special tokens only; use another model"
        )
    return token


def with_added(serialized: bytes, added: Mapping[int, AddedToken], rows: int) -> bytes:
    """A ``tokenizer.model`` with these pieces too.

    Args:
        serialized: The file.
        added: By id. One that a piece has already takes its place; ids in between that have neither
            get a control piece.
        rows: Of the embedding; tokens beyond are left out, as nothing can be computed with them.

    Raises:
        CorruptModelError: the file is broken.
    """
    model = read_model(serialized)
    kept = {token_id: token for token_id, token in sorted(added.items()) if 0 <= token_id < rows}
    for unused in range(len(model.pieces), max(kept, default=-1) + 1):
        add_piece(model, f"<unused {unused}>", PieceType.CONTROL)
    for token_id, token in kept.items():
        piece = model.pieces[token_id]
        piece.piece = token.content.replace(" ", "\u2581")
        if piece.type not in (PieceType.UNKNOWN, PieceType.BYTE):
            piece.type = PieceType.CONTROL if token.is_special else PieceType.USER_DEFINED
    again: bytes = model.SerializeToString()
    return again
