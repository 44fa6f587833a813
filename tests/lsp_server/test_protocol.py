"""What midfill adds to LSP: partial results, honest phases, a reply to every request."""

from __future__ import annotations

import json
import logging
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeEngine, writing
from lsp_client import INVOKED, Client, RpcError, connected
from lsprotocol import types

from midfill.lsp_server.engine_host import EngineHost
from midfill.lsp_server.protocol import (
    EXPERIMENTAL,
    InlineCompletionParams,
    converter,
    partial_result,
)
from midfill.lsp_server.server import MidfillServer
from midfill.lsp_server.stats import Stats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32600, -32601, -32602
NOT_INITIALIZED = -32002


def structured(**more: Any) -> Any:
    """The params of a request with more fields than LSP has."""
    params = {
        "textDocument": {"uri": "file:///a"},
        "position": {"line": 1, "character": 2},
        "context": {"triggerKind": 2, "selectedCompletionInfo": None},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "textDocument/inlineCompletion"}
    request = converter().structure(
        message | {"params": params | more}, types.InlineCompletionRequest
    )
    return request.params


@asynccontextmanager
async def client_of_a_fake() -> AsyncIterator[Client]:
    """A client that has not said anything yet."""
    host = EngineHost(lambda _config, _progress: FakeEngine(writing("z")))
    async with connected(MidfillServer(host)) as client:
        yield client
    host.close()


@pytest.mark.parametrize("token", ["a token", 7, None])
def test_the_partial_result_token_arrives(token: object) -> None:
    """LSP 3.18 lacks it for inline completions, and lsprotocol drops what it does not know."""
    params = structured(partialResultToken=token, workDoneToken=5)
    assert isinstance(params, InlineCompletionParams)
    assert params.partial_result_token == token
    assert params.work_done_token == 5
    assert params.position == types.Position(1, 2)


def test_without_a_token_there_is_none() -> None:
    """As most clients send it."""
    assert structured().partial_result_token is None


def test_a_partial_result_has_items_sequence_and_version() -> None:
    """In LSP's spelling."""
    here = types.Range(types.Position(0, 1), types.Position(0, 1))
    item = types.InlineCompletionItem("x", range=here)
    place = {"line": 0, "character": 1}
    assert partial_result([item], 3, 8) == {
        "items": [{"insertText": "x", "range": {"start": place, "end": place}}],
        "sequence": 3,
        "documentVersion": 8,
    }


def test_the_documentation_shows_what_is_announced() -> None:
    """Clients are written from it."""
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
    blocks = [json.loads(block.partition("```")[0]) for block in text.split("```json\n")[1:]]
    assert blocks[0] == {"capabilities": {"experimental": EXPERIMENTAL}}
    assert blocks[1].keys() == partial_result([], 1, 1).keys()
    assert blocks[2].keys() == {"state", "message", "model", "progress"}
    assert all(f"`{name}`" in text for name in Stats().as_json())


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
