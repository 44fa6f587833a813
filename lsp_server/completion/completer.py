"""The completions of one client: what it asks, and what it tells about documents and suggestions.

How a request is answered stands in ``answerer.py``; which one is still wanted, in ``ticket.py``.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from midfill.lsp_server.completion.answerer import Answerer
from midfill.lsp_server.completion.prefetch import Prefetcher
from midfill.lsp_server.completion.starter import Starter
from midfill.lsp_server.completion.stats import Stats
from midfill.lsp_server.completion.suggestions import Items
from midfill.lsp_server.completion.ticket import DocumentQueue
from midfill.lsp_server.request.place import Place
from midfill.lsp_server.settings import Settings
from midfill.lsp_server.text.lines import with_newlines

if TYPE_CHECKING:
    from midfill.lsp_server.completion.starter import MakeRequest, OnBusy
    from midfill.lsp_server.completion.ticket import Show
    from midfill.lsp_server.engine_host import EngineHost
    from midfill.lsp_server.request.place import Ask, Suggestion
    from midfill.lsp_server.text.documents import Documents
    from midfill.lsp_server.text.snapshot import Snapshot

_log = logging.getLogger(__name__)


class Completer:
    """Answers the requests of one client, and stops and prepares work as the user goes on.

    Args:
        host: Has the engine.
        documents: The client's, to see whether a version is still current.
        make_request: Gathers context and builds the engine's request; may take a while.
        on_busy: Told when work starts (True) and when all of it has ended (False).
    """

    def __init__(
        self, host: EngineHost, documents: Documents, make_request: MakeRequest, on_busy: OnBusy
    ) -> None:
        self.stats = Stats()
        self.items = Items(self.stats)
        self._documents = documents
        self._settings = Settings()
        self._starter = Starter(host, make_request, self.stats, on_busy)
        self._prefetcher = Prefetcher(self._starter)
        self._answerer = Answerer(host, self._starter, self._prefetcher, self.items, self.stats)
        self._queues: dict[str, DocumentQueue] = {}

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on; others than before give other completions."""
        if settings != self._settings:
            self._settings = settings
            self.forget()
        self._starter.configure(settings.completion)
        self._prefetcher.configure(settings)

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
        uri = ask.snapshot.uri
        queue = self._queues.setdefault(uri, DocumentQueue(uri, self._documents))
        ticket = queue.ticket(Place(ask), show)
        started, outcome = time.perf_counter(), "failed or cancelled"
        try:
            reply = await self._answerer.answer(ticket, candidates)
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
            queue.runs.finished.prefer(item.filling)
            self._prefetcher.shown(item, queue.runs)

    def dismissed(self, item_id: str) -> None:
        """A suggestion was turned away: what would follow it is in vain."""
        self.items.dismissed(item_id)
        self._prefetcher.stop()
        for queue in self._queues.values():
            queue.runs.drop_guess()

    def edited(self, snapshot: Snapshot) -> None:
        """A document changed: stop what no longer fits it."""
        if queue := self._queues.get(snapshot.uri):
            document = with_newlines(snapshot.text)
            queue.runs.edited(document)
            self._prefetcher.edited(snapshot.uri, document)

    def closed(self, uri: str) -> None:
        """A document was closed: stop its work, forget its completions."""
        self._prefetcher.closed(uri)
        self.items.closed(uri)
        if queue := self._queues.pop(uri, None):
            queue.closed()

    def forget(self) -> None:
        """What is known may be different now: another model, other settings."""
        self._prefetcher.stop()
        for queue in self._queues.values():
            queue.runs.forget()

    async def close(self) -> None:
        """Stop all work, and wait for its end."""
        await self._prefetcher.close()
        for uri, queue in tuple(self._queues.items()):
            self.closed(uri)
            await queue.runs.close()
