r"""What JSON-RPC 2.0 wants of a message around its params; the reason to refuse it, else.

::

    {"jsonrpc": "2.0", "id": 7, "method": "textDocument/inlineCompletion", "params": {...}}

Batches are not part of LSP (3.18, "Base Protocol"). Params may be ``null``, as some clients send.
"""

from __future__ import annotations

import json
from typing import Any

from midfill.lsp_server.wire.frames import Frame, Refusal

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS = -32700, -32600, -32602


class EnvelopeError(Exception):
    """A body that is no message.

    Args:
        code: JSON-RPC's number for it.
        reason: What is wrong.
        request: The id of the request, if it can be told.
    """

    def __init__(self, code: int, reason: str, request: int | str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.request = request


def read_message(frame: Frame) -> dict[str, Any]:
    """The message in a frame: a request, a notification or a response.

    Raises:
        EnvelopeError: it is none, and its sender should be told.
    """
    if isinstance(frame, Refusal):
        raise EnvelopeError(INVALID_REQUEST, frame.reason)
    message = _parse(frame)
    if not isinstance(message, dict):
        text = f"a message is an object, not {_kind(message)}; LSP has no batches"
        raise EnvelopeError(INVALID_REQUEST, text)
    request = _id_of(message)
    if message.get("jsonrpc") != "2.0":
        raise EnvelopeError(INVALID_REQUEST, 'a message has "jsonrpc": "2.0"', request)
    if "method" in message:
        _check_call(message, request)
    elif request is None and "error" not in message:
        raise EnvelopeError(INVALID_REQUEST, "a message has a method, or the id of a request")
    return message


def _parse(body: bytes) -> object:
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        kind = type(error).__name__  # its text would quote the message
        raise EnvelopeError(PARSE_ERROR, f"the body is no JSON in UTF-8 ({kind})") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(name)


def _id_of(message: dict[str, Any]) -> int | str | None:
    """The id; None if there is none, or for an error the client could not tell of what."""
    request = message.get("id")
    is_missing = "id" not in message or (request is None and "error" in message)
    if is_missing or (isinstance(request, int | str) and not isinstance(request, bool)):
        return request
    text = f"an id is a number without a fraction or a text, not {_kind(request)}"
    raise EnvelopeError(INVALID_REQUEST, text)


def _check_call(message: dict[str, Any], request: int | str | None) -> None:
    method, params = message["method"], message.get("params")
    if not isinstance(method, str):
        raise EnvelopeError(INVALID_REQUEST, f"a method is a text, not {_kind(method)}", request)
    if params is not None and not isinstance(params, dict | list):
        text = f"params are an object or an array, not {_kind(params)}"
        raise EnvelopeError(INVALID_PARAMS, text, request)


def _kind(value: object) -> str:
    """JSON's word for what a value is."""
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
