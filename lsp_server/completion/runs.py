"""Completions that outlive their request, so that typing what was suggested costs no model call.

Text has newlines for line ends here.

Invariant: what a reused completion gives, put after the new prefix, is what the engine wrote after
the old one (test_a_remainder_after_the_typed_text_makes_the_same_document).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from midfill.lsp_server.completion.engine_run import EngineRun
from midfill.lsp_server.request.origin import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.engine.api import CompletionChunk, CompletionStream
    from midfill.lsp_server.request.origin import Origin
    from midfill.lsp_server.request.place import Hole

_REMEMBERED = 16
"""Completions of a document; each keeps the document's text. Twice the candidates of a place."""
_CLOSE_SECONDS = 1.0


class Runs:
    """The completions of one document: a few finished ones, the one that runs, and a guess.

    The guess is what may be asked next; it runs in the background until that happens.

    Args:
        on_end: Called with each generation when its stream has ended.
    """

    def __init__(self, on_end: Callable[[EngineRun], None]) -> None:
        self._on_end = on_end
        self._finished: list[EngineRun] = []
        """The one that answers first comes last."""
        self._running: EngineRun | None = None
        self._guess: EngineRun | None = None
        self._live: set[EngineRun] = set()

    def finished(self, hole: Hole) -> EngineRun | None:
        """A finished completion of which the user typed a part, or nothing yet.

        None if there is none, or if it was typed to its end.
        """
        self._settle()
        for known in reversed(self._finished):
            if known.fits(hole) and (known.rest(hole) or hole == known.hole):
                return known
        return None

    def alternatives(self, hole: Hole) -> list[EngineRun]:
        """All finished completions of this very hole, the one that answers first in front."""
        self._settle()
        return [known for known in reversed(self._finished) if known.hole == hole]

    def prefer(self, run: EngineRun) -> None:
        """Let this one answer before others, if it is known: the user has seen it."""
        if run in self._finished:
            self._finished.remove(run)
            self._finished.append(run)

    def running(self, hole: Hole) -> EngineRun | None:
        """The generation that runs, if the hole goes on with it; a guess is one from then on."""
        if self._guess is not None and self._guess.takes(hole):
            self._running, self._guess = self._guess, None
        run = self._running
        return run if run is not None and run.takes(hole) else None

    def start(self, origin: Origin, hole: Hole, stream: CompletionStream) -> EngineRun:
        """Read a new stream; what runs is cancelled."""
        self._settle()
        self.cancel()
        self._running = self._read(EngineRun(origin, hole, stream, self._ended))
        return self._running

    def guess(self, origin: Origin, hole: Hole, stream: CompletionStream, lead: str) -> EngineRun:
        """Read a new stream in the background; it is for when the user has accepted ``lead``."""
        self.drop_guess()
        self._guess = self._read(EngineRun(origin, hole, stream, self._ended, lead))
        return self._guess

    def add(self, origin: Origin, hole: Hole, written: CompletionChunk) -> EngineRun:
        """Remember a text that came as an alternative to another one."""
        self._settle()
        run = EngineRun(origin, hole, written, self._ended)
        self._remember(run)
        return run

    def drop_guess(self) -> None:
        """Stop what nobody has asked for."""
        if self._guess is not None:
            self._guess.cancel()

    def edited(self, document: str) -> None:
        """Stop what runs unless the document's new text goes on with it; wake those who wait."""
        for run in (self._running, self._guess):
            if run is not None and not run.goes_on_in(document):
                run.cancel()
        self.wake()

    def wake(self) -> None:
        """Let all requests look whether they are still wanted."""
        for run in self._live:
            run.wake()

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
            ends = [asyncio.ensure_future(run.ended()) for run in self._live]
            await asyncio.wait(ends, timeout=_CLOSE_SECONDS)

    def _ended(self, run: EngineRun) -> None:
        self._live.discard(run)
        self._keep(run)
        self._on_end(run)

    def _read(self, run: EngineRun) -> EngineRun:
        self._live.add(run)
        return run

    def _settle(self) -> None:
        """Keep what has ended; its own callback comes a moment later."""
        for run in (self._running, self._guess):
            if run is not None and run.has_ended:
                self._keep(run)

    def _keep(self, run: EngineRun) -> None:
        """Let one that has ended answer from now on, unless it was forgotten or cut short."""
        if run is self._running:
            self._running = None
        elif run is self._guess:
            self._guess = None
        else:
            return
        if run.is_complete:
            self._remember(run)

    def _remember(self, run: EngineRun) -> None:
        """Further candidates do not answer before the first one of their hole."""
        place = len(self._finished)
        if run.origin.source is Source.CANDIDATE:
            same = [n for n, known in enumerate(self._finished) if known.hole == run.hole]
            place = min(same, default=place)
        self._finished.insert(place, run)
        del self._finished[:-_REMEMBERED]
