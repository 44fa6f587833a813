"""How bytes come and go, in one process: pipes, TCP, and what ends a session."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from fakes import FakeEngine, writing
from lsp_client import Client, RpcError
from lsp_lab import item
from tcp_door import listening

from midfill.engine.api import EngineConfig
from midfill.lsp_server.engine_host import EngineHost, State
from midfill.lsp_server.server import MidfillServer
from midfill.lsp_server.transport import serve_pipes, serve_tcp, shown_address
from midfill.lsp_server.wire.frames import STRANGER_BYTES
from midfill.lsp_server.wire.writer import PipeWriter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "right"  # noqa: S105 (known to all)


def a_server(host: EngineHost | None = None) -> MidfillServer:
    """A server whose engine writes "z"."""
    return MidfillServer(host or EngineHost(lambda _config, _progress: FakeEngine(writing("z"))))


class Pipes:
    """A client of a server on two pipes, as an editor has one."""

    def __init__(self) -> None:
        self.server = a_server()
        self.client: Client
        self.code: asyncio.Task[int]
        self._writer: asyncio.StreamWriter

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Pipes]:
        """The client is connected, and the server serves."""
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
        (source, to_server), (from_server, sink) = os.pipe(), os.pipe()
        protocol = asyncio.StreamReaderProtocol(reader)
        incoming, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(from_server, "rb"))
        outgoing, mixin = await loop.connect_write_pipe(
            asyncio.streams.FlowControlMixin, os.fdopen(to_server, "wb")
        )
        self._writer = asyncio.StreamWriter(outgoing, mixin, reader, loop)
        self.client = Client(reader, self._writer)
        self.code = asyncio.create_task(serve_pipes(self.server, source, sink))
        yield self
        outgoing.close()
        incoming.close()
        await self.code
        await asyncio.wait([self.client.listening])
        os.close(source)


async def test_a_session_over_pipes_ends_with_its_exit_code() -> None:
    """0 after shutdown and exit."""
    async with Pipes().open() as it:
        await it.client.initialize()
        it.client.open("x")
        await it.client.ready()
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}
        await it.client.leave()
        assert await it.code == 0


async def test_exit_without_shutdown_is_a_failure() -> None:
    """LSP 3.18, "Exit Notification"."""
    async with Pipes().open() as it:
        await it.client.initialize()
        it.client.notify("exit")
        assert await it.code == 1


async def test_the_end_of_the_input_ends_the_session() -> None:
    """In the middle of a message too."""
    async with Pipes().open() as it:
        await it.client.initialize()
        with it.client.packet():
            it.client.send_raw(b"{}")
        it._writer.write(b"Content-Length: 99\r\n\r\n{")
        it._writer.close()
        assert await it.code == 1


async def test_the_death_of_the_editor_ends_the_session() -> None:
    """Though something still holds the pipe open."""
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    async with Pipes().open() as it:
        await it.client.initialize(processId=editor.pid)
        editor.communicate(b"\n")
        assert await it.code == 1


async def test_a_client_that_reads_no_more_is_written_to_in_vain() -> None:
    """It has died, or will say so; nothing fails for it."""
    source, sink = os.pipe()
    os.close(source)
    writer = PipeWriter(sink)
    writer.write(b"x")
    writer.write(b"y" * 100_000)
    writer.close()


def test_an_ipv6_address_is_told_as_it_is_given() -> None:
    """In brackets, so that the port can be told from it."""
    assert shown_address("::1", 80) == "[::1]:80"
    assert shown_address("127.0.0.1", 80) == "127.0.0.1:80"


@pytest.mark.parametrize("options", [None, {}, {"token": "wrong"}, {"midfill": {"token": TOKEN}}])
async def test_without_the_token_a_client_is_told_and_dropped(options: object) -> None:
    """Nothing of it is used, and nothing is loaded for it."""
    host = EngineHost(lambda _config, _progress: FakeEngine(writing("z")))
    async with listening(host, token=TOKEN) as address:
        client = Client(*await asyncio.open_connection(*address))
        with pytest.raises(RpcError, match="token missing or wrong") as error:
            await client.initialize(options=options)
        assert error.value.code == -32600
        await client.listening
        await client.close()
        assert host.status.now.state is State.OFF


async def test_before_the_token_a_message_may_not_be_long() -> None:
    """Nothing of it is kept in memory; behind the token it may be."""
    host = EngineHost(lambda _config, _progress: FakeEngine(writing("z")))
    async with listening(host, token=TOKEN) as address:
        client = Client(*await asyncio.open_connection(*address))
        client.send_raw(b"x" * (STRANGER_BYTES + 1))
        assert f"at most {STRANGER_BYTES} are read" in (await client.refused())["error"]["message"]
        await client.initialize(options={"token": TOKEN})
        client.open("x" + "\n" * STRANGER_BYTES)
        await client.ready()
        assert len((await client.complete(0, 1))["items"]) == 1
        await client.close()


async def test_with_the_token_a_client_is_served_by_the_model_of_the_command_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What it says of the model is logged once; its other settings hold."""
    configs: list[EngineConfig] = []

    def open_engine(config: EngineConfig, _progress: object) -> FakeEngine:
        configs.append(config)
        return FakeEngine(writing("z"), config)

    wanted = {"model": "theirs", "adapter": "theirs", "device": "cuda", "threads": 7}
    options = {"token": TOKEN, "midfill": wanted | {"completion": {"maxTokens": 5}}}
    host = EngineHost(open_engine)
    async with listening(host, model="ours", token=TOKEN, fixes_model=True) as address:
        client = Client(*await asyncio.open_connection(*address))
        await client.initialize(options=options)
        client.open("x")
        await client.ready()
        client.notify("workspace/didChangeConfiguration", {"settings": {"midfill": wanted}})
        assert await client.complete(0, 1) == {"items": [item("z", 0, 1)]}
        assert client.all_seen("window/showMessage") == []
        await client.close()
    assert configs == [EngineConfig("ours")]
    lines = [record.getMessage() for record in caplog.records if "ignored" in record.getMessage()]
    assert lines == [
        "clients share the model; ignored the settings model, adapter, device, threads"
    ]


@pytest.mark.parametrize(
    "pieces", [[b"GET / HTTP/1.1\r\n\r\n"], [b"PO", b"ST / HTTP/1.1\r\n"], [b""]]
)
async def test_http_and_silence_are_dropped_without_an_answer(pieces: list[bytes]) -> None:
    """Any web page may open a connection, and put a message behind its header."""
    made: list[MidfillServer] = []
    told: asyncio.Queue[str] = asyncio.Queue()

    def make() -> MidfillServer:
        made.append(a_server())
        return made[-1]

    serving = asyncio.create_task(serve_tcp(make, "127.0.0.1", 0, told.put_nowait))
    name, _, port = (await told.get()).rpartition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"capabilities": {}}}'
    if any(pieces):
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    writer.write_eof()
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = await reader.read()
    assert (answer, made) == (b"", [])
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    serving.cancel()
    await asyncio.wait([serving])


async def test_clients_over_tcp_share_one_engine_and_nothing_else() -> None:
    """Each has a server of its own; when one leaves, the other stays."""
    opened: list[FakeEngine] = []

    def open_engine(_config: object, _progress: object) -> FakeEngine:
        opened.append(FakeEngine(writing("z")))
        return opened[-1]

    host = EngineHost(open_engine)
    told: asyncio.Queue[str] = asyncio.Queue()
    serving = asyncio.create_task(
        serve_tcp(lambda: a_server(host), "127.0.0.1", 0, told.put_nowait)
    )
    name, _, port = (await told.get()).rpartition(":")
    clients = [Client(*await asyncio.open_connection(name, int(port))) for _ in range(2)]
    for number, client in enumerate(clients):
        await client.initialize()
        client.open("x" * (number + 1))
        await client.ready()
    assert await clients[0].complete(0, 1) == {"items": [item("z", 0, 1)]}
    await clients[0].leave()
    await clients[0].listening
    assert await clients[1].complete(0, 2) == {"items": [item("z", 0, 2)]}
    assert len(opened) == 1
    assert [request.prefix for request in opened[0].requests] == ["x", "xx"]
    for client in clients:
        await client.close()
    serving.cancel()
    await asyncio.wait([serving])
    host.close()
