"""Completions that outlive their request, so that typing what was suggested costs no model call.

A *generation* is one run of the engine. It belongs to its document, not to the request that
started it: while the user types what it wrote, it goes on, and the next request reads on in it.
Text has newlines for line ends here.

Invariant: what a reused completion gives, put after the new prefix, is what the engine wrote after
the old one (test_a_remainder_after_the_typed_text_makes_the_same_document).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import FinishReason
from midfill.lsp_server.postprocess import with_newlines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from midfill.engine.api import CompletionStats, CompletionStream

_CUT_SHORT = (FinishReason.CANCELLED, FinishReason.SUPERSEDED)
_REMEMBERED = 8
"""Completions of a document; each keeps the document's text."""
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Hole:
    """The place to fill, as the engine sees it."""

    prefix: str
    suffix: str

    def typed_since(self, earlier: Hole) -> str | None:
        """What was typed at the earlier hole to make this one; None if something else happened."""
        if self.suffix != earlier.suffix or not self.prefix.startswith(earlier.prefix):
            return None
        return self.prefix[len(earlier.prefix) :]

    def typed_in(self, document: str) -> str | None:
        """What stands in the hole in a later text of the document; None if more has changed."""
        end = len(document) - len(self.suffix)
        is_around = document.startswith(self.prefix) and document.endswith(self.suffix)
        return document[len(self.prefix) : end] if is_around and end >= len(self.prefix) else None


class Generation:
    """One run of the engine, read to its end whether anybody waits or not.

    Args:
        hole: What it fills.
        stream: Its chunks; this reads them all, in the running event loop.
        on_end: Called once, when the stream has ended.
    """

    def __init__(
        self, hole: Hole, stream: CompletionStream, on_end: Callable[[Generation], None]
    ) -> None:
        self.hole = hole
        self.stats: CompletionStats | None = None
        """Of a stream that came to its end without an error."""
        self.cancel_ms: float | None = None
        """From cancel() to the end of the stream, if it was cancelled."""
        self._raw = ""
        self._stream = stream
        self._on_end = on_end
        self._cancelled_at: float | None = None
        self._changed = asyncio.Event()
        self._reader = asyncio.create_task(self._read())
        self._reader.add_done_callback(self._end)

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

    def takes(self, typed: str | None) -> bool:
        """Whether what was typed in its hole is (a part of) what it wrote, and it may go on."""
        return typed is not None and self._cancelled_at is None and self.text.startswith(typed)

    def cancel(self) -> None:
        """Ask the engine to stop working on it."""
        if self._cancelled_at is None and not self.has_ended:
            self._cancelled_at = time.perf_counter()
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
        while not self.has_ended:
            changed = self._changed
            yield self.text
            await changed.wait()
        self._reader.result()
        yield self.text

    async def ended(self) -> None:
        """Wait for the end of the stream, whatever ended it."""
        await asyncio.wait([self._reader])

    async def _read(self) -> None:
        async for chunk in self._stream:
            self._raw += chunk.text
            self.stats = chunk.stats
            self.wake()

    def _end(self, reader: asyncio.Task[None]) -> None:
        if self._cancelled_at is not None:
            self.cancel_ms = (time.perf_counter() - self._cancelled_at) * 1000
        if not reader.cancelled():
            reader.exception()  # asked for here, so that asyncio does not call it lost
        self.wake()
        self._on_end(self)


class Reuse:
    """The completions of one document: a few finished ones, and the one that runs.

    Args:
        on_end: Called with each generation when its stream has ended.
    """

    def __init__(self, on_end: Callable[[Generation], None]) -> None:
        self._on_end = on_end
        self._finished: deque[tuple[Hole, str]] = deque(maxlen=_REMEMBERED)
        self._running: Generation | None = None
        self._live: set[Generation] = set()

    def remainder(self, hole: Hole) -> str | None:
        """The rest of a finished completion of which the user typed a part, or nothing yet.

        None if there is none, or if it was typed to its end.
        """
        for known, text in reversed(self._finished):
            typed = hole.typed_since(known)
            if typed is not None and text.startswith(typed) and (text != typed or not typed):
                return text[len(typed) :]
        return None

    def running(self, hole: Hole) -> Generation | None:
        """The generation that runs, if the hole goes on with it."""
        generation = self._running
        if generation is not None and generation.takes(hole.typed_since(generation.hole)):
            return generation
        return None

    def start(self, hole: Hole, stream: CompletionStream) -> Generation:
        """Read a new stream; the one that runs is cancelled."""
        self.cancel()
        self._running = Generation(hole, stream, self._ended)
        self._live.add(self._running)
        return self._running

    def edited(self, document: str) -> None:
        """Stop what runs unless the document's new text goes on with it; wake those who wait."""
        generation = self._running
        if generation is not None and not generation.takes(generation.hole.typed_in(document)):
            generation.cancel()
        self.wake()

    def wake(self) -> None:
        """Let all requests look whether they are still wanted."""
        for generation in self._live:
            generation.wake()

    def cancel(self) -> None:
        """Stop what runs."""
        if self._running is not None:
            self._running.cancel()

    def forget(self) -> None:
        """Drop what is known, because it no longer answers what will be asked."""
        self.cancel()
        self._running = None
        self._finished.clear()

    async def close(self) -> None:
        """Stop everything, and wait for its end, though not for an engine that hangs."""
        self.forget()
        if self._live:
            ends = [asyncio.ensure_future(generation.ended()) for generation in self._live]
            await asyncio.wait(ends, timeout=_CLOSE_SECONDS)

    def _ended(self, generation: Generation) -> None:
        self._live.discard(generation)
        if generation is self._running:
            self._running = None
            if generation.is_complete:
                self._finished.append((generation.hole, generation.text))
        self._on_end(generation)
