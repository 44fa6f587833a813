"""The file that the command line edits: its text as it is on disk, places in it, writing it back.

Invariant: what is written is ``bytes before the hole + middle + bytes after the hole``; only the
middle is ever encoded anew or gets other line ends.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.engine.errors import InvalidRequestError
from midfill.lsp_server.text.lines import line_end_of, with_line_ends

if TYPE_CHECKING:
    from midfill.lsp_server.text.snapshot import Snapshot

BOM = "\ufeff"


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
        """Return if ``write`` would keep every byte outside of the hole.

        Raises:
            InvalidRequestError: it came from standard input, is no longer what was read, or its
                encoding does not give the same bytes back.
            OSError: the file cannot be read any more, or is read-only.
        """
        if self.path is None:
            raise InvalidRequestError("standard input cannot be written: leave out --write")
        if not os.access(self.path, os.W_OK):  # a rename would ask the folder only
            raise PermissionError(errno.EACCES, "it is read-only, and was left as it is", self.name)
        if self.path.read_bytes() != self._encode(self.text):
            raise InvalidRequestError(
                f"{self.name} was left as it is: it changed meanwhile, or is not plain "
                f"{self.encoding}, so that writing it would change more than the hole"
            )

    def write(self, text: str) -> None:
        """Write a new text in the file's place, all or nothing; mode and symbolic links stay.

        Raises:
            InvalidRequestError: as ``require_rewritable``, or the encoding lacks a character.
            OSError: the folder or the file cannot be written.
        """
        self.require_rewritable()
        assert self.path is not None, "require_rewritable lets only files through"
        _replace(self.path.resolve(), self._encode(text))

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
    data = sys.stdin.buffer.read() if place is None else place.read_bytes()
    text = _decode(data, encoding, "standard input" if place is None else path)
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


def _replace(target: Path, data: bytes) -> None:
    """Write to a new file beside the target, then rename it: readers see the old or the new."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(target, new)
        new.replace(target)
    finally:
        new.unlink(missing_ok=True)
