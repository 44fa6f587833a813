"""One run of the engine, which outlives the request that started it.

It belongs to its document: while the user types what it wrote, it goes on, and the next request
reads on in it. Text has newlines for line ends here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from midfill.lsp_server.completion.filling import Filling, KeptHole
from midfill.lsp_server.text.lines import with_newlines
from midfill.lsp_server.text.located import Hole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from midfill.engine.api import CompletionChunk, CompletionStream
    from midfill.lsp_server.request.origin import Origin

    OnEnd = Callable[["EngineRun"], None]


class EngineRun(Filling):
    r"""A filling that grows: one run of the engine, read to its end whether anybody waits or not.

    Its text is what has settled so far; a "\r" at the end waits for the "\n" that may follow.

    Args:
        origin: Who asked for it, and how.
        hole: What it fills.
        stream: Its chunks, all read here, in the running event loop.
        lead: The end of the hole's prefix that the user has not accepted yet.
    """

    def __init__(
        self, origin: Origin, hole: Hole, stream: CompletionStream, lead: str = ""
    ) -> None:
        super().__init__(origin, KeptHole.of(hole))
        self.alternatives: tuple[CompletionChunk, ...] = ()
        """Other texts for the hole, if they were asked for; they come with the end."""
        self.cancel_ms: float | None = None
        """Milliseconds from ``cancel`` to the end of the stream, if it was cancelled."""
        self._lead = lead
        self._start: Hole | None = Hole(hole.prefix.removesuffix(lead), hole.suffix)
        """Where it begins; None once it cannot go on, as it keeps the document's text."""
        self._stream = stream
        self._cancelled_at: float | None = None
        self._changed = asyncio.Event()
        self._has_ended = False
        self._on_end: list[OnEnd] = []
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(_take_note)

    def takes(self, hole: Hole) -> bool:
        """Whether it goes on writing what belongs there."""
        return self._cancelled_at is None and self.fits(hole)

    def goes_on_in(self, document: str) -> bool:
        """Whether a text of the document still leads, or has led, to what it writes."""
        if self._start is None:
            return self._cancelled_at is None and super().goes_on_in(document)
        typed = self._start.typed_in(document)
        return typed is not None and (self._lead + self.text).startswith(typed)

    def cancel(self) -> None:
        """Ask the engine to stop working on it."""
        if self._cancelled_at is None and not self._has_ended:
            self._cancelled_at = time.perf_counter()
            self._start = None
            self._stream.cancel()

    def wake(self) -> None:
        """Let everybody who waits in ``growth`` look around."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def growth(self) -> AsyncGenerator[str, None]:
        """The text so far: now, after each change or ``wake``, and at the end.

        Raises:
            MidfillError: what ended the stream, if that was an error.
        """
        while not self._has_ended:
            changed = self._changed
            yield self.text
            await changed.wait()
        self._reader.result()
        yield self.text

    async def ended(self) -> None:
        """Wait for the end of the stream, whatever ended it."""
        await asyncio.wait([self._reader])

    def when_ended(self, on_end: OnEnd) -> None:
        """Call this once, at the end of the stream, which has not come yet."""
        self._on_end.append(on_end)

    async def _read(self) -> None:
        raw = ""
        try:
            async for chunk in self._stream:
                raw += chunk.text
                self.text = with_newlines(raw.removesuffix("\r"))
                self.stats, self.alternatives = chunk.stats, chunk.alternatives
                self.wake()
            self.text = with_newlines(raw)
        finally:
            self._end()

    def _end(self) -> None:
        self._has_ended = True
        self._start = None
        if self._cancelled_at is not None:
            self.cancel_ms = (time.perf_counter() - self._cancelled_at) * 1000
        self.wake()
        for on_end in self._on_end:
            on_end(self)


def _take_note(reader: asyncio.Task[None]) -> None:
    """Ask for the error that ended a run, so that asyncio does not call it lost."""
    if not reader.cancelled():
        reader.exception()
