"""How runs of the engine begin, for requests and for guesses, and what is counted of them.

What the engine writes has an id from its start on, by which clients speak of it
(``suggestions.py``).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from midfill.engine.api import Priority
from midfill.lsp_server.completion.candidates import several
from midfill.lsp_server.completion.engine_run import EngineRun
from midfill.lsp_server.completion.filling import Filling
from midfill.lsp_server.request.origin import Origin, Source
from midfill.lsp_server.text.lines import with_newlines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from midfill.engine.api import Engine
    from midfill.lsp_server.completion.runs import Runs
    from midfill.lsp_server.completion.stats import Stats
    from midfill.lsp_server.completion.ticket import Ticket
    from midfill.lsp_server.engine_host import EngineHost
    from midfill.lsp_server.request.origin import Asked
    from midfill.lsp_server.request.place import Place
    from midfill.lsp_server.settings import CompletionSettings

    MakeRequest = Callable[[Place], Awaitable[Asked]]
    OnBusy = Callable[[bool], None]

_log = logging.getLogger(__name__)


class Starter:
    """Starts the runs of one client.

    Args:
        host: Has the engine.
        make_request: Gathers context and builds the engine's request; may take a while.
        stats: Where it counts.
        on_busy: Told when work starts (True) and when all of it has ended (False).
    """

    def __init__(
        self, host: EngineHost, make_request: MakeRequest, stats: Stats, on_busy: OnBusy
    ) -> None:
        self._host = host
        self._make_request = make_request
        self._stats = stats
        self._on_busy = on_busy
        self._debounce_ms = 0
        self._ids = map(str, count(1))
        self._running = 0

    def configure(self, settings: CompletionSettings) -> None:
        """Use these settings from now on."""
        self._debounce_ms = settings.debounce_ms

    async def start(self, ticket: Ticket, engine: Engine, candidates: int = 1) -> EngineRun | None:
        """A new run, for so many different texts; None if the request is not wanted any more.

        Raises:
            MidfillError: the engine cannot do it, or is closed.
        """
        asked = await self._ask(ticket)
        if asked is None:
            return None
        source = Source.GENERATED
        if candidates > 1:
            asked, source = several(asked, candidates), Source.CANDIDATE
        run = self._run(engine, ticket.place, asked, source)
        ticket.runs.start(run)
        self._stats.generations += 1
        self._count_running(+1)
        return run

    async def guess(self, runs: Runs, place: Place, lead: str) -> None:
        """Prepare what may be asked at a place, once the user has accepted its end, the lead.

        Raises:
            MidfillError: the engine cannot do it, or is closed.
        """
        asked = await self._make_request(place)
        engine = self._host.ready
        if engine is not None:
            request = replace(asked.request, priority=Priority.PREFETCH)
            asked = replace(asked, request=request)
            runs.guess(self._run(engine, place, asked, Source.PREFETCHED, lead))
            self._stats.prefetches += 1

    def alternatives(self, runs: Runs, run: EngineRun) -> list[Filling]:
        """The other texts of a run that has ended, with ids of their own; they are remembered."""
        others = [
            Filling(
                replace(run.origin, item_id=next(self._ids)),
                run.hole,
                with_newlines(chunk.text),
                chunk.stats,
            )
            for chunk in run.alternatives
        ]
        for other in others:
            runs.finished.add(other)
        return others

    async def _ask(self, ticket: Ticket) -> Asked | None:
        """A request of the ticket's own; None if it is not wanted any more."""
        ticket.runs.cancel()
        if self._debounce_ms and not ticket.place.ask.is_invoked:
            await asyncio.sleep(self._debounce_ms / 1000)
        if not ticket.is_wanted:
            return None
        asked = await self._make_request(ticket.place)
        return asked if ticket.is_wanted else None

    def _run(
        self, engine: Engine, place: Place, asked: Asked, source: Source, lead: str = ""
    ) -> EngineRun:
        request = replace(asked.request, prefix="", suffix="")  # may be as long as the document
        origin = Origin(next(self._ids), source, replace(asked, request=request), engine.info)
        run = EngineRun(origin, place.hole, engine.infill(asked.request), lead)
        run.when_ended(self._ended)
        return run

    def _ended(self, run: EngineRun) -> None:
        if run.origin.source is not Source.PREFETCHED:
            self._count_running(-1)
        self._stats.count_end(run.stats, run.cancel_ms)
        if run.cancel_ms is not None:
            _log.debug("the engine stopped %.1f ms after the cancel", run.cancel_ms)

    def _count_running(self, change: int) -> None:
        was_busy = self._running > 0
        self._running += change
        if was_busy != (self._running > 0):
            self._on_busy(not was_busy)
