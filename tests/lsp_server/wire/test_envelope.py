"""What JSON-RPC wants of a message: which bodies are refused, and what the sender is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from midfill.lsp_server.wire.envelope import EnvelopeError, read_message
from midfill.lsp_server.wire.frames import Refusal

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS = -32700, -32600, -32602


def refused(frame: bytes | Refusal) -> EnvelopeError:
    """Why a frame is no message."""
    with pytest.raises(EnvelopeError) as error:
        read_message(frame)
    return error.value


@pytest.mark.parametrize(
    "message",
    [
        {"id": 1, "method": "a"},
        {"id": "x", "method": "a", "params": None},
        {"id": -1, "method": "", "params": []},
        {"method": "a", "params": {"jsonrpc": "1.0", "id": {}}},
        {"id": "x", "result": None},
        {"id": "x"},
        {"id": "x", "error": {"code": 1, "message": "no"}},
        {"id": None, "error": {"code": 1, "message": "no"}},
        {"error": {"code": 1, "message": "no"}},
    ],
)
def test_a_message_is_read_as_it_is(message: dict[str, Any]) -> None:
    """Requests, notifications, and responses; those to a request that nobody could read too."""
    whole = {"jsonrpc": "2.0"} | message
    assert read_message(json.dumps(whole).encode()) == whole
    assert read_message(b"\xef\xbb\xbf" + json.dumps(whole).encode()) == whole


@pytest.mark.parametrize(
    "body",
    [
        *[b"", b"{", b"{this", b"\xff\xfe", b'{"id": NaN}', b'{"id": -Infinity}', b"{}{}"],
        *[b"[" * 100_000, b'{"a":' * 100_000, b'{"id": %s}' % (b"9" * 5000)],
        '{"jsonrpc": "2.0", "id": 1, "method": "a"}'.encode("utf-16"),
    ],
)
def test_a_body_that_is_no_json_is_a_parse_error(body: bytes) -> None:
    """Nothing of it is quoted: it may be the user's code."""
    error = refused(body)
    assert (error.code, error.request) == (PARSE_ERROR, None)
    assert str(error).startswith("the body is no JSON in UTF-8 (")


@pytest.mark.parametrize("body", ["[]", '[{"jsonrpc": "2.0"}]', "7", "null", "true", '"text"'])
def test_what_is_no_object_is_no_request(body: str) -> None:
    """Nor is a batch, which LSP does not have."""
    error = refused(body.encode())
    assert (error.code, error.request) == (INVALID_REQUEST, None)


@pytest.mark.parametrize("version", [None, "1.0", 2.0, 2, "", [], {}])
def test_the_version_must_be_there_and_right(version: object) -> None:
    """The answer goes to the request."""
    message = {"jsonrpc": version, "id": 5, "method": "a"}
    assert (refused(json.dumps(message).encode()).code) == INVALID_REQUEST
    del message["jsonrpc"]
    error = refused(json.dumps(message).encode())
    assert (error.code, error.request) == (INVALID_REQUEST, 5)


@pytest.mark.parametrize("request_id", [{}, [], 1.5, 1.0, True, None])
@pytest.mark.parametrize("rest", [{"method": "a"}, {"result": 1}])
def test_an_id_is_a_whole_number_or_a_text(request_id: object, rest: dict[str, Any]) -> None:
    """Python takes true for a number."""
    message = {"jsonrpc": "2.0", "id": request_id} | rest
    error = refused(json.dumps(message).encode())
    assert (error.code, error.request) == (INVALID_REQUEST, None)


@pytest.mark.parametrize("method", [1, None, [], {}, True])
def test_a_method_is_a_text(method: object) -> None:
    """With and without an id."""
    for request in ({"id": "x"}, {}):
        message = {"jsonrpc": "2.0", "method": method} | request
        error = refused(json.dumps(message).encode())
        assert (error.code, error.request) == (INVALID_REQUEST, request.get("id"))


@pytest.mark.parametrize("params", [1, "text", True, 0.5, 0, "", False])
def test_params_have_a_structure(params: object) -> None:
    """An object or an array."""
    for request in ({"id": "x"}, {}):
        message = {"jsonrpc": "2.0", "method": "a", "params": params} | request
        error = refused(json.dumps(message).encode())
        assert (error.code, error.request) == (INVALID_PARAMS, request.get("id"))


@pytest.mark.parametrize("message", [{}, {"result": 1}, {"params": {}}])
def test_a_message_without_method_and_id_is_none(message: dict[str, Any]) -> None:
    """Nobody can know what it is for."""
    assert refused(json.dumps({"jsonrpc": "2.0"} | message).encode()).code == INVALID_REQUEST


def test_a_refused_frame_says_why() -> None:
    """As it came from the stream."""
    error = refused(Refusal("too long"))
    assert (error.code, str(error), error.request) == (INVALID_REQUEST, "too long", None)
