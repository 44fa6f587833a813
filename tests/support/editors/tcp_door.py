"""A server that listens on a port of this machine."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from midfill.lsp_server.server import MidfillServer
from midfill.lsp_server.transport import serve_tcp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from midfill.lsp_server.engine_host import EngineHost


@asynccontextmanager
async def listening(host: EngineHost, **options: Any) -> AsyncIterator[tuple[str, int]]:
    """The address of a server over TCP; the options are the server's."""
    told: asyncio.Queue[str] = asyncio.Queue()
    make = partial(MidfillServer, host, **options)
    serving = asyncio.create_task(serve_tcp(make, "127.0.0.1", 0, told.put_nowait))
    name, _, port = (await told.get()).rpartition(":")
    yield name, int(port)
    serving.cancel()
    await asyncio.wait([serving])
    host.close()
