"""The head of a document is put into the engine's cache when it opens, before anybody asks.

LSP does not tell where the cursor is until the first request, so this is a guess. It gives way to
every request of a user (``Priority.PREWARM``), there is at most one for each client, and it is for
the document that was opened or edited last.

Invariant: nothing that a user asked for waits for it, or loses a warm cache to it but the one used
longest ago (test_scheduler, test_a_guess_is_the_first_to_go).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from midfill.lsp_server.completion.background import logged
from midfill.lsp_server.engine_host import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from midfill.engine.api import CompletionRequest, CompletionStream, Engine
    from midfill.lsp_server.engine_host import EngineHost, Status
    from midfill.lsp_server.settings import Settings
    from midfill.lsp_server.text.documents import Documents, Snapshot


class Prewarmer:
    """Fills the cache for one client.

    Args:
        host: Has the engine.
        documents: The client's.
        make_request: Gathers context and builds the engine's request; may take a while.
    """

    def __init__(
        self,
        host: EngineHost,
        documents: Documents,
        make_request: Callable[[Snapshot], Awaitable[CompletionRequest]],
    ) -> None:
        self._host = host
        self._documents = documents
        self._make_request = make_request
        self._settings: Settings | None = None
        """The client's settings; None until it has told them: nothing is done before."""
        self._uri: str | None = None
        self._task: asyncio.Task[None] | None = None
        """The work for the document with that URI, always; None once it has ended."""

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on."""
        self._settings = settings

    def opened(self, uri: str) -> None:
        """A document was opened: it is the one to be ready for."""
        self.edited(uri)
        self.start()

    def edited(self, uri: str) -> None:
        """The user is in this document; whatever is done for another one is in vain."""
        if uri != self._uri:
            self._cancel()
            self._uri = uri

    def closed(self, uri: str) -> None:
        """A document was closed."""
        if uri == self._uri:
            self._cancel()
            self._uri = None

    def engine_is(self, status: Status) -> None:
        """A new engine has an empty cache."""
        if status.state is State.READY:
            self.start()

    def start(self) -> None:
        """Fill the cache for the newest document, if there are one and an engine."""
        self._cancel()
        engine = self._host.ready
        if engine is not None and self._uri is not None:
            self._task = asyncio.create_task(self._warm(engine, self._uri))
            self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Stop, and wait for the end."""
        self._cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is self._task:
            self._task = None  # a cancelled one would keep the document's text

    async def _warm(self, engine: Engine, uri: str) -> None:
        with logged():
            request = await self._request(uri)
            if request is not None and engine is self._host.ready:
                await _run(engine.infill(request))

    async def _request(self, uri: str) -> CompletionRequest | None:
        """What to ask for a document; None: nothing."""
        snapshot, settings = self._documents.get(uri), self._settings
        if settings is None or not _is_wanted(settings, snapshot):
            return None
        return await self._make_request(snapshot)


def _is_wanted(settings: Settings, snapshot: Snapshot) -> bool:
    """Whether to prepare a document; in a single cache slot that would cost another's."""
    is_on = settings.prewarm and settings.cache_slots >= 2
    return is_on and settings.serves(snapshot.uri, snapshot.language_id)


async def _run(stream: CompletionStream) -> None:
    try:
        async for _ in stream:
            pass
    except asyncio.CancelledError:
        stream.cancel()
        raise
