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
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import FinishReason
from midfill.lsp_server.explanation import Source
from midfill.lsp_server.postprocess import with_newlines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from midfill.engine.api import CompletionChunk, CompletionStats, CompletionStream
    from midfill.lsp_server.explanation import Origin

_CUT_SHORT = (FinishReason.CANCELLED, FinishReason.SUPERSEDED)
_REMEMBERED = 16
"""Completions of a document; each keeps the document's text. Twice the candidates of a place."""
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
        origin: Who asked for it, and how.
        hole: What it fills.
        stream: Its chunks; this reads them all, in the running event loop.
        on_end: Called once, when the stream has ended.
        lead: The end of the hole's prefix that the user has not accepted yet.
    """

    def __init__(
        self,
        origin: Origin,
        hole: Hole,
        stream: CompletionStream,
        on_end: Callable[[Generation], None],
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
            self.stats, self.alternatives = chunk.stats, chunk.alternatives
            self.wake()

    def _end(self, reader: asyncio.Task[None]) -> None:
        if self._cancelled_at is not None:
            self.cancel_ms = (time.perf_counter() - self._cancelled_at) * 1000
        if not reader.cancelled():
            reader.exception()  # asked for here, so that asyncio does not call it lost
        self.wake()
        self._on_end(self)


class _Written:
    """The stream of what has been written."""

    def __init__(self, chunk: CompletionChunk) -> None:
        self._chunk = chunk

    def __iter__(self) -> Iterator[CompletionChunk]:
        yield self._chunk

    async def __aiter__(self) -> AsyncIterator[CompletionChunk]:
        yield self._chunk

    def cancel(self) -> None:
        """There is nothing to end."""


class Reuse:
    """The completions of one document: a few finished ones, the one that runs, and a guess.

    The guess is what may be asked next; it runs in the background until that happens.

    Args:
        on_end: Called with each generation when its stream has ended.
    """

    def __init__(self, on_end: Callable[[Generation], None]) -> None:
        self._on_end = on_end
        self._finished: list[Generation] = []
        """The one that answers first comes last."""
        self._running: Generation | None = None
        self._guess: Generation | None = None
        self._live: set[Generation] = set()

    def finished(self, hole: Hole) -> Generation | None:
        """A finished completion of which the user typed a part, or nothing yet.

        None if there is none, or if it was typed to its end.
        """
        self._settle()
        for known in reversed(self._finished):
            if known.fits(hole) and (known.rest(hole) or hole == known.hole):
                return known
        return None

    def alternatives(self, hole: Hole) -> list[Generation]:
        """All finished completions of this very hole, the one that answers first in front."""
        self._settle()
        return [known for known in reversed(self._finished) if known.hole == hole]

    def prefer(self, generation: Generation) -> None:
        """Let this one answer before others, if it is known: the user has seen it."""
        if generation in self._finished:
            self._finished.remove(generation)
            self._finished.append(generation)

    def running(self, hole: Hole) -> Generation | None:
        """The generation that runs, if the hole goes on with it; a guess is one from then on."""
        if self._guess is not None and self._guess.takes(hole):
            self._running, self._guess = self._guess, None
        generation = self._running
        return generation if generation is not None and generation.takes(hole) else None

    def start(self, origin: Origin, hole: Hole, stream: CompletionStream) -> Generation:
        """Read a new stream; what runs is cancelled."""
        self._settle()
        self.cancel()
        self._running = self._read(Generation(origin, hole, stream, self._ended))
        return self._running

    def guess(self, origin: Origin, hole: Hole, stream: CompletionStream, lead: str) -> Generation:
        """Read a new stream in the background; it is for when the user has accepted ``lead``."""
        self.drop_guess()
        self._guess = self._read(Generation(origin, hole, stream, self._ended, lead))
        return self._guess

    async def add(self, origin: Origin, hole: Hole, written: CompletionChunk) -> Generation:
        """Remember a text that came as an alternative to another one."""
        generation = Generation(origin, hole, _Written(written), self._live.discard)
        await self._read(generation).ended()
        self._remember(generation)
        return generation

    def drop_guess(self) -> None:
        """Stop what nobody has asked for."""
        if self._guess is not None:
            self._guess.cancel()

    def edited(self, document: str) -> None:
        """Stop what runs unless the document's new text goes on with it; wake those who wait."""
        for generation in (self._running, self._guess):
            if generation is not None and not generation.goes_on_in(document):
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
        self.drop_guess()

    def forget(self) -> None:
        """Drop what is known, because it no longer answers what will be asked."""
        self.cancel()
        self._running = self._guess = None
        self._finished.clear()

    async def close(self) -> None:
        """Stop everything, and wait for its end, though not for an engine that hangs."""
        self.forget()
        if self._live:
            ends = [asyncio.ensure_future(generation.ended()) for generation in self._live]
            await asyncio.wait(ends, timeout=_CLOSE_SECONDS)

    def _ended(self, generation: Generation) -> None:
        self._live.discard(generation)
        self._keep(generation)
        self._on_end(generation)

    def _read(self, generation: Generation) -> Generation:
        self._live.add(generation)
        return generation

    def _settle(self) -> None:
        """Keep what has ended; its own callback comes a moment later."""
        for generation in (self._running, self._guess):
            if generation is not None and generation.has_ended:
                self._keep(generation)

    def _keep(self, generation: Generation) -> None:
        """Let one that has ended answer from now on, unless it was forgotten or cut short."""
        if generation is self._running:
            self._running = None
        elif generation is self._guess:
            self._guess = None
        else:
            return
        if generation.is_complete:
            self._remember(generation)

    def _remember(self, generation: Generation) -> None:
        """Further candidates do not answer before the first one of their hole."""
        place = len(self._finished)
        if generation.origin.source is Source.CANDIDATE:
            same = [n for n, known in enumerate(self._finished) if known.hole == generation.hole]
            place = min(same, default=place)
        self._finished.insert(place, generation)
        del self._finished[:-_REMEMBERED]
