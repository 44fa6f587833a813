"""How bytes come and go: one client on stdio, or many over TCP, each with a server of its own.

pygls has loops for both, but its stdio loses the exit code and blocks in a read when the editor
has died, and its TCP takes one client only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from typing import TYPE_CHECKING

from pygls.io_ import run_async

from midfill.lsp_server.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.lsp_server.server import MidfillServer

    MakeServer = Callable[[], MidfillServer]

_CHUNK_BYTES = 1 << 16
_EDITOR_SECONDS = 1.0
"""Seconds between two looks whether the editor is still alive."""

_log = logging.getLogger(__name__)


class PipeWriter:
    """Writes to a pipe; once nobody reads it any more, to nothing."""

    def __init__(self, sink: int) -> None:
        self._file = os.fdopen(sink, "wb")

    def write(self, data: bytes) -> None:
        """Write all of it, now."""
        with contextlib.suppress(BrokenPipeError):
            self._file.write(data)
            self._file.flush()

    def close(self) -> None:
        """Let the other end know that nothing will follow."""
        with contextlib.suppress(BrokenPipeError):
            self._file.close()


async def serve_client(
    server: MidfillServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | PipeWriter
) -> int:
    """Answer one client until it sends ``exit`` or is gone; the exit code that LSP prescribes."""
    server.protocol.set_writer(writer)
    try:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await run_async(server.leaving, reader, server.protocol)
    finally:
        await server.session.close()
        with contextlib.suppress(ConnectionError):
            writer.close()
    return server.exit_code


def take_stdio() -> tuple[int, int]:
    """Descriptors of stdin and stdout for ``serve_pipes``.

    From here on they belong to the protocol: what libraries print goes to stderr.
    """
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return source, sink


async def serve_pipes(server: MidfillServer, source: int, sink: int) -> int:
    """Answer the client at two descriptors until it sends ``exit``, is gone, or its process is."""
    reader = asyncio.StreamReader()
    pump = (source, reader, asyncio.get_running_loop())
    threading.Thread(target=_pump, args=pump, name="stdin", daemon=True).start()
    watch = asyncio.create_task(_end_without_editor(server, reader))
    try:
        return await serve_client(server, reader, PipeWriter(sink))
    finally:
        watch.cancel()


async def serve_tcp(
    make_server: MakeServer, host: str, port: int, announce: Callable[[str], None]
) -> None:
    """Answer clients at an address, each with its own server, until cancelled.

    Args:
        make_server: Called for each client.
        host: A name or an address.
        port: 0 takes a free one.
        announce: Told where the server listens, once it does.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client."""
        await serve_client(make_server(), reader, writer)

    listener = await asyncio.start_server(connected, host, port)
    for socket in listener.sockets:
        announce(shown_address(*socket.getsockname()[:2]))
    async with listener:
        await listener.serve_forever()


def shown_address(host: str, port: int) -> str:
    """``HOST:PORT`` as ``--tcp`` takes it, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _pump(source: int, reader: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
    """Feed what is read, in a thread; not through sys.stdin, whose lock would block the exit."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
        while chunk := _read(source):
            loop.call_soon_threadsafe(reader.feed_data, chunk)
        loop.call_soon_threadsafe(reader.feed_eof)


def _read(source: int) -> bytes:
    try:
        return os.read(source, _CHUNK_BYTES)
    except OSError:
        return b""


async def _end_without_editor(server: MidfillServer, reader: asyncio.StreamReader) -> None:
    """End the input when the editor's process has died (LSP 3.18, ``processId``)."""
    await server.greeted.wait()
    if server.editor is None:
        return
    while is_alive(server.editor):
        await asyncio.sleep(_EDITOR_SECONDS)
    _log.warning("the editor (process %d) is gone", server.editor)
    reader.feed_eof()
