"""Where messages to a client go: bytes that it reads, until it is gone."""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Writer(Protocol):
    """Where messages to a client go; asyncio's StreamWriter is one."""

    def write(self, data: bytes, /) -> None:
        """Write all of it, now or later."""

    async def drain(self) -> None:
        """Wait until the client has read most of it."""

    def is_closing(self) -> bool:
        """Whether nobody reads any more."""

    def close(self) -> None:
        """Let the other end know that nothing will follow."""


class PipeWriter:
    """Writes to a pipe; once nobody reads it any more, to nothing.

    Args:
        sink: The descriptor.
        on_broken: Called once, when nobody reads any more.
    """

    def __init__(self, sink: int, on_broken: Callable[[], object] = lambda: None) -> None:
        self._file = os.fdopen(sink, "wb", buffering=0)
        self._on_broken = on_broken
        self._is_broken = False

    def write(self, data: bytes) -> None:
        """Write all of it, now."""
        left = memoryview(data)
        try:
            while left and not self._is_broken:
                written = self._file.write(left)
                if written is None:  # some editors make our end of the pipe non-blocking
                    select.select((), (self._file,), ())
                left = left[written or 0 :]
        except OSError:
            self._is_broken = True
            self._on_broken()

    async def drain(self) -> None:
        """Go on: all of it is written."""

    def is_closing(self) -> bool:
        """Whether nobody reads any more."""
        return self._is_broken

    def close(self) -> None:
        """Let the other end know that nothing will follow."""
        with contextlib.suppress(OSError):
            self._file.close()
