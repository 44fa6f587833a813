"""A session in one process that is recorded, with an engine that a test tells what to write."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fakes import FakeEngine, FakeStream
from lsp_client import Client

from midfill.lsp_server.engine_host import EngineHost
from midfill.lsp_server.recording.recorder import Recorder, create_file
from midfill.lsp_server.recording.taps import recorded_opener
from midfill.lsp_server.server import MidfillServer
from midfill.lsp_server.transport import serve_pipes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from midfill.engine.api import EngineConfig

    Script = Callable[[FakeStream], object]


def opener(script: Script | None) -> Callable[..., FakeEngine]:
    """As midfill.engine.open_engine."""

    def open_engine(config: EngineConfig, _progress: object = None) -> FakeEngine:
        return FakeEngine(script, config)

    return open_engine


class RecordedSession:
    """A client of a server that is recorded, and the engine."""

    def __init__(self, client: Client, engines: list[FakeEngine]) -> None:
        self.client = client
        self._engines = engines

    @property
    def engine(self) -> FakeEngine:
        """The one that was opened last."""
        return self._engines[-1]


@asynccontextmanager
async def recorded(
    file: Path, script: Script | None = None, *, keeps_texts: bool = True, **handshake: Any
) -> AsyncIterator[RecordedSession]:
    """A session whose recording is in the file at the end; it leaves as LSP wants it."""
    descriptor, _ = create_file(file)
    recorder = Recorder(descriptor, keeps_texts=keeps_texts, about={"model": None, "adapter": None})
    engines: list[FakeEngine] = []

    def open_engine(config: EngineConfig, _progress: object) -> FakeEngine:
        engines.append(FakeEngine(script, config))
        return engines[-1]

    host = EngineHost(recorded_opener(open_engine, recorder, lambda _: []))
    (source, to_server), (from_server, sink) = os.pipe(), os.pipe()
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    incoming, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(from_server, "rb"))
    outgoing, mixin = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, os.fdopen(to_server, "wb")
    )
    client = Client(reader, asyncio.StreamWriter(outgoing, mixin, reader, loop))
    server = MidfillServer(host)
    serving = asyncio.create_task(serve_pipes(server, source, sink, recorder=recorder))
    await client.initialize(**handshake)
    yield RecordedSession(client, engines)
    await client.leave()
    await serving
    outgoing.close()
    incoming.close()
    await asyncio.wait([client.listening])
    os.close(source)
    host.close()
    recorder.close()
