"""The answer to one request: what is known, what is being written, or what the engine is asked."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from midfill.engine.errors import EngineClosedError
from midfill.lsp_server.completion.candidates import are_enough, offer_distinct
from midfill.lsp_server.request.origin import Source
from midfill.lsp_server.request.place import Suggestion

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from midfill.engine.api import Engine
    from midfill.lsp_server.completion.engine_run import EngineRun
    from midfill.lsp_server.completion.prefetch import Prefetcher
    from midfill.lsp_server.completion.starter import Starter
    from midfill.lsp_server.completion.stats import Stats
    from midfill.lsp_server.completion.suggestions import Items
    from midfill.lsp_server.completion.ticket import Ticket
    from midfill.lsp_server.engine_host import EngineHost


class Answerer:
    """Answers the requests of one client, as long as they are wanted.

    Args:
        host: Has the engine.
        starter: Starts runs of it.
        prefetcher: Is stopped by every run that somebody waits for.
        items: Where it notes what is offered.
        stats: Where it counts.
    """

    def __init__(
        self,
        host: EngineHost,
        starter: Starter,
        prefetcher: Prefetcher,
        items: Items,
        stats: Stats,
    ) -> None:
        self._host = host
        self._starter = starter
        self._prefetcher = prefetcher
        self._items = items
        self._stats = stats

    async def answer(self, ticket: Ticket, candidates: int) -> list[Suggestion] | None:
        """What to offer; empty: there is nothing to say here; None: no answer (any more).

        Raises:
            MidfillError: there is no engine, or it failed.
        """
        first = self._known(ticket)
        if first is not None and candidates == 1:
            return first
        engine = await self._engine(ticket)
        if engine is None or not ticket.is_wanted:
            return first
        try:
            if first is None:
                first = await self._written(ticket, engine)
            if first is None or candidates == 1:
                return first
            return await self._with_others(ticket, engine, first, candidates)
        except EngineClosedError as error:
            self._host.lost(engine, error)
            raise

    def _known(self, ticket: Ticket) -> list[Suggestion] | None:
        """What a finished completion gives here, if that is something to show."""
        place = ticket.place
        filling = ticket.runs.finished.first(place.hole) if ticket.is_wanted else None
        if filling is None:
            return None
        rest = filling.rest(place.hole)
        text = place.display.finished(rest, filling.typed(place.hole))
        if not text and (rest or ticket.insists(filling)):
            return None
        source = Source.PREFETCHED if filling.is_prefetched_for(place.hole) else Source.REUSED
        self._stats.count_answer(source)
        return self._items.offer(filling, place, text, source)

    async def _engine(self, ticket: Ticket) -> Engine | None:
        """The engine; who did not ask does not wait for it, nor hear what is wrong with it."""
        return await self._host.engine() if ticket.place.ask.is_invoked else self._host.ready

    async def _written(self, ticket: Ticket, engine: Engine) -> list[Suggestion] | None:
        """What a run gives that goes on here already, else a new one."""
        hole = ticket.place.hole
        run = ticket.runs.running(hole)
        if run is not None:
            source = Source.PREFETCHED if run.is_prefetched_for(hole) else Source.JOINED
            self._stats.count_answer(source)
            reply = await self._followed(ticket, run, source)
            was_guess = run.origin.source is Source.PREFETCHED
            in_vain = ticket.insists(run) if reply == [] else was_guess and reply is None
            if not in_vain or not ticket.is_wanted:
                return reply  # a guess may be stopped for the sake of anybody's request
        run = await self._started(ticket, engine)
        return None if run is None else await self._followed(ticket, run, Source.GENERATED)

    async def _with_others(
        self, ticket: Ticket, engine: Engine, first: list[Suggestion], number: int
    ) -> list[Suggestion] | None:
        """The first candidate and others, as many as there are different ones."""
        runs, place = ticket.runs, ticket.place
        known = [item.filling for each in first if (item := self._items.get(each.item_id))]
        known += [each for each in runs.finished.all_of(place.hole) if each not in known]
        if not are_enough(place, known, number):
            best = await self._started(ticket, engine, number)
            if best is None:
                return None
            if await self._followed(ticket.quiet(), best, Source.CANDIDATE) is None:
                return None
            known += [best, *self._starter.alternatives(runs, best)]
            if not ticket.is_wanted:
                return None
        offered = offer_distinct(self._items, place, known, number)
        ticket.show_new(offered, first)
        return offered

    async def _started(
        self, ticket: Ticket, engine: Engine, candidates: int = 1
    ) -> EngineRun | None:
        run = await self._starter.start(ticket, engine, candidates)
        if run is not None:
            self._prefetcher.stop()
        return run

    async def _followed(
        self, ticket: Ticket, run: EngineRun, source: Source
    ) -> list[Suggestion] | None:
        """What a run gives in the end; a cancel by the client stops it, unless others read it."""
        try:
            async with aclosing(run.growth()) as growth:
                return await self._read(ticket, run, source, growth)
        except asyncio.CancelledError:
            if ticket.is_wanted:
                run.cancel()
            raise

    async def _read(
        self, ticket: Ticket, run: EngineRun, source: Source, growth: AsyncIterator[str]
    ) -> list[Suggestion] | None:
        place, shown = ticket.place, list[Suggestion]()
        place.display.prepare()
        async for _ in growth:
            if not ticket.is_wanted:
                return None
            if ticket.show is not None:
                text = place.display.settled(run.rest(place.hole), run.typed(place.hole))
                offered = self._items.offer(run, place, text, source)
                shown = ticket.show_new(offered, shown)
        if not run.is_complete:
            return None
        text = place.display.finished(run.rest(place.hole), run.typed(place.hole))
        return self._items.offer(run, place, text, source)
