"""How bytes come and go: one client on stdio, or many over TCP, each with a server of its own.

pygls has loops for both, but its stdio loses the exit code and blocks in a read when the editor
has died, its TCP takes one client only, and both end at a header that is not quite right.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import sys
import threading
from typing import TYPE_CHECKING

from midfill.lsp_server.processes import is_alive
from midfill.lsp_server.wire.access import OPENING_BYTES, speaks_http
from midfill.lsp_server.wire.farewell import Farewell
from midfill.lsp_server.wire.frames import BODY_BYTES, STRANGER_BYTES, Frames
from midfill.lsp_server.wire.inbox import Inbox
from midfill.lsp_server.wire.writer import PipeWriter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from midfill.lsp_server.recording.recorder import Recorder
    from midfill.lsp_server.server import MidfillServer
    from midfill.lsp_server.wire.farewell import OnEnd
    from midfill.lsp_server.wire.frames import Frame
    from midfill.lsp_server.wire.writer import Writer

    MakeServer = Callable[[], MidfillServer]

_CHUNK_BYTES = 1 << 16
_EDITOR_SECONDS = 0.4
"""Seconds between two looks whether the editor is still alive, or has hung up."""

_log = logging.getLogger(__name__)


async def serve_client(
    server: MidfillServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> int:
    """Answer one client until it sends ``exit`` or is gone; the exit code that LSP prescribes."""
    return await _serve(server, _read_frames(server, reader), writer)


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


async def serve_pipes(
    server: MidfillServer,
    source: int,
    sink: int,
    on_end: OnEnd = lambda _: None,
    recorder: Recorder | None = None,
) -> int:
    """Answer the client at two descriptors until it sends ``exit``, is gone, or its process is.

    Args:
        server: Answers it.
        source: What the client writes to.
        sink: What the client reads from.
        on_end: Told the exit code when the end has come, though the server may hang just then.
        recorder: Notes all messages.
    """
    inbox, farewell, stop = Inbox(), Farewell(on_end), threading.Event()

    def gone() -> None:
        """Nobody is there to be answered."""
        farewell.gone()
        inbox.close()

    threading.Thread(
        target=_pump, args=(source, inbox, farewell), name="stdin", daemon=True
    ).start()
    watch = asyncio.create_task(_end_without_editor(server, gone, stop))
    try:
        frames, writer = _waiting(inbox), PipeWriter(sink, gone)
        if recorder is None:
            return await _serve(server, frames, writer)
        from midfill.lsp_server.recording.taps import RecordedWriter, recorded_frames

        noted = recorded_frames(frames, recorder)
        return await _serve(server, noted, RecordedWriter(writer, recorder))
    finally:
        watch.cancel()
        stop.set()
        inbox.close()


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
        """Answer one client, or drop what a web page has opened."""
        opening = await _opening(reader)
        if speaks_http(opening):
            _log.warning("dropped a connection that spoke HTTP")
            writer.close()
        elif opening:
            server = make_server()
            await _serve(server, _read_frames(server, reader, opening), writer)
        else:
            writer.close()

    listener = await asyncio.start_server(connected, host, port)
    for socket in listener.sockets:
        announce(shown_address(*socket.getsockname()[:2]))
    async with listener:
        await listener.serve_forever()


def shown_address(host: str, port: int) -> str:
    """``HOST:PORT`` as ``--tcp`` takes it, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _serve(server: MidfillServer, frames: AsyncGenerator[Frame], writer: Writer) -> int:
    server.protocol.set_writer(writer)
    try:
        with contextlib.suppress(ConnectionError):
            async with contextlib.aclosing(frames):
                async for frame in frames:
                    server.protocol.receive(frame)
                    if server.has_ended or writer.is_closing():
                        break
                    await writer.drain()
    finally:
        await server.session.close()
        with contextlib.suppress(ConnectionError):
            writer.close()
    return server.exit_code


async def _opening(reader: asyncio.StreamReader) -> bytes:
    """The first bytes of a connection; fewer if no more came."""
    try:
        return await reader.readexactly(OPENING_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial
    except ConnectionError:
        return b""


async def _read_frames(
    server: MidfillServer, reader: asyncio.StreamReader, opening: bytes = b""
) -> AsyncGenerator[Frame]:
    """The messages of a client; a stranger's may not be long, as anybody can connect."""
    frames = Frames(lambda: BODY_BYTES if server.protocol.is_initialized else STRANGER_BYTES)
    chunk = opening or await reader.read(_CHUNK_BYTES)
    while chunk:
        for frame in frames.feed(chunk):
            yield frame
        chunk = await reader.read(_CHUNK_BYTES)


async def _waiting(inbox: Inbox) -> AsyncGenerator[Frame]:
    while (frame := await inbox.get()) is not None:
        yield frame


def _pump(source: int, inbox: Inbox, farewell: Farewell) -> None:
    """Read messages, in a thread; not through sys.stdin, whose lock would block the exit."""
    frames = Frames()
    while chunk := _read(source):
        for frame in frames.feed(chunk):
            farewell.note(frame)
            while not inbox.put(frame, _EDITOR_SECONDS):
                if _has_hung_up(source):
                    farewell.gone()
    farewell.gone()
    inbox.end()


def _read(source: int) -> bytes:
    while True:
        try:
            return os.read(source, _CHUNK_BYTES)
        except BlockingIOError:  # some editors make our end of the pipe non-blocking
            select.select((source,), (), ())
        except OSError:
            return b""


def _has_hung_up(source: int) -> bool:
    """Whether nobody can write to a pipe any more, though there is something to read in it."""
    if not hasattr(select, "poll"):  # Windows
        return False
    poll = select.poll()
    poll.register(source, 0)
    return any(event & (select.POLLHUP | select.POLLERR) for _, event in poll.poll(0))


async def _end_without_editor(
    server: MidfillServer, gone: Callable[[], None], stop: threading.Event
) -> None:
    """End the session when the editor's process has died (LSP 3.18, ``processId``)."""
    await server.greeted.wait()
    if server.editor is not None:
        arguments = (server.editor, gone, stop)
        threading.Thread(target=_watch, args=arguments, name="editor", daemon=True).start()


def _watch(editor: int, gone: Callable[[], None], stop: threading.Event) -> None:
    """Look after a process, in a thread, as the event loop may hang."""
    while is_alive(editor):
        if stop.wait(_EDITOR_SECONDS):
            return
    _log.warning("the editor (process %d) is gone", editor)
    gone()
