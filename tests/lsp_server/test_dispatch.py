"""What midfill adds to LSP: partial results, honest phases, a reply to every request."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeEngine, writing
from lsp_client import INVOKED, Client, RpcError, connected

from midfill.lsp_server.engine_host import EngineHost
from midfill.lsp_server.server import MidfillServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32600, -32601, -32602
NOT_INITIALIZED = -32002


@asynccontextmanager
async def client_of_a_fake() -> AsyncIterator[Client]:
    """A client that has not said anything yet."""
    host = EngineHost(lambda _config, _progress: FakeEngine(writing("z")))
    async with connected(MidfillServer(host)) as client:
        yield client
    host.close()


async def test_before_initialize_there_is_nothing_but_initialize() -> None:
    """LSP 3.18, "Initialize Request"; notifications are dropped."""
    async with client_of_a_fake() as client:
        client.open("x")
        with pytest.raises(RpcError) as error:
            await client.complete(0, 1)
        assert error.value.code == NOT_INITIALIZED
        await client.initialize()
        with pytest.raises(RpcError, match="is not open"):
            await client.complete(0, 1)


async def test_initialize_comes_once() -> None:
    """LSP 3.18, "Initialize Request"."""
    async with client_of_a_fake() as client:
        await client.initialize()
        with pytest.raises(RpcError) as error:
            await client.initialize()
        assert error.value.code == INVALID_REQUEST


async def test_after_shutdown_there_is_nothing_but_exit() -> None:
    """LSP 3.18, "Shutdown Request": requests get an error (pygls lets them wait forever)."""
    async with client_of_a_fake() as client:
        await client.initialize()
        await client.request("shutdown")
        with pytest.raises(RpcError) as error:
            await client.complete(0, 1)
        assert error.value.code == INVALID_REQUEST


@pytest.mark.parametrize(
    "params",
    [
        {"textDocument": {"uri": "file:///a"}, "position": {"line": -1, "character": 0}},
        {"position": {"line": 0, "character": 0}},
        {},
        [],
        "text",
    ],
)
async def test_a_malformed_request_gets_an_error(params: Any) -> None:
    """Pygls sends nothing, and the editor would wait forever."""
    if isinstance(params, dict):
        params = params | {"context": {"triggerKind": INVOKED}}
    async with client_of_a_fake() as client:
        await client.initialize()
        with pytest.raises(RpcError) as error:
            await client.request("textDocument/inlineCompletion", params)
        assert error.value.code in (INVALID_PARAMS, -32603)
        assert await client.request("midfill/stats")


async def test_what_is_no_json_is_survived() -> None:
    """The next message is answered."""
    async with client_of_a_fake() as client:
        await client.initialize()
        client.send_raw(b"{this is not JSON")
        client.send_raw(b'{"jsonrpc": "1.0", "id": 3}')
        client.send_raw(b"[]")
        assert await client.request("midfill/stats")


@pytest.mark.parametrize("params", [None, {"a": 1}])
async def test_an_unknown_request_gets_an_error(params: Any) -> None:
    """With or without params."""
    async with client_of_a_fake() as client:
        await client.initialize()
        with pytest.raises(RpcError) as error:
            await client.request("midfill/makeCoffee", params)
        assert error.value.code == METHOD_NOT_FOUND


async def test_a_cancel_that_comes_too_late_is_not_worth_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Editors cancel at every keystroke, whether the reply is on its way or not."""
    async with client_of_a_fake() as client:
        await client.initialize()
        number, reply = client.start("midfill/stats")
        await reply
        client.cancel(number)
        assert await client.request("midfill/stats")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_unknown_notification_is_ignored() -> None:
    """LSP 3.18, "$ Notifications"."""
    async with client_of_a_fake() as client:
        await client.initialize()
        client.notify("$/somethingNew", {"a": 1})
        client.notify("somethingElse")
        assert await client.request("midfill/stats")
