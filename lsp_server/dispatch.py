"""What midfill changes in pygls: an honest order, a reply to every request, messages of its own.

pygls 2.1.1 is transport and dispatch here. What it does beyond that is off: its copy of the
documents (documents.py has ours), and its ``exit`` (it ends the process, and with it every other
client of a shared engine).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
from cattrs import transform_error
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    JsonRPCResponseMessage,
    LanguageServerProtocol,
    lsp_method,
)

from midfill.lsp_server.messages import EXPERIMENTAL, MESSAGES
from midfill.lsp_server.text.documents import DocumentError
from midfill.lsp_server.wire.access import admits
from midfill.lsp_server.wire.envelope import EnvelopeError, read_message

if TYPE_CHECKING:
    from collections.abc import Generator

    from cattrs import Converter
    from pygls.lsp.server import LanguageServer

    from midfill.lsp_server.text.documents import Documents, Snapshot
    from midfill.lsp_server.wire.frames import Frame

Params = TypeVar("Params")

OWN = (
    types.EXIT,
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
)
"""Messages that pygls must not handle before us."""

_FOLLOWED = (types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE)
"""Notifications without which our text of a document is not the client's."""
_PROBLEMS = 3
"""Problems of a message that are told."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrived(Generic[Params]):
    """What the handler of a request about a document gets.

    A handler that is a coroutine starts later; over TCP a didChange in the same packet is applied
    before that, and the request's position would be read in the wrong text.
    """

    params: Params
    """The request's params."""
    document: Snapshot | DocumentError
    """The document as it was when the request arrived, or why there was none."""

    @property
    def snapshot(self) -> Snapshot:
        """The document as it was when the request arrived.

        Raises:
            DocumentError: there was no such document.
        """
        if isinstance(self.document, DocumentError):
            raise self.document
        return self.document


class ReadingProtocol(LanguageServerProtocol):
    """pygls' protocol, for whatever clients send; none of it goes unanswered.

    Args:
        documents: The client's.
        server: As pygls wants it.
        converter: As pygls wants it.
    """

    def __init__(self, documents: Documents, server: LanguageServer, converter: Converter) -> None:
        super().__init__(server, converter)
        self._documents = documents

    # pygls caches the next two, and with them each protocol: a client's documents would stay.

    def get_message_type(self, method: str) -> type[Any] | None:  # type: ignore[override]
        """How to read a message: one of ours, or LSP's."""
        return MESSAGES.get(method) or types.METHOD_TO_TYPES.get(method, (None,))[0]

    def get_result_type(self, method: str) -> type[Any] | None:  # type: ignore[override]
        """How to read the client's response to a request."""
        return types.METHOD_TO_TYPES.get(method, (None, None))[1]

    def receive(self, frame: Frame) -> None:
        """Handle what a client sent, whatever it is; nothing is raised for it."""
        try:
            message = read_message(frame)
        except EnvelopeError as error:
            _log.warning("refused a message: %s", error)
            problem = {"code": error.code, "message": str(error)}
            # Not by pygls, which leaves out an id that is null.
            self._send_data({"jsonrpc": "2.0", "id": error.request, "error": problem})
            return
        try:
            self.handle_message(self.structure_message(message))
        except JsonRpcException as error:
            self._refuse(message, error)
        except Exception as error:  # noqa: BLE001 (the boundary: a defect costs one message only)
            _log.exception("a message failed: %s", message.get("method", "a response"))
            self._refuse(message, JsonRpcInternalError(f"a bug in midfill: {error!r}"))

    def structure_message(self, data: dict[str, Any]) -> Any:
        """A message of JSON-RPC, as pygls wants it.

        Raises:
            JsonRpcException: what is wrong with it.
        """
        kind = self._kind_of(data)
        if kind is None:
            return _plain(data)
        params = attrs.fields_dict(kind).get("params")
        if params is not None and params.default is attrs.NOTHING and data.get("params") is None:
            data = data | {"params": {}}  # JSON-RPC lets them be left out
        try:
            return self._converter.structure(data, kind)
        except Exception as error:
            problems = "; ".join(transform_error(error)[:_PROBLEMS])
            raise JsonRpcInvalidParams(problems) from error

    def _handle_response(
        self, msg_id: int | str, result: Any | None = None, error: Any | None = None
    ) -> None:
        """Take the client's answer; one that nobody waits for any more is none."""
        future = self._request_futures.get(msg_id)
        if future is None or not future.done():
            super()._handle_response(msg_id, result, error)
        else:
            del self._request_futures[msg_id]

    def _kind_of(self, data: dict[str, Any]) -> type[Any] | None:
        """How to read this message; None: as it is.

        Raises:
            JsonRpcInvalidRequest: it is the answer to no request, or has an id and may not, or the
                other way round.
        """
        if "method" not in data:
            return self._kind_of_response(data)
        method, is_request = data["method"], "id" in data
        kind = self.get_message_type(method)
        if kind is None or method == types.EXIT:  # who wants to leave may, however it is said
            return kind
        if is_request != ("id" in attrs.fields_dict(kind)):
            name = "a notification" if is_request else "a request"
            raise JsonRpcInvalidRequest(f"{method} is {name}; see LSP 3.18")
        return kind

    def _kind_of_response(self, data: dict[str, Any]) -> type[Any] | None:
        request: Any = data.get("id")
        if "error" in data:
            self._result_types.pop(request, None)
            return types.ResponseErrorMessage
        if request not in self._result_types:
            raise JsonRpcInvalidRequest("this is neither a request nor the answer to one")
        kind: type[Any] | None = self._result_types.pop(request)
        return None if data.get("result") is None else kind  # null answers any request

    def _refuse(self, message: dict[str, Any], error: JsonRpcException) -> None:
        """Tell the sender of a request; end the wait for a response; trust no text any more."""
        method: str | None = message.get("method")
        request: Any = message.get("id")
        _log.warning("refused %s: %s", method or "a response", error)
        if method is None:
            if (future := self._request_futures.pop(request, None)) and not future.done():
                future.set_exception(error)
            elif "error" not in message:
                self._send_response(request, error=error.to_response_error())
        elif request is not None:
            self._send_response(request, error=error.to_response_error())
        elif method in _FOLLOWED:
            self._documents.lose(_uri_in(message.get("params")), str(error))


class PyglsProtocol(ReadingProtocol):
    """pygls' protocol with our documents, our ``exit``, and a reply to every request.

    Args:
        documents: The client's.
        token: What the client must send with ``initialize``; None: nothing.
        server: As pygls wants it.
        converter: As pygls wants it.
    """

    def __init__(
        self,
        documents: Documents,
        token: str | None,
        server: LanguageServer,
        converter: Converter,
    ) -> None:
        super().__init__(documents, server, converter)
        self.is_turned_away = False
        """Whether the client may not come in, and was told so."""
        self.is_initialized = False
        """Whether the client has come in."""
        self._token = token
        for method in OWN:
            del self.fm.builtin_features[method]

    @property
    def is_shut_down(self) -> bool:
        """Whether the client has sent ``shutdown``."""
        return bool(self._shutdown)

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(
        self, params: types.InitializeParams
    ) -> Generator[Any, Any, types.InitializeResult]:
        """The reply to ``initialize``, with our encoding and our experiments."""
        result = yield from super().lsp_initialize(params)
        self.is_initialized = True
        capabilities = attrs.evolve(
            result.capabilities,
            position_encoding=self._documents.encoding,
            experimental=EXPERIMENTAL,
        )
        return attrs.evolve(result, capabilities=capabilities)

    def handle_message(self, message: Any) -> None:
        """Dispatch a message, if it may come in this phase."""
        method, request = getattr(message, "method", ""), getattr(message, "id", None)
        refusal = self._refusal(method) or self._turned_away(message)
        if refusal is None:
            super().handle_message(message)
        elif request is not None:
            self._send_response(request, error=refusal.to_response_error())

    def _handle_request(self, msg_id: int | str, method_name: str, params: Any) -> None:
        """Start the handler of a request; what is about a document comes with it, as it is now."""
        document = getattr(params, "text_document", None)
        if document is not None:
            params = Arrived(params, self._find(document.uri))
        super()._handle_request(msg_id, method_name, params)

    def _handle_cancel_notification(self, msg_id: int | str) -> None:
        """Cancel a request; one that has its reply already is not worth pygls' warning."""
        if isinstance(msg_id, int | str) and msg_id in self._request_futures:
            super()._handle_cancel_notification(msg_id)

    def _refusal(self, method: str) -> JsonRpcException | None:
        """Why a message cannot be handled in this phase (LSP 3.18, "Server lifecycle")."""
        if method in ("", types.EXIT):
            return None
        if self._shutdown:
            return JsonRpcInvalidRequest(f"{method} after shutdown; only exit may follow")
        if self.is_initialized == (method == types.INITIALIZE):
            if self.is_initialized:
                return JsonRpcInvalidRequest("initialize came twice; start another server")
            return JsonRpcServerNotInitialized(f"{method} before initialize; send that first")
        return None

    def _turned_away(self, message: Any) -> JsonRpcException | None:
        """Why the client may not come in."""
        if not isinstance(message, types.InitializeRequest):
            return None
        self.is_turned_away = not admits(self._token, message.params.initialization_options)
        return JsonRpcInvalidRequest("token missing or wrong") if self.is_turned_away else None

    def _find(self, uri: str) -> Snapshot | DocumentError:
        try:
            return self._documents.get(uri)
        except DocumentError as error:
            return error


def _plain(data: dict[str, Any]) -> Any:
    """A message of a kind that nobody knows, as pygls wants it."""
    if "method" not in data:
        return JsonRPCResponseMessage(data["id"], data["jsonrpc"], data.get("result"))
    fields = data["method"], data["jsonrpc"], data.get("params")
    if "id" in data:
        return JsonRPCRequestMessage(data["id"], *fields)
    return JsonRPCNotification(*fields)


def _uri_in(params: object) -> str | None:
    """The URI of the document that params are about, however wrong the rest of them is."""
    document = params.get("textDocument") if isinstance(params, dict) else None
    uri = document.get("uri") if isinstance(document, dict) else None
    return uri if isinstance(uri, str) else None
