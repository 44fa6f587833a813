r"""A hole in a document: the text around it, and where its file is in the workspace.

All that a request needs to know of its document is derived here, once, and carried from then on.
Text in a hole has "\n" for line ends.

::

    Hole.of(text, start, end) -> Hole(prefix, suffix)
    Located.of(snapshot, offset, hole, roots) -> Located
    path_of(uri) -> Path | None             path_in(uri, roots) -> Path | None
    root_of(path, roots) -> Path | None
    name_in(root, path) -> str
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes

from midfill.lsp_server.text.languages import language
from midfill.lsp_server.text.lines import well_formed, with_newlines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from midfill.lsp_server.text.languages import Language
    from midfill.lsp_server.text.snapshot import Snapshot

_SCHEMES = ("file", "vscode-notebook-cell")
_DRIVE = re.compile(r"/[A-Za-z]:")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def path_of(uri: str) -> Path | None:
    """The path of a file, or of the notebook that a cell is in; None for what is on no disk.

    The URI is the client's own string: it is decoded here, once, to the bytes of the file's name.
    """
    scheme, _, rest = uri.partition(":")
    if scheme not in _SCHEMES:
        return None
    rest = re.split("[?#]", rest, maxsplit=1)[0]
    authority, path = "", rest
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        path = slash + path
    name = os.fsdecode(unquote_to_bytes(path.encode("utf-8", "replace")))
    if not name.startswith("/") or "\0" in name:
        return None
    if authority not in ("", "localhost"):
        name = f"//{unquote(authority)}{name}"
    elif os.name == "nt" and _DRIVE.match(name):
        name = name[1].lower() + name[2:]
    return Path(os.path.normpath(name))


def path_in(uri: str, roots: Iterable[Path]) -> Path | None:
    """The path of a file, by the workspace folder's own name if the client uses another one.

    A folder that is a link has two names, and some clients give the real one for its files.
    """
    path = path_of(uri)
    if path is None or root_of(path, roots) is not None:
        return path
    places = ((root, _real(root)) for root in roots)
    below = (root / path.relative_to(real) for root, real in places if path.is_relative_to(real))
    return next(below, path)


@lru_cache(64)
def _real(folder: Path) -> Path:
    """The folder with links resolved, as it was when first asked for."""
    try:
        return folder.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return folder


def root_of(path: Path, roots: Iterable[Path]) -> Path | None:
    """The innermost workspace folder that the path is in, or None."""
    above = (root for root in roots if path.is_relative_to(root))
    return max(above, key=lambda root: len(root.parts), default=None)


def name_in(root: Path | None, path: Path) -> str:
    """The path as a model sees it: from its workspace folder, or the file's name alone."""
    name = path.relative_to(root).as_posix() if root else path.name
    return _UNPRINTABLE.sub("?", well_formed(name))


@dataclass(frozen=True, slots=True)
class Hole:
    """The place to fill, as the engine sees it."""

    prefix: str
    suffix: str

    @classmethod
    def of(cls, text: str, start: int, end: int) -> Hole:
        """The hole between two offsets of a text with any line ends."""
        return cls(with_newlines(text[:start]), with_newlines(text[end:]))

    def typed_since(self, earlier: Hole) -> str | None:
        """What was typed at the earlier hole to make this one; None if something else happened."""
        if self.suffix != earlier.suffix or not self.prefix.startswith(earlier.prefix):
            return None
        return self.prefix[len(earlier.prefix) :]

    def typed_in(self, document: str) -> str | None:
        """What stands in the hole in a later text of the document; None if more has changed."""
        end = len(document) - len(self.suffix)
        is_around = document.startswith(self.prefix) and document.endswith(self.suffix)
        return document[len(self.prefix) : end] if is_around and end >= len(self.prefix) else None


@dataclass(frozen=True, slots=True)
class Located:
    """A hole in a document, and the file that it is in."""

    snapshot: Snapshot
    offset: int
    """Characters of the snapshot before the hole."""
    hole: Hole
    language: Language
    path: Path | None
    """The file's path; None: it is on no disk."""
    root: Path | None
    """The innermost workspace folder that the file is in; None: it is in none."""

    @classmethod
    def of(cls, snapshot: Snapshot, offset: int, hole: Hole, roots: Sequence[Path] = ()) -> Located:
        """A hole of this document, in these workspace folders."""
        path = path_in(snapshot.uri, roots)
        root = root_of(path, roots) if path else None
        return cls(snapshot, offset, hole, language(snapshot.language_id), path, root)

    @property
    def name(self) -> str | None:
        """The path as a model sees it."""
        return None if self.path is None else name_in(self.root, self.path)
