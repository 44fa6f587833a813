"""Long held-out texts: from files, folders, or a corpus in JSON lines.

A *document* is what is read in one go. By default it is all files of one package, in the order of
their paths, so that it is long; ``separate`` makes each file a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.evaluation.problems import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from midfill.engine.tokens.tokenizer import Tokenizer

CORPUS_KEYS = {"text": str, "repo": str, "path": str}
"""What a line of a corpus must have; the corpus of ``midfill``'s training has more."""


@dataclass(frozen=True, slots=True)
class LongText:
    """A text with a name that stands for it in journals."""

    name: str
    text: str


def read_documents(paths: Sequence[Path], suffix: str, *, separate: bool) -> list[LongText]:
    """The documents of files (each one package), folders (each one package) and corpora.

    Args:
        paths: Files and folders; ``.jsonl`` and ``.jsonl.gz`` are corpora, grouped by ``repo``.
        suffix: The end of names of files in folders that count, and of paths in corpora.
        separate: Let each file be a document.

    Raises:
        InvalidRequestError: there is no text at all, or a corpus is none.
        OSError: a file cannot be read.
    """
    documents = [
        document
        for path in paths
        for name, files in _packages(path, suffix)
        for document in _documents(name, files, separate=separate)
    ]
    if not documents:
        named = ", ".join(map(str, paths))
        raise InvalidRequestError(f"there is no {suffix} text in {named}: name files or folders")
    return documents


def _packages(path: Path, suffix: str) -> Iterable[tuple[str, list[LongText]]]:
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        rows = [row for row in read_rows(path, CORPUS_KEYS) if row["path"].endswith(suffix)]
        rows.sort(key=lambda row: (row["repo"], row["path"]))
        for repo, group in groupby(rows, key=lambda row: str(row["repo"])):
            yield repo, [LongText(row["path"], row["text"]) for row in group]
    else:
        yield path.name, _read(path, suffix)


def _read(path: Path, suffix: str) -> list[LongText]:
    """A file, or a folder's files in the order of their paths."""
    files = [path] if path.is_file() else sorted(path.rglob(f"*{suffix}"))
    return [
        LongText(
            file.relative_to(path.parent).as_posix(),
            file.read_text(encoding="utf-8", errors="replace"),
        )
        for file in files
        if file.is_file()
    ]


def _documents(name: str, files: list[LongText], *, separate: bool) -> list[LongText]:
    filled = [file for file in files if file.text.strip()]
    if separate:
        return [LongText(f"{name}: {file.name}", file.text) for file in filled]
    text = "".join(f"{file.text.rstrip()}\n\n\n" for file in filled)
    return [LongText(name, text)] if text else []


def encode_head(tokenizer: Tokenizer, text: str, tokens: int) -> list[int]:
    """The first tokens of a text, at most so many; the rest of a long text is not encoded."""
    ids: list[int] = []
    shown = 0
    while len(ids) < tokens and shown < len(text):
        shown = min(len(text), 2 * shown or 8 * tokens)
        ids = tokenizer.encode(text[:shown])
    return ids[:tokens]
