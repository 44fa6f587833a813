"""A completer with an engine that writes what a test tells it to, and one open document."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fakes import FakeEngine, FakeStream
from lsp_client import LANGUAGE
from lsprotocol import types

from midfill.engine.api import CompletionRequest, EngineConfig
from midfill.lsp_server.completion.completer import Completer
from midfill.lsp_server.engine_host import EngineHost
from midfill.lsp_server.request.origin import Asked
from midfill.lsp_server.request.place import Ask, Place, Suggestion
from midfill.lsp_server.text.documents import Documents
from midfill.lsp_server.text.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

URI = "file:///a.py"


class Bench:
    """A completer with an engine that is open, and one open document."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.may_open = threading.Event()
        self.host = EngineHost(self.opened)
        self.documents = Documents()
        self.busy: list[bool] = []
        self.completer = Completer(self.host, self.documents, self.request, self.busy.append)
        self.may_ask = asyncio.Event()
        self.may_ask.set()

    def opened(self, _config: EngineConfig, _on_progress: object) -> FakeEngine:
        """As open_engine; takes as long as the test wants."""
        self.may_open.wait()
        return self.engine

    async def request(self, place: Place) -> Asked:
        """The simplest request; takes as long as the test wants."""
        await self.may_ask.wait()
        ask, hole = place.ask, place.hole
        free = not ask.is_invoked
        request = CompletionRequest(
            hole.prefix, hole.suffix, priority=ask.priority, allow_empty=free
        )
        return Asked(request)

    def open(self, text: str, version: int = 1) -> Snapshot:
        """Show this text in the editor."""
        item = types.TextDocumentItem(URI, LANGUAGE, version, text)
        snapshot = self.documents.open(item)
        self.completer.edited(snapshot)
        return snapshot

    def begin(
        self, text: str, version: int = 1, *, is_invoked: bool = False
    ) -> asyncio.Task[list[Suggestion] | None]:
        """Ask at the "|" of a text that is now in the editor."""
        snapshot = self.open(text.replace("|", ""), version)
        ask = Ask(snapshot, text.index("|"), is_invoked)
        return asyncio.create_task(self.completer.complete(ask))

    async def texts(self, text: str, version: int = 1) -> list[str] | None:
        """The suggested texts at the "|"."""
        suggestions = await self.begin(text, version)
        return None if suggestions is None else [each.text for each in suggestions]


@asynccontextmanager
async def bench(script: Callable[[FakeStream], object] | None = None) -> AsyncIterator[Bench]:
    """A bench whose engine is ready; at the end nothing runs any more."""
    made = Bench(FakeEngine(script))
    made.may_open.set()
    made.host.load(EngineConfig("fake"))
    await made.host.engine()
    yield made
    await made.completer.close()
    made.host.close()


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)
