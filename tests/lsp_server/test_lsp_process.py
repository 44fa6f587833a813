"""The real command as a process of its own, over its stdio, as an editor starts it.

The engine is scripted (tests/scripted_server.py), but for the last test.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lsp_client import INLINE, INVOKED, URI, Client, RpcError, started
from lsp_lab import item
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient
from repository import SCRIPTED_SERVER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCRIPTED = (*SCRIPTED_SERVER, "lsp")
REAL = (sys.executable, "-P", "-m", "midfill.cli", "lsp")

CANCELLED, INVALID_PARAMS = -32800, -32602

"""In which the first reply must be there."""
CANCEL_MS = 250
"""For the whole way of a cancel: client, server, engine, and the reply."""


@asynccontextmanager
async def session(*options: str, text: str = "", **handshake: Any) -> AsyncIterator[Client]:
    """A client of a new process, with one document open; leaves as LSP wants it."""
    async with started(*SCRIPTED, *options) as (client, process):
        await client.initialize(**handshake)
        client.open(text)
        await client.seen("midfill/status", state="ready")
        yield client
        await client.leave()
        assert await process.wait() == 0


# -- completions


async def test_a_completion_over_stdio() -> None:
    """From the cursor's place to the item."""
    async with session(text="# do: write a + b\n") as client:
        assert await client.complete(0, 17) == {"items": [item("a + b", 0, 17)]}


async def test_a_cancel_stops_the_engine_and_is_answered(
    record_property: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """And how long both took is reported."""
    async with session(text="# do: forever") as client:
        number, reply = client.ask(0, 13, stream_as="t")
        await client.seen("$/progress")
        started_at = time.perf_counter()
        client.cancel(number)
        with pytest.raises(RpcError) as error:
            await reply
        reply_ms = (time.perf_counter() - started_at) * 1000
        await client.seen("midfill/status", 2, state="ready")
        stats = await client.request("midfill/stats")
    assert error.value.code == CANCELLED
    assert stats["cancelled"] == 1
    assert stats["lastCancelMs"] < CANCEL_MS
    assert reply_ms < CANCEL_MS
    record_property("cancel_reply_ms", reply_ms)
    record_property("cancel_engine_ms", stats["lastCancelMs"])
    with capsys.disabled():
        print(f"\ncancel: reply {reply_ms:.1f} ms, engine {stats['lastCancelMs']:.1f} ms")  # noqa: T201


async def test_a_stream_grows_into_the_reply() -> None:
    """The last partial result is the reply, and each starts with the one before."""
    async with session(text="# do: write def f(x):~    return x~\r\n") as client:
        reply = await client.complete(0, 35, stream_as="t")
        values = [params["value"] for params in client.all_seen("$/progress")]
    texts = [value["items"][0]["insertText"] for value in values]
    assert reply == {"items": [item("def f(x):\r\n    return x", 0, 35)]}
    assert len(texts) > 1
    assert texts == sorted(texts, key=len)
    assert all(texts[-1].startswith(text) for text in texts)
    assert values[-1]["items"] == reply["items"]
    assert [value["sequence"] for value in values] == list(range(1, len(values) + 1))


async def test_a_newer_request_takes_the_place_of_an_older() -> None:
    """The older is answered null."""
    async with session(text="# do: forever\n# do: write z") as client:
        _, old = client.ask(0, 13, stream_as="t")
        await client.seen("$/progress")
        assert await client.complete(1, 13) == {"items": [item("z", 1, 13, item_id="2")]}
        assert await old is None


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 19), ("utf-16", 17), ("utf-32", 16)])
async def test_astral_characters_in_each_encoding(encoding: str, column: int) -> None:
    """The position is the client's, the text is ours."""
    general = {"general": {"positionEncodings": [encoding]}}
    async with session(text="'😀' # do: write 😀", capabilities=INLINE | general) as client:
        column += {"utf-8": 4, "utf-16": 2, "utf-32": 1}[encoding]
        assert await client.complete(0, column) == {"items": [item("😀", 0, column)]}


async def test_line_ends_form_feeds_and_the_end_of_the_file() -> None:
    """Only what LSP calls a line end is one, and the document's own comes back."""
    async with session(text="a\f\u2028b\r\nc\r\n# do: write x~y") as client:
        assert await client.complete(2, 15) == {"items": [item("x\r\ny", 2, 15)]}
        assert await client.complete(2, 99) == {"items": [item("x\r\ny", 2, 15)]}


async def test_wrong_places_are_errors_and_the_session_goes_on() -> None:
    """A line too far, a line below zero, a document that nobody opened."""
    async with session(text="# do: write z") as client:
        for line, uri in ((1, URI), (-1, URI), (0, "file:///other.py")):
            with pytest.raises(RpcError) as error:
                await client.complete(line, 1, uri=uri)
            assert error.value.code == INVALID_PARAMS
        assert await client.complete(0, 13) == {"items": [item("z", 0, 13)]}


async def test_bad_settings_are_shown_and_the_session_goes_on() -> None:
    """With the defaults."""
    options = {"completion": {"maxTokens": "many"}, "model": 7}
    async with session(text="# do: write z", options=options) as client:
        assert await client.complete(0, 13) == {"items": [item("z", 0, 13)]}
        shown = [message["message"] for message in client.all_seen("window/showMessage")]
    assert len(shown) == 2
    assert "midfill.completion.maxTokens cannot be 'many'" in shown[0]


@pytest.mark.parametrize("command", ["raise", "die"])
async def test_an_engine_that_fails_does_not_end_the_session(command: str) -> None:
    """A defect costs one reply; a dead engine can be started again."""
    async with session(text=f"# do: write z\n# do: {command}") as client:
        assert await client.complete(1, 99) is None
        await client.request("workspace/executeCommand", {"command": "midfill.restart"})
        await client.seen("midfill/status", 2, state="loading")
        assert await client.complete(0, 13, kind=INVOKED) == {
            "items": [item("z", 0, 13, item_id="2")]
        }


async def test_a_model_that_is_not_pulled_does_not_end_the_session() -> None:
    """The user is told what to do, once."""
    async with started(*SCRIPTED, "--model", "missing") as (client, process):
        await client.initialize()
        client.open("# do: write z")
        message = await client.seen("window/showMessage")
        assert "midfill models pull missing" in message["message"]
        assert await client.complete(0, 13) is None
        await client.leave()
        assert await process.wait() == 0


async def test_what_libraries_print_does_not_reach_the_client() -> None:
    """It goes to stderr, from Python and from C."""
    pipe = asyncio.subprocess.PIPE
    async with started(*SCRIPTED, stderr=pipe) as (client, process):
        await client.initialize()
        client.open("# do: print")
        await client.seen("midfill/status", state="ready")
        assert await client.complete(0, 11) == {"items": [item("done", 0, 11)]}
        await client.leave()
        errors = await process.stderr.read()
    assert b"a progress bar" in errors
    assert b"a message from C" in errors


@pytest.mark.parametrize("name", ["own.log", None])
async def test_it_logs_to_a_file(name: str | None, tmp_path: Path) -> None:
    """The one that was asked for, or the platform's."""
    home = tmp_path / "home"
    options = ["--log-file", str(tmp_path / name)] if name else []
    variables = {"HOME": str(home), "XDG_STATE_HOME": str(home), "LOCALAPPDATA": str(home)}
    async with started(*SCRIPTED, *options, env=os.environ | variables) as (client, _):
        await client.initialize()
        await client.seen("midfill/status", state="ready")
        await client.leave()
        await client.listening
    (path,) = tmp_path.rglob("*.log")
    assert "is ready" in path.read_text(encoding="utf-8")


# -- the end of a process


async def test_exit_after_shutdown_is_0_and_without_it_1() -> None:
    """LSP 3.18, "Exit Notification"."""
    async with started(*SCRIPTED) as (client, process):
        await client.initialize()
        client.notify("exit")
        assert await process.wait() == 1
    async with started(*SCRIPTED) as (client, process):
        await client.initialize()
        await client.leave()
        assert await process.wait() == 0


async def test_it_leaves_when_its_input_ends_even_while_it_writes() -> None:
    """The editor was killed."""
    async with started(*SCRIPTED) as (client, process):
        await client.initialize()
        client.open("# do: forever")
        await client.seen("midfill/status", state="ready")
        client.ask(0, 13, stream_as="t")
        await client.seen("$/progress")
        process.stdin.close()
        assert await process.wait() == 1


@pytest.mark.parametrize("command", ["hang", "hold", "flood"])
@pytest.mark.parametrize(("end", "code"), [("leave", 0), ("exit", 1), ("hang up", 1)])
async def test_nothing_that_hangs_holds_up_its_end(command: str, end: str, code: int) -> None:
    """Neither a held event loop, nor a thread, nor a client that reads no more."""
    async with started(*SCRIPTED, stderr=asyncio.subprocess.PIPE) as (client, process):
        await client.initialize()
        client.open(f"# do: {command}")
        await client.seen("midfill/status", state="ready")
        client.ask(0, 20, kind=INVOKED, stream_as="t")
        if command == "hang":
            assert await process.stderr.readline() == b"it hangs\n"
        else:
            await client.seen("midfill/status", state="thinking")
        if command == "flood":
            client.listening.cancel()
        if end == "leave":
            client.start("shutdown")
        if end == "hang up":
            process.stdin.close()
        else:
            client.notify("exit")
        assert await process.wait() == code


@pytest.mark.skipif(sys.platform == "win32", reason="nobody watches there")
async def test_it_is_killed_if_its_interpreter_is_held_when_its_input_ends() -> None:
    """No thread of its own could see that; what was sent meanwhile is not waited for."""
    async with started(*SCRIPTED, stderr=asyncio.subprocess.PIPE) as (client, process):
        await client.initialize()
        client.open("# do: match")
        await client.seen("midfill/status", state="ready")
        client.ask(0, 20)
        assert await process.stderr.readline() == b"it hangs\n"
        client.start("midfill/stats")
        process.stdin.close()
        assert await process.wait() == -signal.SIGKILL


async def test_it_leaves_a_held_event_loop_when_the_editors_process_has_died() -> None:
    """Who looks after the editor does not wait for the loop."""
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    async with started(*SCRIPTED, stderr=asyncio.subprocess.PIPE) as (client, process):
        await client.initialize(processId=editor.pid)
        client.open("# do: hang")
        await client.seen("midfill/status", state="ready")
        client.ask(0, 20)
        assert await process.stderr.readline() == b"it hangs\n"
        editor.communicate()
        assert await process.wait() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_it_leaves_when_the_editors_process_is_a_zombie() -> None:
    """Whoever started the editor has not waited for it, and may never."""
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    async with started(*SCRIPTED) as (client, process):
        await client.initialize(processId=editor.pid)
        assert editor.stdin is not None
        editor.stdin.close()
        assert await process.wait() == 1
    editor.wait()


async def test_when_nobody_reads_any_more_nothing_that_waits_is_worked_off() -> None:
    """What was sent before is in vain; the input may stay open."""
    async with started(*SCRIPTED) as (client, process):
        await client.initialize()
        client.open("# do: write x")
        await client.seen("midfill/status", state="ready")
        client.listening.cancel()
        process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]
        for _ in range(20_000):
            client.start("midfill/stats")
        assert await process.wait() == 1


async def test_it_leaves_when_the_editors_process_has_died() -> None:
    """Even if something else holds its input open."""
    editor = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    async with started(*SCRIPTED) as (client, process):
        await client.initialize(processId=editor.pid)
        editor.communicate()
        assert await process.wait() == 1


async def test_a_process_that_was_never_there_is_not_waited_for() -> None:
    """The editor is in another container, where processes have other numbers."""
    editor = subprocess.Popen([sys.executable, "-c", ""])
    editor.wait()
    async with session(text="# do: write z", processId=editor.pid) as client:
        assert await client.complete(0, 13) == {"items": [item("z", 0, 13)]}


# -- over TCP


async def test_two_clients_over_tcp_share_one_engine() -> None:
    """Each has its own documents; when one leaves, the other stays."""
    command = (*SCRIPTED, "--tcp", "127.0.0.1:0")
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    address = (await process.stderr.readline()).decode().rpartition(" ")[2].strip()
    token = (await process.stderr.readline()).decode().rpartition(" ")[2].strip()
    host, _, port = address.rpartition(":")
    clients = [Client(*await asyncio.open_connection(host, int(port))) for _ in range(2)]
    for client, word in zip(clients, "xy", strict=True):
        await client.initialize(options={"token": token})
        client.open(f"# do: write {word}")
        await client.seen("midfill/status", state="ready")
    assert await clients[0].complete(0, 13) == {"items": [item("x", 0, 13)]}
    await clients[0].leave()
    await clients[0].listening
    with clients[1].packet():
        _, reply = clients[1].ask(0, 13)
        clients[1].type("#", 0, 0, version=2)
    assert await reply is None
    assert await clients[1].complete(0, 14) == {"items": [item("y", 0, 14)]}
    for client in clients:
        await client.close()
    process.terminate()
    await process.wait()


@pytest.mark.parametrize("address", ["nowhere", ":80", "host:", "host:http", "host:65536"])
def test_a_wrong_address_is_refused(address: str) -> None:
    """With what would be right."""
    done = subprocess.run(
        [*SCRIPTED, "--tcp", address], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"'{address}' is not HOST:PORT" in done.stderr


# -- with types, in time, for real


async def test_a_client_that_checks_types_is_content() -> None:
    """pytest-lsp validates every message by LSP's types."""
    config = ClientServerConfig(server_command=list(SCRIPTED))
    client: LanguageClient = await config.start()  # type: ignore[no-untyped-call]
    inline = types.InlineCompletionClientCapabilities()
    capabilities = types.ClientCapabilities(
        text_document=types.TextDocumentClientCapabilities(inline_completion=inline)
    )
    result = await client.initialize_session(types.InitializeParams(capabilities))
    assert result.capabilities.inline_completion_provider is not None
    assert result.server_info is not None
    assert result.server_info.name == "midfill"
    await client.shutdown_session()
    await client.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_initialize_is_answered_before_torch_and_numpy_are_loaded() -> None:
    """How long it takes is measured by midfill.recipes.keystrokes.startup."""
    async with started(*REAL) as (client, process):
        await client.request("initialize", {"processId": None, "capabilities": INLINE})
        maps = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
        assert "torch" not in maps
        assert "numpy" not in maps


@pytest.mark.real_model
async def test_the_real_model_completes_real_code(real_model_path: Path) -> None:
    """The whole way, from the file of weights to the item."""
    text = "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    return "
    async with started(*REAL, "--model", str(real_model_path)) as (client, process):
        await client.initialize()
        client.open(text)
        await client.seen("midfill/status", state="ready")
        reply = await client.complete(5, 11)
        assert reply["items"][0]["insertText"].startswith("a - b")
        await client.leave()
        assert await process.wait() == 0
