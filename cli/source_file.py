"""The file that the command line edits: its text as it is on disk, places in it, writing it back.

Invariant: what is written is ``bytes before the hole + middle + bytes after the hole``; only the
middle is ever encoded anew or gets other line ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.engine.errors import InvalidRequestError
from midfill.lsp_server.processes import is_alive
from midfill.lsp_server.text.lines import line_end_of, with_line_ends

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.lsp_server.text.snapshot import Snapshot

BOM = "\ufeff"
MOST_BYTES = 64 << 20
"""Bytes of a source, at most; devices have no end."""


@dataclass(frozen=True, slots=True, order=True)
class LineColumn:
    """A place between two characters, as people and compilers count: both from 1."""

    line: int
    column: int
    """Characters (code points) from 1; one past the line's last character is its end."""


@dataclass(frozen=True, slots=True)
class Region:
    """What the middle replaces: offsets into the text, equal where there is nothing to replace."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A text file as it was read."""

    path: Path | None
    """The file; None: it came from standard input."""
    snapshot: Snapshot
    """The text with the file's own line ends, without a byte-order mark."""
    encoding: str
    bom: str = ""
    """U+FEFF if the file starts with one."""

    @property
    def name(self) -> str:
        """The name in messages."""
        return "standard input" if self.path is None else str(self.path)

    @property
    def text(self) -> str:
        """The snapshot's text."""
        return self.snapshot.text

    def offset(self, place: LineColumn) -> int:
        """The index of a place in the text.

        Raises:
            InvalidRequestError: there is no such line or column; the message says which there are.
        """
        lines = self.snapshot.line_count
        if not 1 <= place.line <= lines:
            raise InvalidRequestError(
                f"line {place.line} is not in {self.name}: it has the lines 1 to {lines}"
            )
        start = self.snapshot.line_start(place.line - 1)
        last = self.snapshot.line_end(place.line - 1) - start + 1
        if not 1 <= place.column <= last:
            raise InvalidRequestError(
                f"column {place.column} is not in line {place.line} of {self.name}: "
                f"it has the columns 1 to {last} ({last} is the end of the line)"
            )
        return start + place.column - 1

    def place(self, offset: int) -> LineColumn:
        """The place of an offset, 0 to the text's length; within a line end it is the line's."""
        line = self.snapshot.line_of(offset)
        end = min(offset, self.snapshot.line_end(line))
        return LineColumn(line + 1, end - self.snapshot.line_start(line) + 1)

    def at(self, place: LineColumn) -> Region:
        """The empty hole at a place; raises InvalidRequestError as ``offset`` does."""
        offset = self.offset(place)
        return Region(offset, offset)

    def between(self, start: LineColumn, end: LineColumn) -> Region:
        """The hole from one place to another.

        Raises:
            InvalidRequestError: a place is not there, or they are the wrong way round.
        """
        if end < start:
            raise InvalidRequestError(
                f"the range ends at {end.line}:{end.column}, before it starts at "
                f"{start.line}:{start.column}: give L1:C1-L2:C2 in the order of the text"
            )
        return Region(self.offset(start), self.offset(end))

    def marked(self, marker: str) -> Region:
        """The hole that a marker text fills.

        Raises:
            InvalidRequestError: the marker is empty, absent, or there more than once.
        """
        if not marker:
            raise InvalidRequestError("the marker is empty: give a text that is there once")
        start = self.text.find(marker)
        if start < 0:
            raise InvalidRequestError(
                f"the marker {marker!r} is not in {self.name}: put it where the hole is"
            )
        again = self.text.find(marker, start + 1)
        if again >= 0:
            raise InvalidRequestError(
                f"the marker {marker!r} is in {self.name} more than once, in line "
                f"{self.place(start).line} and in line {self.place(again).line}: "
                "give one that is there once, or use --at or --range"
            )
        return Region(start, start + len(marker))

    def filled(self, region: Region, middle: str) -> str:
        r"""The text with the middle (lines end in ``\n``) in the hole, in the file's line ends."""
        middle = with_line_ends(middle, line_end_of(self.text))
        return self.text[: region.start] + middle + self.text[region.end :]

    def require_rewritable(self) -> None:
        """Return if ``write`` would keep every byte outside of the hole, and what the file is.

        Raises:
            InvalidRequestError: it came from standard input, is no longer what was read, has hard
                links, or its encoding does not give the same bytes back.
            OSError: the file cannot be read any more, or is read-only.
        """
        if self.path is None:
            raise InvalidRequestError("standard input cannot be written: leave out --write")
        if not os.access(self.path, os.W_OK):  # a rename would ask the folder only
            raise PermissionError(errno.EACCES, "it is read-only, and was left as it is", self.name)
        links = self.path.stat().st_nlink
        if links > 1:
            raise InvalidRequestError(
                f"{self.name} was left as it is: it has {links} hard links, and a new file in its"
                " place would be one of them only; print the text and write it yourself"
            )
        self._require_unchanged()

    def _require_unchanged(self) -> None:
        assert self.path is not None, "only files change"
        if self.path.read_bytes() != self._encode(self.text):
            raise InvalidRequestError(
                f"{self.name} was left as it is: it changed meanwhile, or is not plain "
                f"{self.encoding}, so that writing it would change more than the hole"
            )

    def write(self, text: str) -> None:
        """Write a new text in the file's place, all or nothing.

        Mode, owner, extended attributes and symbolic links stay. Immediately before, the file is
        compared once more with what was read, for the user may have saved it.

        Raises:
            InvalidRequestError: as ``require_rewritable``, or the encoding lacks a character.
            OSError: the folder or the file cannot be written, or what it is cannot be kept.
        """
        self.require_rewritable()
        assert self.path is not None, "require_rewritable lets only files through"
        _replace(self.path.resolve(), self._encode(text), self._require_unchanged)

    def _encode(self, text: str) -> bytes:
        try:
            return (self.bom + text).encode(self.encoding)
        except UnicodeError as error:
            raise InvalidRequestError(
                f"{self.name} is {self.encoding}, which lacks a character ({error}): "
                "nothing was written"
            ) from error


def read_source(path: str, encoding: str = "utf-8", language_id: str | None = None) -> SourceFile:
    """The text file at a path, or standard input for ``-``.

    Args:
        path: Relative to the current folder, or absolute.
        encoding: A name that Python knows.
        language_id: As in LSP; None goes by the file's name.

    Raises:
        InvalidRequestError: there is no such encoding, or the bytes are not text in it.
        OSError: the file cannot be read.
    """
    from midfill.lsp_server.text.languages import language_id_of
    from midfill.lsp_server.text.snapshot import Snapshot

    place = None if path == "-" else Path(path)
    text = _decode(_read(place), encoding, "standard input" if place is None else path)
    snapshot = Snapshot.of(
        text.removeprefix(BOM),
        uri="" if place is None else absolute(place).as_uri(),
        language_id=language_id or language_id_of(path),
    )
    return SourceFile(place, snapshot, encoding, BOM if text.startswith(BOM) else "")


def absolute(path: Path) -> Path:
    """The path from the root, without ``..``; symbolic links stay."""
    return Path(os.path.abspath(path))


def _decode(data: bytes, encoding: str, name: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeError as error:
        raise InvalidRequestError(
            f"{name} is not {encoding} ({error}): give its encoding with --encoding"
        ) from error
    except LookupError as error:
        raise InvalidRequestError(
            f"{encoding!r} is no text encoding: use a name that Python knows, like utf-8 or latin-1"
        ) from error


def _read(path: Path | None) -> bytes:
    """All bytes of a file, or of standard input."""
    if path is not None and path.exists() and not (path.is_file() or path.is_dir()):
        raise InvalidRequestError(f"{path} is no plain file: pipe its text to standard input, -")
    with contextlib.nullcontext(sys.stdin.buffer) if path is None else path.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        name = "standard input" if path is None else path
        raise InvalidRequestError(f"{name} has more than {MOST_BYTES >> 20} MiB: no source has")
    return data


def _replace(target: Path, data: bytes, check: Callable[[], None]) -> None:
    """Write to a new file beside the target, then rename it: readers see the old or the new.

    Args:
        target: The file, no link.
        data: Its new bytes.
        check: Raises where the target may not be replaced any more; called last.
    """
    _remove_leftovers(target)
    prefix = f"{_unfinished(target)}{os.getpid()}."
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=prefix)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        _make_alike(new, target)
        check()
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)


def _make_alike(new: Path, target: Path) -> None:
    """Give a file of ours the owner, the attributes and the mode of another, or raise OSError."""
    theirs, ours = target.stat(), new.stat()
    if (theirs.st_uid, theirs.st_gid) != (ours.st_uid, ours.st_gid):
        os.chown(new, theirs.st_uid, theirs.st_gid)
    if hasattr(os, "listxattr"):
        for attribute in os.listxattr(target):
            os.setxattr(new, attribute, os.getxattr(target, attribute))
    shutil.copymode(target, new)  # after the owner, whose change would clear some of it


def _unfinished(target: Path) -> str:
    """How the names of files begin that are to replace this one; then comes the process."""
    return f".{target.name}.midfill-"


def _remove_leftovers(target: Path) -> None:
    """Delete what killed processes left beside the target."""
    begin = _unfinished(target)
    for name in os.listdir(target.parent):
        process = name.removeprefix(begin).partition(".")[0]
        if name.startswith(begin) and process.isdecimal() and not is_alive(int(process)):
            with contextlib.suppress(OSError):
                target.with_name(name).unlink()
