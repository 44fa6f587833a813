"""One completion, from a snapshot to suggestions: reuse, or ask the engine and read along.

A request is *wanted* while it is the newest of its document and the document has the version that
it was asked for. One that is not wanted any more gets no answer (None), at once.

What the engine wrote has an id from its start on, by which clients speak of it (``items.py``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING

from midfill.engine.errors import EngineClosedError
from midfill.lsp_server.completion.candidates import distinct, has_several, several
from midfill.lsp_server.completion.engine_run import EngineRun
from midfill.lsp_server.completion.prefetch import Prefetcher
from midfill.lsp_server.completion.runs import Runs
from midfill.lsp_server.completion.stats import Stats
from midfill.lsp_server.completion.suggestions import Item, Items
from midfill.lsp_server.request.origin import Origin, Source
from midfill.lsp_server.request.place import Ask, Hole, Place, Suggestion
from midfill.lsp_server.text.documents import DocumentError
from midfill.lsp_server.text.lines import with_newlines

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from midfill.engine.api import Engine
    from midfill.lsp_server.engine_host import EngineHost
    from midfill.lsp_server.request.origin import Asked
    from midfill.lsp_server.text.documents import Documents, Snapshot

    Show = Callable[[list[Suggestion]], None]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class DocumentQueue:
    """Where the requests of one document queue."""

    reuse: Runs
    newest: int = 0


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request's place in the queue."""

    place: Place
    queue: DocumentQueue
    number: int
    show: Show | None = field(default=None)


class Completer:
    """Answers the requests of one client.

    Args:
        host: Has the engine.
        documents: The client's, to see whether a version is still current.
        make_request: Gathers context and builds the engine's request; may take a while.
        on_busy: Told when work starts (True) and when all of it has ended (False).
    """

    def __init__(
        self,
        host: EngineHost,
        documents: Documents,
        make_request: Callable[[Place], Awaitable[Asked]],
        on_busy: Callable[[bool], None],
    ) -> None:
        self.stats = Stats()
        self.items = Items(self.stats)
        self.prefetcher = Prefetcher(make_request, self._guess)
        self.debounce_ms = 0
        self._ids = map(str, count(1))
        self._host = host
        self._documents = documents
        self._make_request = make_request
        self._on_busy = on_busy
        self._queues: dict[str, DocumentQueue] = {}
        self._running = 0

    async def complete(
        self, ask: Ask, show: Show | None = None, candidates: int = 1
    ) -> list[Suggestion] | None:
        """What to offer; empty: there is nothing to say here; None: no answer (any more).

        Args:
            ask: The place.
            show: Gets each state of a growing completion, the last one equal to the result.
            candidates: Different completions wanted, at most.

        Raises:
            MidfillError: there is no engine, or it failed.
        """
        self.stats.requests += 1
        ticket = self._queue(Place(ask), show)
        started, outcome = time.perf_counter(), "failed or cancelled"
        try:
            reply = await self._reply(ticket, candidates)
            outcome = "no answer" if reply is None else f"{len(reply)} suggestions"
            return reply
        finally:
            took = (time.perf_counter() - started) * 1000
            place = (ask.snapshot.version, ask.offset)
            _log.debug("version %d, offset %d: %s after %.0f ms", *place, outcome, took)

    def shown(self, item_id: str) -> None:
        """A suggestion is on the screen: prepare what comes after it."""
        item = self.items.shown(item_id)
        if item is not None and (queue := self._queues.get(item.uri)):
            queue.reuse.prefer(item.generation)
            self.prefetcher.shown(item)

    def dismissed(self, item_id: str) -> None:
        """A suggestion was turned away: what would follow it is in vain."""
        self.items.dismissed(item_id)
        self.prefetcher.stop()
        for queue in self._queues.values():
            queue.reuse.drop_guess()

    def edited(self, snapshot: Snapshot) -> None:
        """A document changed: stop what no longer fits it."""
        if queue := self._queues.get(snapshot.uri):
            queue.reuse.edited(with_newlines(snapshot.text))
        self.prefetcher.edited(snapshot)

    def closed(self, uri: str) -> None:
        """A document was closed: stop its work, forget its completions."""
        if queue := self._queues.pop(uri, None):
            queue.newest += 1
            queue.reuse.forget()

    def forget(self) -> None:
        """What is known may be different now: another model, other settings."""
        self.prefetcher.stop()
        for queue in self._queues.values():
            queue.reuse.forget()

    async def close(self) -> None:
        """Stop all work, and wait for its end."""
        await self.prefetcher.close()
        for uri, queue in tuple(self._queues.items()):
            self.closed(uri)
            await queue.reuse.close()

    async def _reply(self, ticket: Ticket, candidates: int) -> list[Suggestion] | None:
        """As ``complete``, for a request that has its turn."""
        ask = ticket.place.ask
        first = self._known(ticket)
        if first is not None and candidates == 1:
            return first
        engine = await self._engine(ask)
        if engine is None or not self._is_wanted(ticket):
            return first
        try:
            if first is None:
                first = await self._generate(ticket, engine)
            if first is None or candidates == 1:
                return first
            return await self._with_others(ticket, engine, first, candidates)
        except EngineClosedError as error:
            self._host.lost(engine, error)
            raise

    def _queue(self, place: Place, show: Show | None) -> Ticket:
        """A turn for a new request, ahead of all others of its document."""
        queue = self._queues.setdefault(place.snapshot.uri, DocumentQueue(Runs(self._ended)))
        queue.newest += 1
        queue.reuse.wake()
        return Ticket(place, queue, queue.newest, show)

    def _is_wanted(self, ticket: Ticket) -> bool:
        asked = ticket.place.ask.snapshot
        try:
            current = self._documents.get(asked.uri)
        except DocumentError:
            return False
        return ticket.number == ticket.queue.newest and current.version == asked.version

    def _known(self, ticket: Ticket) -> list[Suggestion] | None:
        """What a finished completion gives here, if that is something to show."""
        if not self._is_wanted(ticket):
            return None
        hole = ticket.place.hole
        generation = ticket.queue.reuse.finished(hole)
        if generation is None:
            return None
        rest = generation.rest(hole)
        text = ticket.place.display.finished(rest)
        if not text and (rest or _insists(ticket, generation)):
            return None
        return self._offer(ticket, generation, text, self._count_answer(generation, hole))

    async def _engine(self, ask: Ask) -> Engine | None:
        """The engine; who did not ask does not wait for it, nor hear what is wrong with it."""
        return await self._host.engine() if ask.is_invoked else self._host.ready

    async def _generate(self, ticket: Ticket, engine: Engine) -> list[Suggestion] | None:
        generation = ticket.queue.reuse.running(ticket.place.hole)
        if generation is not None:
            source = self._count_answer(generation, ticket.place.hole)
            reply = await self._follow(ticket, generation, source)
            was_guess = generation.origin.source is Source.PREFETCHED
            in_vain = _insists(ticket, generation) if reply == [] else was_guess and reply is None
            if not in_vain or not self._is_wanted(ticket):
                return reply  # a guess may be stopped for the sake of anybody's request
        asked = await self._ask(ticket)
        if asked is None:
            return None
        generation = self._start(ticket, engine, asked, Source.GENERATED)
        return await self._follow(ticket, generation, Source.GENERATED)

    def _count_answer(self, generation: EngineRun, hole: Hole) -> Source:
        """An answer that costs nothing, or less; where it comes from."""
        if generation.origin.source is Source.PREFETCHED and generation.hole == hole:
            self.stats.prefetched += 1
            return Source.PREFETCHED
        if generation.has_ended:
            self.stats.reused += 1
            return Source.REUSED
        self.stats.joined += 1
        return Source.JOINED

    async def _ask(self, ticket: Ticket) -> Asked | None:
        """A request of the turn's own; None if the turn was lost meanwhile."""
        ticket.queue.reuse.cancel()
        if self.debounce_ms and not ticket.place.ask.is_invoked:
            await asyncio.sleep(self.debounce_ms / 1000)
        if not self._is_wanted(ticket):
            return None
        asked = await self._make_request(ticket.place)
        return asked if self._is_wanted(ticket) else None

    def _start(self, ticket: Ticket, engine: Engine, asked: Asked, source: Source) -> EngineRun:
        self.prefetcher.stop()
        origin = Origin(next(self._ids), source, asked, engine.info)
        stream = engine.infill(asked.request)
        generation = ticket.queue.reuse.start(origin, ticket.place.hole, stream)
        self.stats.generations += 1
        self._count_running(+1)
        return generation

    async def _with_others(
        self, ticket: Ticket, engine: Engine, first: list[Suggestion], number: int
    ) -> list[Suggestion] | None:
        """The first candidate and others, as many as there are different ones."""
        reuse, place, quiet = ticket.queue.reuse, ticket.place, replace(ticket, show=None)
        known = [item.generation for each in first if (item := self.items.get(each.item_id))]
        known += [each for each in reuse.alternatives(place.hole) if each not in known]
        is_known = any(has_several(each, number) for each in known)
        if not is_known and len(distinct(place, known)) < number:
            asked = await self._ask(ticket)
            if asked is None:
                return None
            best = self._start(ticket, engine, several(asked, number), Source.CANDIDATE)
            if await self._follow(quiet, best, Source.CANDIDATE) is None:
                return None
            known += [best, *self._alternatives(best, reuse)]
            if not self._is_wanted(ticket):
                return None
        chosen = list(distinct(place, known).items())[:number]
        offers = [
            self._offer(ticket, each, text, each.origin.source) for text, each in chosen[::-1]
        ]
        offered = [suggestion for offer in offers[::-1] for suggestion in offer]
        _show(ticket, offered, first)
        return offered

    def _alternatives(self, best: EngineRun, reuse: Runs) -> list[EngineRun]:
        origins = (replace(best.origin, item_id=next(self._ids)) for _ in best.alternatives)
        pairs = zip(origins, best.alternatives, strict=True)
        return [reuse.add(origin, best.hole, written) for origin, written in pairs]

    def _guess(self, item: Item, place: Place, asked: Asked, accepted: str) -> None:
        """Prepare the completion that follows when this text of the item is accepted."""
        engine, queue = self._host.ready, self._queues.get(item.uri)
        if engine is not None and queue is not None:
            origin = Origin(next(self._ids), Source.PREFETCHED, asked, engine.info)
            queue.reuse.guess(origin, place.hole, engine.infill(asked.request), accepted)
            self.stats.prefetches += 1

    async def _follow(
        self, ticket: Ticket, generation: EngineRun, source: Source
    ) -> list[Suggestion] | None:
        """Read along to the end; a cancel by the client stops the engine, unless others read."""
        try:
            async with aclosing(generation.growth()) as growth:
                return await self._read(ticket, generation, source, growth)
        except asyncio.CancelledError:
            if self._is_wanted(ticket):
                generation.cancel()
            raise

    async def _read(
        self, ticket: Ticket, generation: EngineRun, source: Source, growth: AsyncIterator[str]
    ) -> list[Suggestion] | None:
        place, shown = ticket.place, list[Suggestion]()
        async for _ in growth:
            if not self._is_wanted(ticket):
                return None
            if ticket.show is not None:
                text = place.display.settled(generation.rest(place.hole))
                shown = _show(ticket, self._offer(ticket, generation, text, source), shown)
        if not generation.is_complete:
            return None
        text = place.display.finished(generation.rest(place.hole))
        final = self._offer(ticket, generation, text, source)
        _show(ticket, final, shown)
        return final

    def _offer(
        self, ticket: Ticket, generation: EngineRun, text: str, source: Source
    ) -> list[Suggestion]:
        """What to offer of a generation: one suggestion, or none."""
        self.items.offer(generation, ticket.place, text, source)
        return [ticket.place.suggestion(text, generation.origin.item_id)] if text else []

    def _ended(self, generation: EngineRun) -> None:
        if generation.origin.source is not Source.PREFETCHED:
            self._count_running(-1)
        self.stats.last = generation.stats or self.stats.last
        if generation.cancel_ms is not None:
            self.stats.count_cancel(generation.cancel_ms)
            _log.debug("the engine stopped %.1f ms after the cancel", generation.cancel_ms)

    def _count_running(self, change: int) -> None:
        was_busy = self._running > 0
        self._running += change
        if was_busy != (self._running > 0):
            self._on_busy(not was_busy)


def _insists(ticket: Ticket, generation: EngineRun) -> bool:
    """Whether somebody asks for text, and this generation was free to find nothing missing."""
    return ticket.place.ask.is_invoked and generation.origin.asked.request.allow_empty


def _show(ticket: Ticket, offered: list[Suggestion], shown: list[Suggestion]) -> list[Suggestion]:
    """Show what is new; returns what is shown now."""
    if ticket.show is None or not offered or offered == shown:
        return shown
    ticket.show(offered)
    return offered
