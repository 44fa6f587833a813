"""Messages that were read and not yet handled: from the thread that reads, to the event loop.

It is bounded, so that a client which sends faster than it is served has to wait, and not we to
remember.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

from midfill.lsp_server.wire.frames import Refusal

if TYPE_CHECKING:
    from midfill.lsp_server.wire.frames import Frame

WAITING_BYTES = 1 << 22
"""The most that waits, but for one message that is longer by itself."""
_FRAME_BYTES = 100
"""What a message counts beside its body."""


class Inbox:
    """A queue into the event loop that is running now."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._changed = threading.Condition()
        self._frames: deque[Frame] = deque()
        self._waiting_bytes = 0
        self._has_ended = False

    def put(self, frame: Frame, timeout_s: float) -> bool:
        """Let a message wait, from any thread; False: there was no room for it in time."""
        with self._changed:
            if not self._changed.wait_for(self._has_room, timeout_s):
                return False
            if not self._has_ended:
                self._frames.append(frame)
                self._waiting_bytes += _size(frame)
        self._wake()
        return True

    def end(self) -> None:
        """Nothing will follow what waits; from any thread."""
        with self._changed:
            self._has_ended = True
        self._wake()

    def close(self) -> None:
        """Nobody needs what waits, or what is put from now on; from any thread."""
        with self._changed:
            self._frames.clear()
            self._waiting_bytes, self._has_ended = 0, True
            self._changed.notify_all()
        self._wake()

    async def get(self) -> Frame | None:
        """The next message, once it is here; None at the end."""
        while True:
            with self._changed:
                self._arrived.clear()
                if self._frames:
                    frame = self._frames.popleft()
                    self._waiting_bytes -= _size(frame)
                    self._changed.notify_all()
                    return frame
                if self._has_ended:
                    return None
            await self._arrived.wait()

    def _has_room(self) -> bool:
        return self._has_ended or not self._frames or self._waiting_bytes < WAITING_BYTES

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._arrived.set)


def _size(frame: Frame) -> int:
    return _FRAME_BYTES + (0 if isinstance(frame, Refusal) else len(frame))
