"""A server, its client and an engine that writes what a test tells it to, in one process."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fakes import FakeEngine, FakeStream
from lsp_client import Client, connected

from midfill.lsp_server.engine_host import EngineHost
from midfill.lsp_server.server import MidfillServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from midfill.engine.api import EngineConfig


class Lab:
    """A server and its client, with an engine to be told what to write."""

    def __init__(
        self,
        script: Callable[[FakeStream], object] | None,
        model: str | None,
        adapter: str | None,
    ) -> None:
        self.engine = FakeEngine(script)
        self.configs: list[EngineConfig] = []
        self.refusal: Exception | None = None
        self.may_open = threading.Event()
        self.may_open.set()
        self.host = EngineHost(self.open_engine)
        self.server = MidfillServer(self.host, model, adapter)
        self.client: Client

    def open_engine(
        self, config: EngineConfig, on_progress: Callable[[str, float], None]
    ) -> FakeEngine:
        """As midfill.engine.open_engine."""
        self.configs.append(config)
        on_progress("reading weights", 0.5)
        self.may_open.wait()
        if self.refusal is not None:
            raise self.refusal
        self.engine = FakeEngine(self.engine._script, config)
        return self.engine

    async def begin(self, text: str = "", **handshake: Any) -> Any:
        """Shake hands, open a document, wait for the model; the server's capabilities."""
        capabilities = await self.client.initialize(**handshake)
        self.client.open(text)
        await self.client.ready()
        return capabilities


@asynccontextmanager
async def lab(
    script: Callable[[FakeStream], object] | None = None,
    model: str | None = None,
    adapter: str | None = None,
) -> AsyncIterator[Lab]:
    """A lab whose client has not said anything yet."""
    made = Lab(script, model, adapter)
    async with connected(made.server) as made.client:
        yield made
    made.host.close()


def item(
    text: str, line: int, start: int, end: int | None = None, item_id: str = "1"
) -> dict[str, Any]:
    """An inline completion item."""
    begin = {"line": line, "character": start}
    stop = {"line": line, "character": start if end is None else end}
    return {
        "insertText": text,
        "range": {"start": begin, "end": stop},
        "command": {"title": "Accepted", "command": "midfill.accepted", "arguments": [item_id]},
        "itemId": item_id,
    }
