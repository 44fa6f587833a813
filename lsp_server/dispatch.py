"""What midfill changes in pygls: an honest order, a reply to every request, messages of its own.

pygls 2.1.1 is transport and dispatch here. What it does beyond that is off: its copy of the
documents (documents.py has ours), and its ``exit`` (it ends the process, and with it every other
client of a shared engine).
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInvalidRequest,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import LanguageServerProtocol, lsp_method

from midfill.lsp_server.messages import EXPERIMENTAL, MESSAGES
from midfill.lsp_server.text.documents import DocumentError

if TYPE_CHECKING:
    from collections.abc import Generator

    from cattrs import Converter

    from midfill.lsp_server.server import MidfillServer
    from midfill.lsp_server.text.documents import Snapshot

OWN = (
    types.EXIT,
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
)
"""Messages that pygls must not handle before us."""


class PyglsProtocol(LanguageServerProtocol):
    """pygls' protocol with our documents, our ``exit``, and a reply to every request."""

    arrived: ContextVar[Snapshot | None] = ContextVar("arrived", default=None)
    """For a request's handler: its document as it was when the request arrived.

    A handler that is a coroutine starts later; over TCP a didChange in the same packet is applied
    before that, and the request's position would be read in the wrong text.
    """

    _server: MidfillServer

    def __init__(self, server: MidfillServer, converter: Converter) -> None:
        super().__init__(server, converter)
        self._is_initialized = False
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
        self._is_initialized = True
        result.capabilities.position_encoding = self._server.session.documents.encoding
        result.capabilities.experimental = EXPERIMENTAL
        return result

    def get_message_type(self, method: str) -> type[Any] | None:  # type: ignore[override]
        """How to read a message: one of ours, or LSP's."""
        return MESSAGES.get(method) or super().get_message_type(method)

    def structure_message(self, data: dict[str, Any]) -> Any:
        """The message; the sender of a malformed request gets an error (pygls sends nothing)."""
        if "method" in data and self.get_message_type(data["method"]) is None:
            data = {"params": None} | data  # JSON-RPC lets them be left out, pygls does not
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "method" in data and "id" in data:
                self._send_response(data["id"], error=error.to_response_error())
            raise

    def handle_message(self, message: Any) -> None:
        """Dispatch a message, with the state of its document at this moment."""
        method, request = getattr(message, "method", ""), getattr(message, "id", None)
        refusal = self._refusal(method)
        if refusal is None:
            token = self.arrived.set(self._document_of(message))
            try:
                super().handle_message(message)
            finally:
                self.arrived.reset(token)
        elif request is not None:
            self._send_response(request, error=refusal.to_response_error())

    def _handle_cancel_notification(self, msg_id: int | str) -> None:
        """Cancel a request; one that has its reply already is not worth pygls' warning."""
        if msg_id in self._request_futures:
            super()._handle_cancel_notification(msg_id)

    def _refusal(self, method: str) -> JsonRpcException | None:
        """Why a message cannot be handled in this phase (LSP 3.18, "Server lifecycle")."""
        if method in ("", types.EXIT):
            return None
        if self._shutdown:
            return JsonRpcInvalidRequest(f"{method} after shutdown; only exit may follow")
        if self._is_initialized == (method == types.INITIALIZE):
            if self._is_initialized:
                return JsonRpcInvalidRequest("initialize came twice; start another server")
            return JsonRpcServerNotInitialized(f"{method} before initialize; send that first")
        return None

    def _document_of(self, message: Any) -> Snapshot | None:
        document = getattr(getattr(message, "params", None), "text_document", None)
        uri = getattr(document, "uri", "")
        with contextlib.suppress(DocumentError):
            return self._server.session.documents.get(uri)
        return None
