"""One completion, from a snapshot to suggestions: reuse, or ask the engine and read along.

A request is *wanted* while it is the newest of its document and the document has the version that
it was asked for. One that is not wanted any more gets no answer (None), at once.

Invariant: accepting a suggestion changes nothing outside of its range
(test_accepting_keeps_every_other_byte).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midfill.engine.errors import EngineClosedError
from midfill.lsp_server.documents import DocumentError, Edit
from midfill.lsp_server.postprocess import Display, line_end_of, with_line_ends, with_newlines
from midfill.lsp_server.reuse import Generation, Hole, Reuse
from midfill.lsp_server.stats import Stats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from midfill.engine.api import CompletionRequest, Engine
    from midfill.lsp_server.documents import Documents, Snapshot
    from midfill.lsp_server.engine_host import EngineHost

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """A place to complete."""

    snapshot: Snapshot
    offset: int
    is_invoked: bool = False
    """The user asked for it; otherwise the editor did, while the user typed."""
    selected: Edit | None = None
    """What the editor's own popup would insert; the completion starts with it."""

    @property
    def edit(self) -> Edit:
        """What is certain to be inserted."""
        return self.selected or Edit(self.offset, self.offset, "")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Put ``text`` in place of the characters from ``start`` to ``end`` of the asked snapshot."""

    start: int
    end: int
    text: str
    """With the document's line ends."""


class Place:
    """Where a completion goes: turns the engine's text into suggestions."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.snapshot = ask.snapshot.replaced(ask.edit) if ask.selected else ask.snapshot
        """The document as the engine sees it, with the popup's text accepted."""
        self.offset = ask.edit.start + len(ask.edit.text)
        text = self.snapshot.text
        self.hole = Hole(with_newlines(text[: self.offset]), with_newlines(text[self.offset :]))
        self.display = Display(self.hole.prefix.rpartition("\n")[2], self.hole.suffix)
        self._line_end = line_end_of(text)

    def suggestions(self, text: str) -> list[Suggestion]:
        """What to offer for a text to show: one suggestion, or none."""
        edit = self.ask.edit
        full = edit.text + with_line_ends(text, self._line_end)
        return [Suggestion(edit.start, edit.end, full)] if text else []


@dataclass(slots=True)
class _Desk:
    """Where the requests of one document queue."""

    reuse: Reuse
    newest: int = 0


@dataclass(frozen=True, slots=True)
class _Turn:
    """One request's place in the queue."""

    place: Place
    desk: _Desk
    number: int
    show: Callable[[list[Suggestion]], None] | None = field(default=None)


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
        make_request: Callable[[Place], Awaitable[CompletionRequest]],
        on_busy: Callable[[bool], None],
    ) -> None:
        self.stats = Stats()
        self.debounce_ms = 0
        self._host = host
        self._documents = documents
        self._make_request = make_request
        self._on_busy = on_busy
        self._desks: dict[str, _Desk] = {}
        self._running = 0

    async def complete(
        self, ask: Ask, show: Callable[[list[Suggestion]], None] | None = None
    ) -> list[Suggestion] | None:
        """What to offer; empty: there is nothing to say here; None: no answer (any more).

        Args:
            ask: The place.
            show: Gets each state of a growing completion, the last one equal to the result.

        Raises:
            MidfillError: there is no engine, or it failed.
        """
        self.stats.requests += 1
        turn = self._queue(Place(ask), show)
        known = self._known(turn)
        if known is not None:
            return known
        engine = await self._engine(ask)
        if engine is None or not self._is_wanted(turn):
            return None
        try:
            return await self._generate(turn, engine)
        except EngineClosedError as error:
            self._host.lost(engine, error)
            raise

    def edited(self, snapshot: Snapshot) -> None:
        """A document changed: stop what no longer fits it."""
        if desk := self._desks.get(snapshot.uri):
            desk.reuse.edited(with_newlines(snapshot.text))

    def closed(self, uri: str) -> None:
        """A document was closed: stop its work, forget its completions."""
        if desk := self._desks.pop(uri, None):
            desk.newest += 1
            desk.reuse.forget()

    def forget(self) -> None:
        """What is known may be different now: another model, other settings."""
        for desk in self._desks.values():
            desk.reuse.forget()

    async def close(self) -> None:
        """Stop all work, and wait for its end."""
        for uri, desk in tuple(self._desks.items()):
            self.closed(uri)
            await desk.reuse.close()

    def _queue(self, place: Place, show: Callable[[list[Suggestion]], None] | None) -> _Turn:
        """A turn for a new request, ahead of all others of its document."""
        desk = self._desks.setdefault(place.snapshot.uri, _Desk(Reuse(self._ended)))
        desk.newest += 1
        desk.reuse.wake()
        return _Turn(place, desk, desk.newest, show)

    def _is_wanted(self, turn: _Turn) -> bool:
        asked = turn.place.ask.snapshot
        try:
            current = self._documents.get(asked.uri)
        except DocumentError:
            return False
        return turn.number == turn.desk.newest and current.version == asked.version

    def _known(self, turn: _Turn) -> list[Suggestion] | None:
        """What a finished completion gives here, if that is something to show."""
        if not self._is_wanted(turn):
            return None
        remainder = turn.desk.reuse.remainder(turn.place.hole)
        if remainder is None:
            return None
        offered = turn.place.suggestions(turn.place.display.finished(remainder))
        if remainder and not offered:
            return None
        self.stats.reused += 1
        return offered

    async def _engine(self, ask: Ask) -> Engine | None:
        """The engine; who did not ask does not wait for it, nor hear what is wrong with it."""
        return await self._host.engine() if ask.is_invoked else self._host.ready

    async def _generate(self, turn: _Turn, engine: Engine) -> list[Suggestion] | None:
        generation = turn.desk.reuse.running(turn.place.hole)
        if generation is not None:
            self.stats.joined += 1
        else:
            generation = await self._start(turn, engine)
        return await self._follow(turn, generation) if generation else None

    async def _start(self, turn: _Turn, engine: Engine) -> Generation | None:
        """A generation of the turn's own; None if the turn was lost meanwhile."""
        turn.desk.reuse.cancel()
        if self.debounce_ms and not turn.place.ask.is_invoked:
            await asyncio.sleep(self.debounce_ms / 1000)
        if not self._is_wanted(turn):
            return None
        request = await self._make_request(turn.place)
        if not self._is_wanted(turn):
            return None
        generation = turn.desk.reuse.start(turn.place.hole, engine.infill(request))
        self.stats.generations += 1
        self._count_running(+1)
        return generation

    async def _follow(self, turn: _Turn, generation: Generation) -> list[Suggestion] | None:
        """Read along to the end; a cancel by the client stops the engine, unless others read."""
        try:
            async with aclosing(generation.growth()) as growth:
                return await self._read(turn, generation, growth)
        except asyncio.CancelledError:
            if self._is_wanted(turn):
                generation.cancel()
            raise

    async def _read(
        self, turn: _Turn, generation: Generation, growth: AsyncIterator[str]
    ) -> list[Suggestion] | None:
        place, shown = turn.place, ""
        typed = len(place.hole.prefix) - len(generation.hole.prefix)
        async for text in growth:
            if not self._is_wanted(turn):
                return None
            shown = _show(turn, place.display.settled(text[typed:]), shown)
        if not generation.is_complete:
            return None
        final = place.display.finished(generation.text[typed:])
        _show(turn, final, shown)
        return place.suggestions(final)

    def _ended(self, generation: Generation) -> None:
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


def _show(turn: _Turn, text: str, shown: str) -> str:
    """Show a text if it is new; returns what is shown now."""
    if turn.show is None or not text or text == shown:
        return shown
    turn.show(turn.place.suggestions(text))
    return text
