r"""The text model: one version of a document, with the client's positions converted once, here.

Line ends are exactly ``\n``, ``\r\n`` and ``\r`` (LSP 3.18, "Text Documents"); form feed, U+2028
and the like are ordinary characters. A *position* is LSP's line and character, in the units the
client and we agreed on. An *offset* counts characters (code points) from the start of the text: it
is what Python slices with. Nothing outside this module turns one into the other.

A wrong position is an error that reaches the log, never a wrong edit. One that lies past a line's
end means the line's end (LSP says so), and ``(line count, 0)`` means the end of the text (how some
editors write "all lines"); a line beyond that, or a character inside a surrogate pair or a
multi-byte sequence, is a ``PositionError``.

::

    negotiate(offered) -> PositionEncoding
    Snapshot.of(text, uri=, language_id=, version=, encoding=) -> Snapshot          frozen
        .offset_at(position) .position_at(offset) .range_of(start, end)
        .line_count .line_of(offset) .line_start(line) .line_end(line)
        .edit_of(change) -> Edit  .replaced(edit) -> Snapshot
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lsprotocol import types

from midfill.engine.errors import MidfillError

if TYPE_CHECKING:
    from collections.abc import Sequence

PositionEncoding = types.PositionEncodingKind

_LINE_END = re.compile(r"\r\n|[\r\n]")


class DocumentError(MidfillError):
    """A document or a place in it is not what the client thinks."""


class PositionError(DocumentError):
    """The text has no such position or offset."""


def negotiate(offered: Sequence[PositionEncoding | str] | None) -> PositionEncoding:
    """The encoding to use: the first of the client's that we know, else UTF-16.

    The client lists its own "with decreasing preference" and pays for conversion when it gets
    another one (LSP 3.18, Position); to us all three cost the same on ASCII lines.
    """
    known = {str(encoding.value): encoding for encoding in PositionEncoding}
    for encoding in offered or ():
        name = encoding.value if isinstance(encoding, PositionEncoding) else encoding
        if name in known:
            return known[name]
    return PositionEncoding.Utf16


def _units(text: str, encoding: PositionEncoding) -> int:
    """How many code units ``text`` has; a lone surrogate counts as its encoding would."""
    if encoding is PositionEncoding.Utf32 or text.isascii():
        return len(text)
    if encoding is PositionEncoding.Utf8:
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _line_starts(text: str, start: int, end: int) -> tuple[int, ...]:
    """The offset after each line end in ``text[start:end]``."""
    return tuple(match.end() for match in _LINE_END.finditer(text, start, end))


@dataclass(frozen=True, slots=True)
class Edit:
    """Put ``text`` in the place of the characters from ``start`` to ``end`` (offsets)."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a document; build it with ``Snapshot.of``, safe to hand to any thread."""

    uri: str
    language_id: str
    version: int
    text: str = field(repr=False)
    encoding: PositionEncoding
    """The units of the client's positions."""
    line_starts: tuple[int, ...] = field(repr=False, compare=False)
    """The offset of each line's first character; there is always a line 0."""

    @classmethod
    def of(
        cls,
        text: str,
        *,
        uri: str = "",
        language_id: str = "",
        version: int = 0,
        encoding: PositionEncoding = PositionEncoding.Utf16,
    ) -> Snapshot:
        """A snapshot of this text, with its lines found."""
        starts = (0, *_line_starts(text, 0, len(text)))
        return cls(uri, language_id, version, text, encoding, starts)

    @property
    def line_count(self) -> int:
        """One more than there are line ends: a text that ends in one has an empty last line."""
        return len(self.line_starts)

    def line_of(self, offset: int) -> int:
        """The line that the character at ``offset`` is on; its line end belongs to it."""
        return bisect_right(self.line_starts, offset) - 1

    def line_start(self, line: int) -> int:
        """The offset of the line's first character."""
        return self.line_starts[line]

    def line_end(self, line: int) -> int:
        """The offset just before the line's line end."""
        if line + 1 == self.line_count:
            return len(self.text)
        end = self.line_starts[line + 1] - 1
        is_crlf = self.text.startswith("\r\n", max(end - 1, self.line_starts[line]))
        return end - 1 if is_crlf else end

    def offset_at(self, position: types.Position) -> int:
        """The offset of a client's position.

        Raises:
            PositionError: the line does not exist, or the character is inside another one.
        """
        line = position.line
        if line == self.line_count and position.character == 0:
            return len(self.text)
        if line >= self.line_count:
            raise PositionError(
                f"line {line} of {self.uri!r} version {self.version} does not exist; lines are 0 "
                f"to {self.line_count - 1}. Ask again with a position in the current text"
            )
        return self.line_starts[line] + self._characters(line, position.character)

    def _characters(self, line: int, units: int) -> int:
        """How many characters of the line the client's ``units`` are."""
        text = self.text[self.line_starts[line] : self.line_end(line)]
        width = _units(text, self.encoding)
        if units >= width:
            return len(text)
        if width == len(text):
            return units
        index = bisect_left(
            range(len(text)), units, key=lambda end: _units(text[:end], self.encoding)
        )
        if _units(text[:index], self.encoding) != units:
            raise PositionError(
                f"character {units} on line {line} of {self.uri!r} is inside {text[index - 1]!r} "
                f"in {self.encoding.value}; use the negotiated position encoding"
            )
        return index

    def position_at(self, offset: int) -> types.Position:
        r"""The client's position of an offset; between ``\r`` and ``\n`` it is the line's end.

        Raises:
            PositionError: the offset is outside of the text.
        """
        if not 0 <= offset <= len(self.text):
            raise PositionError(
                f"offset {offset} is outside of {self.uri!r} version {self.version}, "
                f"which has 0 to {len(self.text)}"
            )
        line = self.line_of(offset)
        before = self.text[self.line_starts[line] : min(offset, self.line_end(line))]
        return types.Position(line, _units(before, self.encoding))

    def range_of(self, start: int, end: int) -> types.Range:
        """The client's range of two offsets."""
        return types.Range(self.position_at(start), self.position_at(end))

    def edit_of(self, change: types.TextDocumentContentChangeEvent) -> Edit:
        """A client's change in offsets of this text.

        Raises:
            PositionError: its range is not in this text, or ends before it starts.
        """
        if isinstance(change, types.TextDocumentContentChangeWholeDocument):
            return Edit(0, len(self.text), change.text)
        start, end = self.offset_at(change.range.start), self.offset_at(change.range.end)
        if end < start:
            raise PositionError(f"the range {change.range!r} ends before it starts; swap its ends")
        return Edit(start, end, change.text)

    def replaced(self, edit: Edit) -> Snapshot:
        """This text with the edit made; only the lines it touches are searched for line ends."""
        first = self.line_of(max(edit.start - 1, 0))  # a "\r" may stand just before the edit
        after = self.line_of(edit.end) + 1
        shift = len(edit.text) - (edit.end - edit.start)
        text = self.text[: edit.start] + edit.text + self.text[edit.end :]
        end = self.line_starts[after] + shift if after < self.line_count else len(text)
        starts = (
            *self.line_starts[: first + 1],
            *_line_starts(text, self.line_starts[first], end),
            *map(shift.__add__, self.line_starts[after + 1 :]),
        )
        return replace(self, text=text, line_starts=starts)
