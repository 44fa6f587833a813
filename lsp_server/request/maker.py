"""The engine's request for a place, for one client: its settings, its folders, its context.

Files are read in one thread of its own, so that a slow disk holds up neither the messages nor the
other clients.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from midfill.engine.api import CompletionRequest, Priority
from midfill.lsp_server.context.gatherer import NEAR_LINES, ContextGatherer
from midfill.lsp_server.request.build import build_request, head_end
from midfill.lsp_server.request.origin import Asked
from midfill.lsp_server.settings import Settings
from midfill.lsp_server.text.located import Hole, Located

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from midfill.lsp_server.context.gatherer import Gathered
    from midfill.lsp_server.request.place import Place
    from midfill.lsp_server.text.documents import Documents, Snapshot


class RequestMaker:
    """Makes the requests of one client.

    Args:
        documents: The client's.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._settings = Settings()
        self._roots: tuple[Path, ...] = ()
        self._gatherer = ContextGatherer((), self._settings.context)
        self._thread = ThreadPoolExecutor(1, "context")

    def configure(self, settings: Settings, roots: Sequence[Path]) -> None:
        """Use these from now on."""
        if settings.context != self._settings.context or tuple(roots) != self._roots:
            self._gatherer = ContextGatherer(roots, settings.context)
        self._settings, self._roots = settings, tuple(roots)

    def files_changed(self) -> None:
        """Look at the files on disk again."""
        self._thread.submit(self._gatherer.invalidate)

    async def make(self, place: Place) -> Asked:
        """The request to fill the hole at a place; one that fills nothing if that is hidden.

        Raises:
            InvalidRequestError: see ``build_request``.
        """
        started = time.perf_counter()
        located = Located.of(place.snapshot, place.offset, place.hole, self._roots)
        context = await self._context(located)
        context_ms = (time.perf_counter() - started) * 1000
        if context.refusal is not None:
            request = _nothing(place.snapshot, place.ask.priority)
        else:
            request = build_request(
                located, self._settings, context=context.pieces, priority=place.ask.priority
            )
        return Asked(request, context.provenance, context_ms, context.skipped)

    async def make_prewarm(self, snapshot: Snapshot) -> CompletionRequest:
        """The request that only fills the cache, for a document whose cursor nobody has told.

        It is for the document's head, without a suffix: that serves all places in it. The context
        is gathered so that it fits the first lines, imports and all.
        """
        near = snapshot.line_start(min(NEAR_LINES, snapshot.line_count - 1))
        located = Located.of(snapshot, near, Hole.of(snapshot.text, near, near), self._roots)
        gathered = await self._context(located)
        if gathered.refusal is not None:
            return _nothing(snapshot, Priority.PREWARM)
        context = gathered.pieces
        end = head_end(snapshot, context, self._settings.prompt.max_tokens)
        head = replace(located, offset=end, hole=Hole.of(snapshot.text, end, len(snapshot.text)))
        request = build_request(head, self._settings, context=context, priority=Priority.PREWARM)
        return replace(request, max_tokens=0)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _context(self, located: Located) -> Gathered:
        others = self._documents.others(located.snapshot.uri)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._gatherer.gather, located, others)


def _nothing(snapshot: Snapshot, priority: Priority) -> CompletionRequest:
    """The request to write nothing, for a document of which nothing may reach the engine."""
    return CompletionRequest("", document=snapshot.uri, priority=priority, max_tokens=0)
