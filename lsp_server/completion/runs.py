"""The runs of the engine for one document: the one that answers, a guess, and what they left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from midfill.lsp_server.completion.filling import Fillings

if TYPE_CHECKING:
    from midfill.lsp_server.completion.engine_run import EngineRun
    from midfill.lsp_server.text.located import Hole

_CLOSE_SECONDS = 1.0


class Runs:
    """The runs of one document: the one that answers requests, and a guess.

    The guess is what may be asked next; it runs in the background until that happens.
    """

    def __init__(self) -> None:
        self.finished = Fillings()
        """What runs that came to an end of their own have written."""
        self._running: EngineRun | None = None
        self._guess: EngineRun | None = None
        self._live: set[EngineRun] = set()

    def running(self, hole: Hole) -> EngineRun | None:
        """The run that goes on with the hole; a guess that does answers requests from then on."""
        if self._guess is not None and self._guess.takes(hole):
            self._running, self._guess = self._guess, None
        run = self._running
        return run if run is not None and run.takes(hole) else None

    def start(self, run: EngineRun) -> None:
        """Let a new run answer requests; what ran until now is cancelled."""
        self.cancel()
        self._running = self._followed(run)

    def guess(self, run: EngineRun) -> None:
        """Let a new run go on in the background, in the place of the guess before."""
        self.drop_guess()
        self._guess = self._followed(run)

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
        self.finished.clear()

    async def close(self) -> None:
        """Stop everything, and wait for its end, though not for an engine that hangs."""
        self.forget()
        if self._live:
            ends = [asyncio.ensure_future(run.ended()) for run in self._live]
            await asyncio.wait(ends, timeout=_CLOSE_SECONDS)

    def _followed(self, run: EngineRun) -> EngineRun:
        self._live.add(run)
        run.when_ended(self._ended)
        return run

    def _ended(self, run: EngineRun) -> None:
        """Let it answer from now on, unless it was forgotten or cut short."""
        self._live.discard(run)
        if run is self._running:
            self._running = None
        elif run is self._guess:
            self._guess = None
        else:
            return
        if run.is_complete:
            self.finished.add(run)
