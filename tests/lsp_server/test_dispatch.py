"""What midfill adds to LSP: partial results, honest phases, a reply to every request."""

from __future__ import annotations

import gc
import json
import logging
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeEngine, writing
from lsp_client import INVOKED, URI, Client, RpcError, connected

from midfill.lsp_server.dispatch import PyglsProtocol
from midfill.lsp_server.engine_host import EngineHost
from midfill.lsp_server.server import MidfillServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
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


async def test_a_bug_in_the_dispatch_leaves_no_request_unanswered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor does it end the session."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("made up")

    async with client_of_a_fake() as client:
        await client.initialize()
        client.open("x")
        await client.complete(0, 1)
        with monkeypatch.context() as patch:
            patch.setattr(PyglsProtocol, "handle_message", fail)
            with pytest.raises(RpcError, match=r"a bug in midfill: ZeroDivisionError") as error:
                await client.complete(0, 1)
            assert error.value.code == -32603
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


@pytest.mark.parametrize(
    ("body", "code", "request_id"),
    [
        (b"{this is not JSON", PARSE_ERROR, None),
        (b"", PARSE_ERROR, None),
        (b"\xff", PARSE_ERROR, None),
        (b"[" * 100_000, PARSE_ERROR, None),
        (b'{"jsonrpc": "2.0", "id": %s, "method": "x"}' % (b"9" * 5000), PARSE_ERROR, None),
        (b"[]", INVALID_REQUEST, None),
        (b"7", INVALID_REQUEST, None),
        (b"null", INVALID_REQUEST, None),
        (b'[{"jsonrpc": "2.0", "id": 77, "method": "midfill/stats"}]', INVALID_REQUEST, None),
        (b'{"id": 77, "method": "midfill/stats"}', INVALID_REQUEST, 77),
        (b'{"jsonrpc": "1.0", "id": 77, "method": "midfill/stats"}', INVALID_REQUEST, 77),
        (b'{"jsonrpc": 2.0, "id": "x", "method": "midfill/stats"}', INVALID_REQUEST, "x"),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "midfill/stats"}', INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": [], "method": "midfill/stats"}', INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "midfill/stats"}', INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": true, "method": "midfill/stats"}', INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": null, "method": "midfill/stats"}', INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": [], "result": 1}', INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": 77, "result": 1}', INVALID_REQUEST, 77),
        (b'{"jsonrpc": "2.0", "id": 77}', INVALID_REQUEST, 77),
        (b'{"jsonrpc": "2.0"}', INVALID_REQUEST, None),
        (b'{"jsonrpc": "2.0", "id": 77, "method": 5}', INVALID_REQUEST, 77),
        (b'{"jsonrpc": "2.0", "method": null}', INVALID_REQUEST, None),
        (
            b'{"jsonrpc": "2.0", "id": 77, "method": "midfill/stats", "params": 5}',
            INVALID_PARAMS,
            77,
        ),
        (b'{"jsonrpc": "2.0", "id": 77, "method": "x", "params": "text"}', INVALID_PARAMS, 77),
        (b'{"jsonrpc": "2.0", "method": "x", "params": 5}', INVALID_PARAMS, None),
        (b'{"jsonrpc": "2.0", "id": 77, "method": "initialized"}', INVALID_REQUEST, 77),
        (b'{"jsonrpc": "2.0", "id": 77, "method": "textDocument/didOpen"}', INVALID_REQUEST, 77),
        (
            b'{"jsonrpc": "2.0", "id": 77, "method": "x", "params": {"type_name": 5}}',
            METHOD_NOT_FOUND,
            77,
        ),
    ],
)
async def test_what_is_no_message_is_answered_and_survived(
    body: bytes, code: int, request_id: object, caplog: pytest.LogCaptureFixture
) -> None:
    """JSON-RPC 2.0, "Error object"; nobody has to guess from a trace what was wrong."""
    async with client_of_a_fake() as client:
        await client.initialize()
        client.send_raw(body)
        reply = await client.refused()
        assert (reply["error"]["code"], reply["id"]) == (code, request_id)
        assert await client.request("midfill/stats")
        assert len(client.refusals) == 1
    assert [record for record in caplog.records if record.exc_info] == []
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    "message",
    [
        {"id": None, "error": {"code": 1, "message": "who was that?"}},
        {"id": "unknown", "error": {"code": 1, "message": "no"}},
        {"id": "unknown", "error": 5},
        {"method": "$/cancelRequest", "params": {"id": {}}},
        {"method": "$/cancelRequest", "params": {}},
        {"method": "$/cancelRequest", "params": {"id": "unknown"}},
        {"method": "midfill/shown", "params": []},
        {"method": "initialize", "params": {}},
        {"method": "$/unknown", "params": {"type_name": 5, "jsonrpc": "2.0", "id": {}}},
        {"method": "textDocument/didClose", "params": {"textDocument": {"uri": 5}}},
    ],
)
async def test_what_has_no_answer_is_survived(
    message: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Notifications and responses that are wrong inside."""
    async with client_of_a_fake() as client:
        await client.initialize()
        client.send_raw(json.dumps({"jsonrpc": "2.0"} | message).encode())
        assert await client.request("midfill/stats")
        assert client.refusals == []
    assert "Traceback" not in caplog.text


async def test_headers_may_be_wrong_and_the_session_goes_on() -> None:
    """The next message is read."""
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "midfill/stats"}'
    async with client_of_a_fake() as client:
        await client.initialize()
        client.send_bytes(b"Content-Length: %s\r\n\r\n{}" % (b"9" * 5000))
        client.send_bytes(b"CONTENT-LENGTH :%d\n\n%s" % (len(body), body.replace(b"1", b"7")))
        assert (await client.refused())["error"]["code"] == INVALID_REQUEST
        assert (await client.refused(2))["id"] == 7


async def test_initialized_may_lack_its_params() -> None:
    """They are empty anyway; without the message nothing would begin."""
    async with client_of_a_fake() as client:
        await client.request("initialize", {"processId": None, "capabilities": {}})
        client.notify("initialized")
        await client.ready()


CHANGED = {"textDocument": {"uri": URI, "version": 2}, "contentChanges": [{"text": "y"}]}
PLACE = {"line": 0, "character": 0}
ABOVE = {"range": {"start": {"line": -1, "character": 0}, "end": PLACE}, "text": ""}
"""A change whose line is negative."""
HALF = {"range": {"start": PLACE, "end": {"line": 0, "character": 1.5}}, "text": ""}
"""A change that ends within a character."""


@pytest.mark.parametrize(
    "params",
    [
        CHANGED
        | {"contentChanges": [{"range": {"start": {"line": -1}, "end": PLACE}, "text": ""}]},
        CHANGED | {"contentChanges": [ABOVE]},
        CHANGED | {"contentChanges": [HALF]},
        CHANGED | {"contentChanges": [{"text": None}]},
        CHANGED | {"contentChanges": 5},
        CHANGED | {"textDocument": {"uri": URI, "version": "2"}},
        {"textDocument": {"uri": URI, "version": 2}},
        {"contentChanges": [{"text": "y"}]},
    ],
)
async def test_a_change_that_cannot_be_read_leads_to_no_wrong_text(params: dict[str, Any]) -> None:
    """The document gets no answers until its text comes whole."""
    async with client_of_a_fake() as client:
        await client.initialize()
        client.open("return b")
        await client.ready()
        client.notify("textDocument/didChange", params)
        client.type("a + ", 0, 7, version=3)
        assert await client.complete(0, 8) is None
        client.change([{"text": "return a + b"}], version=4)
        assert (await client.complete(0, 12))["items"]


async def test_a_change_without_a_version_is_made() -> None:
    """LSP before 3.16 allowed null; the next one may have one again."""
    async with client_of_a_fake() as client:
        await client.initialize()
        client.open("return b")
        await client.ready()
        change = {"range": {"start": PLACE | {"character": 7}, "end": PLACE | {"character": 7}}}
        for document in ({"uri": URI, "version": None}, {"uri": URI}):
            params = {"textDocument": document, "contentChanges": [change | {"text": "a"}]}
            client.notify("textDocument/didChange", params)
        client.type("+", 0, 8, version=4)
        reply = await client.complete(0, 11)
        assert reply["items"][0]["range"]["start"] == {"line": 0, "character": 11}


@pytest.mark.parametrize("missing", [("version",), ("languageId",), ("version", "languageId")])
@pytest.mark.parametrize("is_null", [True, False])
async def test_a_document_may_lack_version_and_language(
    missing: tuple[str, ...], *, is_null: bool
) -> None:
    """It is version 0 then, in the language that its name tells."""
    item = {"uri": URI, "version": 0, "languageId": "python", "text": "x"}
    told = item | dict.fromkeys(missing) if is_null else item
    params = {name: told[name] for name in told if is_null or name not in missing}
    async with client_of_a_fake() as client:
        await client.initialize(options={"disabledLanguages": ["python"]})
        await client.ready()
        client.notify("textDocument/didOpen", {"textDocument": params})
        assert await client.complete(0, 1) is None  # it is Python, which is off
        client.type("y", 0, 1, version=1)
        other = params | {"uri": "file:///a%20b/x.rb"} | {"languageId": "ruby"}
        client.notify("textDocument/didOpen", {"textDocument": other})
        assert (await client.complete(0, 1, uri="file:///a%20b/x.rb"))["items"]


async def test_a_connection_that_has_ended_is_forgotten() -> None:
    """Pygls keeps each protocol in a cache, and with it all of the client's texts."""
    host = EngineHost(lambda _config, _progress: FakeEngine(writing("z")))
    server = MidfillServer(host)
    async with connected(server) as client:
        await client.initialize()
        client.open("x")
        await client.ready()
        await client.complete(0, 1)
        await client.leave()
    gone = weakref.ref(server.session.documents)
    del server, client
    host.close()
    gc.collect()
    assert gone() is None
