"""From a place to the engine's request, for one client: its settings, its folders, its context.

Files are read in one thread of its own, so that a slow disk holds up neither the messages nor the
other clients.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from midfill.engine.api import Priority
from midfill.lsp_server.context import ContextGatherer
from midfill.lsp_server.prompt import build_request
from midfill.lsp_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from midfill.engine.api import CompletionRequest
    from midfill.lsp_server.completion import Place
    from midfill.lsp_server.documents import Documents


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

    async def make(self, place: Place) -> CompletionRequest:
        """The request to fill the hole at a place.

        Raises:
            InvalidRequestError: see ``build_request``.
        """
        others = self._documents.others(place.snapshot.uri)
        arguments = (place.snapshot, place.offset, others)
        loop = asyncio.get_running_loop()
        context = await loop.run_in_executor(self._thread, self._gatherer.gather, *arguments)
        return build_request(
            place.snapshot,
            (place.offset, place.offset),
            self._settings,
            roots=self._roots,
            context=context,
            priority=Priority.INVOKED if place.ask.is_invoked else Priority.TYPING,
        )

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)
