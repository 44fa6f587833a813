r"""Messages in a stream of bytes (LSP 3.18, "Base Protocol"); the next one is always found.

::

    Content-Length: 17\r\n
    \r\n
    {"jsonrpc":"2.0"}

Header names have no case, "\n" alone ends a line too, and blanks may stand around a value. A header
that cannot be believed gives a ``Refusal``. What follows is skipped up to the next line with a
length, which may stand behind the rest of a body. Other bytes between messages are skipped too.

Invariant: the same bytes give the same messages, however reads cut them
(test_any_split_of_the_bytes_gives_the_same_messages).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HEADER_BYTES = 1 << 16
"""The most that all lines of one header may have."""
BODY_BYTES = 1 << 26
"""The most that a body may have; the bytes of a longer one are read and dropped."""
STRANGER_BYTES = 1 << 16
"""The same, for a client that has not come in yet; editors greet with up to 10,000 bytes."""
DROPPED_BYTES = 1 << 32
"""A length beyond this is an error of the client, and nothing is dropped for it."""

_TAIL_BYTES = 1 << 10
"""How much of the end of a line is looked at while a refused message is skipped."""

_TOKEN = rb"[0-9A-Za-z!#$%&'*+.^_`|~-]"
_FIELD = re.compile(rb"(%s+)[ \t]*:(.*)" % _TOKEN, re.DOTALL)
_LENGTH_AT_END = re.compile(
    rb"(?:.*(?!%s).)?(content-length)[ \t]*:(.*)" % _TOKEN, re.DOTALL | re.IGNORECASE
)
_BLANKS = b" \t\r"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is not read, and why."""

    reason: str


Frame = bytes | Refusal
"""A message's body, not looked into, or why there is none."""


class Frames:
    """Cuts a stream of bytes into messages.

    Args:
        longest_bytes: Says before each body how many bytes it may have.
    """

    def __init__(self, longest_bytes: Callable[[], int] = lambda: BODY_BYTES) -> None:
        self._longest_bytes = longest_bytes
        self._buffer = bytearray()
        self._searched = 0
        """Bytes of the buffer that have no line end."""
        self._header_bytes = 0
        self._length: int | None = None
        """The length in the header that is being read, if it came already."""
        self._is_skipping = False
        """Whether a message was refused, and no header has come since."""
        self._body_bytes: int | None = None
        """Bytes of the body that is due; None: a header is."""
        self._dropped_bytes = 0
        """Bytes that are still to be dropped."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The messages that these further bytes complete, each read once it is asked for."""
        self._buffer += data
        is_going_on = True
        while is_going_on:
            found: list[Frame] = []
            is_going_on = self._step(found)
            yield from found

    def _step(self, found: list[Frame]) -> bool:
        """Use up some of the buffer; False: more bytes are needed."""
        if self._dropped_bytes:
            return self._drop()
        if self._body_bytes is not None:
            return self._take_body(self._body_bytes, found)
        return self._take_line(found)

    def _drop(self) -> bool:
        size = min(self._dropped_bytes, len(self._buffer))
        del self._buffer[:size]
        self._dropped_bytes -= size
        return not self._dropped_bytes

    def _take_body(self, size: int, found: list[Frame]) -> bool:
        if len(self._buffer) < size:
            return False
        found.append(bytes(memoryview(self._buffer)[:size]))
        del self._buffer[:size]
        self._body_bytes = None
        return True

    def _take_line(self, found: list[Frame]) -> bool:
        end = self._buffer.find(b"\n", self._searched)
        size = len(self._buffer) if end < 0 else end
        if size > HEADER_BYTES - self._header_bytes and not self._is_skipping:
            self._refuse(f"a header has more than {HEADER_BYTES} bytes", found)
        if end < 0:
            if self._is_skipping:
                del self._buffer[:-_TAIL_BYTES]
            self._searched = len(self._buffer)
            return False
        start = max(0, end - _TAIL_BYTES) if self._is_skipping else 0
        line = bytes(self._buffer[start:end]).strip(_BLANKS)
        del self._buffer[: end + 1]
        self._searched = 0
        self._header_bytes += end + 1
        self._read_line(line, found)
        return True

    def _read_line(self, line: bytes, found: list[Frame]) -> None:
        if not line:
            self._end_header(found)
            return
        value = _length_in(line, is_garbage=self._is_skipping)
        if value is None:
            return
        if self._is_skipping:
            self._is_skipping, self._header_bytes = False, len(line)
        if not re.fullmatch(rb"[0-9]{1,12}", value) or int(value) > DROPPED_BYTES:
            self._refuse(f"Content-Length is not a number of 0 to {BODY_BYTES}", found)
        elif self._length not in (None, int(value)):
            self._refuse("a header has two different lengths", found)
        else:
            self._length = int(value)

    def _end_header(self, found: list[Frame]) -> None:
        length, self._length, self._header_bytes = self._length, None, 0
        longest = self._longest_bytes()
        if length is not None and length > longest:
            found.append(Refusal(f"a body has {length} bytes; at most {longest} are read"))
            self._dropped_bytes = length
        else:
            self._body_bytes = length

    def _refuse(self, reason: str, found: list[Frame]) -> None:
        found.append(Refusal(reason))
        self._is_skipping, self._length = True, None


def _length_in(line: bytes, *, is_garbage: bool) -> bytes | None:
    """The value of ``Content-Length`` in a line, which may end something else before; or None."""
    field = None if is_garbage else _FIELD.fullmatch(line)
    field = field or _LENGTH_AT_END.fullmatch(line)
    if field is None or field[1].lower() != b"content-length":
        return None
    return field[2].strip(_BLANKS)
