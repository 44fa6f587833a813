"""What midfill changes in pygls: an honest order, a reply to every request, messages of its own.

pygls 2.1.1 is transport and dispatch here. What it does beyond that is off: its copy of the
documents (documents.py has ours), and its ``exit`` (it ends the process, and with it every other
client of a shared engine).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
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
    from pygls.lsp.server import LanguageServer

    from midfill.lsp_server.text.documents import Documents, Snapshot

Params = TypeVar("Params")

OWN = (
    types.EXIT,
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
)
"""Messages that pygls must not handle before us."""


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


class PyglsProtocol(LanguageServerProtocol):
    """pygls' protocol with our documents, our ``exit``, and a reply to every request.

    Args:
        documents: The client's.
        server: As pygls wants it.
        converter: As pygls wants it.
    """

    def __init__(self, documents: Documents, server: LanguageServer, converter: Converter) -> None:
        super().__init__(server, converter)
        self._documents = documents
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
        capabilities = attrs.evolve(
            result.capabilities,
            position_encoding=self._documents.encoding,
            experimental=EXPERIMENTAL,
        )
        return attrs.evolve(result, capabilities=capabilities)

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
        """Dispatch a message, if it may come in this phase."""
        method, request = getattr(message, "method", ""), getattr(message, "id", None)
        refusal = self._refusal(method)
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

    def _find(self, uri: str) -> Snapshot | DocumentError:
        try:
            return self._documents.get(uri)
        except DocumentError as error:
            return error
