"""One run of the engine, which outlives the request that started it.

It belongs to its document: while the user types what it wrote, it goes on, and the next request
reads on in it. Text has newlines for line ends here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from midfill.engine.api import CompletionChunk, FinishReason
from midfill.lsp_server.request.place import Hole
from midfill.lsp_server.text.lines import with_newlines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from midfill.engine.api import CompletionStats, CompletionStream
    from midfill.lsp_server.request.origin import Origin

_CUT_SHORT = (FinishReason.CANCELLED, FinishReason.SUPERSEDED)


class EngineRun:
    """One run of the engine, read to its end whether anybody waits or not.

    Args:
        origin: Who asked for it, and how.
        hole: What it fills.
        stream: Its chunks, all read here, in the running event loop; or the one that it had.
        on_end: Called once, when a stream has ended.
        lead: The end of the hole's prefix that the user has not accepted yet.
    """

    def __init__(
        self,
        origin: Origin,
        hole: Hole,
        stream: CompletionStream | CompletionChunk,
        on_end: Callable[[EngineRun], None],
        lead: str = "",
    ) -> None:
        self.origin = origin
        self.hole = hole
        self.stats: CompletionStats | None = None
        """Of a stream that came to its end without an error."""
        self.alternatives: tuple[CompletionChunk, ...] = ()
        """Other texts for the hole."""
        self.cancel_ms: float | None = None
        """From cancel() to the end of the stream, if it was cancelled."""
        self._lead = lead
        self._start = Hole(hole.prefix.removesuffix(lead), hole.suffix)
        self._raw = ""
        self._on_end = on_end
        self._cancelled_at: float | None = None
        self._changed = asyncio.Event()
        self._reader = self._start_reading(stream)

    @property
    def text(self) -> str:
        r"""What has settled so far; a "\r" at its end waits for the "\n" that may follow."""
        return with_newlines(self._raw if self.has_ended else self._raw.removesuffix("\r"))

    @property
    def has_ended(self) -> bool:
        """Whether the stream is over."""
        return self._reader.done()

    @property
    def is_complete(self) -> bool:
        """Whether it came to an end of its own, and so may be shown and remembered."""
        return self.stats is not None and self.stats.finish_reason not in _CUT_SHORT

    def fits(self, hole: Hole) -> bool:
        """Whether its text belongs there: in the hole, with some of it typed perhaps."""
        typed = hole.typed_since(self.hole)
        return typed is not None and self.text.startswith(typed)

    def takes(self, hole: Hole) -> bool:
        """Whether it goes on writing what belongs there."""
        return self._cancelled_at is None and self.fits(hole)

    def goes_on_in(self, document: str) -> bool:
        """Whether a text of the document still leads, or has led, to what it wrote so far."""
        typed = self._start.typed_in(document)
        whole = self._lead + self.text
        return typed is not None and self._cancelled_at is None and whole.startswith(typed)

    def rest(self, hole: Hole) -> str:
        """What is left of the text in a hole that it fits."""
        return self.text[len(hole.prefix) - len(self.hole.prefix) :]

    def cancel(self) -> None:
        """Ask the engine to stop working on it."""
        if self._cancelled_at is None and not self.has_ended:
            self._cancelled_at = time.perf_counter()
            self._ask_to_stop()

    def wake(self) -> None:
        """Let everybody who waits in ``growth`` look around."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def growth(self) -> AsyncGenerator[str, None]:
        """The text so far: now, after each change or ``wake``, and at the end.

        Raises:
            MidfillError: what ended the stream, if that was an error.
        """
        while not self.has_ended:
            changed = self._changed
            yield self.text
            await changed.wait()
        self._reader.result()
        yield self.text

    async def ended(self) -> None:
        """Wait for the end of the stream, whatever ended it."""
        await asyncio.wait([self._reader])

    def _start_reading(self, stream: CompletionStream | CompletionChunk) -> asyncio.Future[None]:
        if isinstance(stream, CompletionChunk):
            self._take(stream)
            reader: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            reader.set_result(None)
            return reader
        self._ask_to_stop = stream.cancel
        reader = asyncio.create_task(self._read(stream))
        reader.add_done_callback(self._end)
        return reader

    async def _read(self, stream: CompletionStream) -> None:
        async for chunk in stream:
            self._take(chunk)
            self.wake()

    def _take(self, chunk: CompletionChunk) -> None:
        self._raw += chunk.text
        self.stats, self.alternatives = chunk.stats, chunk.alternatives

    def _end(self, reader: asyncio.Future[None]) -> None:
        if self._cancelled_at is not None:
            self.cancel_ms = (time.perf_counter() - self._cancelled_at) * 1000
        if not reader.cancelled():
            reader.exception()  # asked for here, so that asyncio does not call it lost
        self.wake()
        self._on_end(self)
