"""The stream between the engine's thread and whoever asked: chunks in, chunks out, an early end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

from midfill.engine.api import CompletionChunk, FinishReason
from midfill.engine.scheduling.cancel import CancelFlag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from midfill.engine.errors import MidfillError


class Stream:
    """A CompletionStream whose chunks another thread puts; it ends with stats or with an error."""

    def __init__(self) -> None:
        self._chunks: deque[CompletionChunk | MidfillError] = deque()
        self._arrived = threading.Condition()
        self._wake: Callable[[], object] = lambda: None
        self._ended = False
        self.interrupted: FinishReason | None = None
        self.cancel_flag = CancelFlag()

    def put(self, chunk: CompletionChunk | MidfillError) -> None:
        """Hand over a chunk, or the error that ends the stream; nothing may follow the end."""
        with self._arrived:
            assert not self._ended, chunk
            self._ended = not isinstance(chunk, CompletionChunk) or chunk.stats is not None
            self._chunks.append(chunk)
            self._arrived.notify_all()
            self._wake()

    def fail(self, error: MidfillError) -> None:
        """End with an error, unless the end is there already: then nobody could see it."""
        if not self._ended:
            self.put(error)

    def interrupt(self, reason: FinishReason) -> None:
        """Ask whoever produces to end early; the first reason stands."""
        if self.interrupted is None:
            self.interrupted = reason
            self.cancel_flag.set()

    def cancel(self) -> None:
        """Ask for an early end, from any thread: ``FinishReason.CANCELLED``."""
        self.interrupt(FinishReason.CANCELLED)

    def __iter__(self) -> Iterator[CompletionChunk]:
        """Block for each chunk; raise the MidfillError that ended the completion, if one did."""
        while True:
            with self._arrived:
                self._arrived.wait_for(lambda: self._chunks)
                chunk = self._next()
            yield chunk
            if chunk.stats is not None:
                return

    async def __aiter__(self) -> AsyncIterator[CompletionChunk]:
        """Like ``__iter__``, for a running event loop."""
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()
        with self._arrived:
            self._wake = lambda: _set(arrived, loop)
        while True:
            with self._arrived:
                chunk = self._next() if self._chunks else None
            if chunk is None:
                await arrived.wait()
                arrived.clear()
                continue
            yield chunk
            if chunk.stats is not None:
                return

    def _next(self) -> CompletionChunk:
        chunk = self._chunks.popleft()
        if isinstance(chunk, CompletionChunk):
            return chunk
        raise chunk


def _set(arrived: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(arrived.set)
