"""The text model again, slow and obvious: a client that edits its own text."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from lsprotocol import types

from midfill.lsp_server.text.documents import PositionEncoding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from midfill.lsp_server.text.snapshot import Snapshot

Item = TypeVar("Item")

ALPHABET = ("a", "b", "\r", "\n", "\r\n", "\f", "\u2028", "\x85", "é", "漢", "😀", "\ud83d", "x\n")
_CODECS = {
    PositionEncoding.Utf8: ("utf-8", 1),
    PositionEncoding.Utf16: ("utf-16-le", 2),
    PositionEncoding.Utf32: ("utf-32-le", 4),
}


class Pieces:
    """Decisions, read off bytes from the front; behind the end they are all 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        """Whether all bytes are used."""
        return self._at >= len(self._data)

    def byte(self) -> int:
        """The next byte."""
        self._at += 1
        return 0 if self._at > len(self._data) else self._data[self._at - 1]

    def choice(self, items: Sequence[Item]) -> Item:
        """One of the items."""
        return items[self.byte() % len(items)]

    def text(self) -> str:
        """Up to 15 pieces of the alphabet."""
        return "".join(self.choice(ALPHABET) for _ in range(self.byte() % 16))


class Client:
    """An editor with one document."""

    def __init__(self, text: str, encoding: PositionEncoding) -> None:
        self.text = text
        self.encoding = encoding

    def change(self, pieces: Pieces) -> types.TextDocumentContentChangeEvent:
        """Any change, most of them within the text."""
        if pieces.byte() % 16 == 0:
            return types.TextDocumentContentChangeWholeDocument(pieces.text())
        lines = len(_lines(self.text)) + 2
        ends = [types.Position(pieces.byte() % lines, pieces.byte() % 24) for _ in range(2)]
        if pieces.byte() % 16:
            ends.sort(key=lambda end: (end.line, end.character))
        return types.TextDocumentContentChangePartial(types.Range(*ends), pieces.text())

    def apply(self, changes: Sequence[types.TextDocumentContentChangeEvent]) -> str | None:
        """Make all changes and return the text; None, and none is made, if one does not fit."""
        text = self.text
        for change in changes:
            if isinstance(change, types.TextDocumentContentChangeWholeDocument):
                text = change.text
                continue
            start = offset(text, change.range.start, self.encoding)
            end = offset(text, change.range.end, self.encoding)
            if start is None or end is None or end < start:
                return None
            text = text[:start] + change.text + text[end:]
        self.text = text
        return text

    def compare_positions(self, snapshot: Snapshot) -> None:
        """Each offset and its position mean one another in the server's snapshot."""
        assert snapshot.text == self.text
        assert snapshot.line_count == len(_lines(self.text))
        for at in range(0, len(self.text) + 1, 1 + len(self.text) // 8):
            if self.text[at - 1 : at + 1] != "\r\n":
                position = snapshot.position_at(at)
                assert offset(self.text, position, self.encoding) == at
                assert snapshot.offset_at(position) == at


def offset(text: str, position: types.Position, encoding: PositionEncoding) -> int | None:
    """The offset that a position means, by the words of LSP; None: there is no such position."""
    lines = _lines(text)
    if (position.line, position.character) == (len(lines), 0):
        return len(text)
    if position.line >= len(lines):
        return None
    start = sum(map(len, lines[: position.line]))
    units = 0
    for at, character in enumerate(lines[position.line].rstrip("\r\n")):
        if units == position.character:
            return start + at
        if units > position.character:
            return None
        units += width(character, encoding)
    if units > position.character:
        return None
    return start + len(lines[position.line].rstrip("\r\n"))


def width(character: str, encoding: PositionEncoding) -> int:
    """Code units of a character."""
    codec, unit = _CODECS[encoding]
    return len(character.encode(codec, "surrogatepass")) // unit


def _lines(text: str) -> list[str]:
    return list(_each_line(text))


def _each_line(text: str) -> Iterator[str]:
    """The lines with their ends, character by character."""
    line = ""
    for at, character in enumerate(text):
        line += character
        if character == "\n" or (character == "\r" and text[at + 1 : at + 2] != "\n"):
            yield line
            line = ""
    yield line
