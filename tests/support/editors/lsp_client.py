"""A small client that speaks real LSP over any pair of streams, and can be as rude as a test wants.

``pytest_lsp`` checks types, but cannot send a malformed message, two in one packet, or the
``partialResultToken`` that its types lack; this one sends plain dictionaries.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

from midfill.lsp_server.transport import serve_client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from midfill.lsp_server.server import MidfillServer

URI = "file:///project/example.py"
LANGUAGE = "ruby"
"""One that is not parsed: what a double writes need not be code."""

INLINE: dict[str, Any] = {"textDocument": {"inlineCompletion": {}}}
"""Capabilities of a client that knows inline completion."""

AUTOMATIC, INVOKED = 2, 1


class RpcError(Exception):
    """An error reply."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]


class Client:
    """One end of a connection; reads until the other end closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received: list[tuple[str, Any]] = []
        """Notifications from the server, in order."""
        self.refusals: list[dict[str, Any]] = []
        """Error replies to messages that were sent raw, in order."""
        self.answers: dict[str, Callable[[Any], Any]] = {}
        """How to answer the server's requests; others get null."""
        self.silent_about: set[str] = set()
        """Methods of the server's requests that are never answered."""
        self.asked: list[str] = []
        """Methods of the server's requests."""
        self._reader, self._writer = reader, writer
        self._replies: dict[int, asyncio.Future[Any]] = {}
        self._news = asyncio.Event()
        self._packet: list[bytes] | None = None
        self.listening = asyncio.create_task(self._listen())

    # -- messages

    def notify(self, method: str, params: Any = None) -> None:
        """Send a notification."""
        self._send({"method": method, "params": params})

    def start(self, method: str, params: Any = None) -> tuple[int, asyncio.Future[Any]]:
        """Send a request; its id, and its reply to wait for."""
        number = len(self._replies) + 1
        self._replies[number] = asyncio.get_running_loop().create_future()
        self._send({"id": number, "method": method, "params": params})
        return number, self._replies[number]

    async def request(self, method: str, params: Any = None) -> Any:
        """Send a request and wait for its result."""
        return await self.start(method, params)[1]

    def cancel(self, number: int) -> None:
        """Cancel a request."""
        self.notify("$/cancelRequest", {"id": number})

    @contextlib.contextmanager
    def packet(self) -> Iterator[None]:
        """Send all messages of the block in one write."""
        self._packet = []
        yield
        data, self._packet = b"".join(self._packet), None
        self._writer.write(data)

    def send_raw(self, body: bytes) -> None:
        """Send this as a message's body."""
        message = b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        if self._packet is None:
            self._writer.write(message)
        else:
            self._packet.append(message)

    async def seen(self, method: str, number: int = 1, **fields: Any) -> Any:
        """The params of the n-th notification of this method with these fields, once it is here."""
        while True:
            found = [p for m, p in self.received if m == method and _has(p, fields)]
            if len(found) >= number:
                return found[number - 1]
            self._news.clear()
            await self._news.wait()

    async def refused(self, number: int = 1) -> dict[str, Any]:
        """The n-th error reply to a message that was sent raw, once it is here."""
        while len(self.refusals) < number:
            self._news.clear()
            await self._news.wait()
        return self.refusals[number - 1]

    def send_bytes(self, data: bytes) -> None:
        """Send this as it is."""
        self._writer.write(data)

    def all_seen(self, method: str) -> list[Any]:
        """The params of all notifications of this method until now."""
        return [params for name, params in self.received if name == method]

    # -- the life of a session

    async def initialize(
        self, capabilities: dict[str, Any] | None = None, options: Any = None, **fields: Any
    ) -> Any:
        """Shake hands; the server's capabilities."""
        params = {
            "processId": None,
            "rootUri": None,
            "capabilities": INLINE if capabilities is None else capabilities,
            "initializationOptions": options,
        }
        result = await self.request("initialize", params | fields)
        self.notify("initialized", {})
        return result["capabilities"]

    async def ready(self) -> None:
        """Wait until the model is loaded."""
        await self.seen("midfill/status", state="ready")

    async def leave(self) -> None:
        """Say goodbye as LSP wants it."""
        await self.request("shutdown")
        self.notify("exit")

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        await asyncio.wait([self.listening])

    # -- documents and completions

    def open(self, text: str, uri: str = URI, language: str = LANGUAGE, version: int = 1) -> None:
        """Open a document."""
        item = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": item})

    def type(self, text: str, line: int, character: int, version: int, uri: str = URI) -> None:
        """Insert a text."""
        place = {"line": line, "character": character}
        change = {"range": {"start": place, "end": place}, "text": text}
        self.change([change], version, uri)

    def change(self, changes: list[dict[str, Any]], version: int, uri: str = URI) -> None:
        """Change a document."""
        document = {"uri": uri, "version": version}
        params = {"textDocument": document, "contentChanges": changes}
        self.notify("textDocument/didChange", params)

    def ask(
        self,
        line: int,
        character: int,
        kind: int = AUTOMATIC,
        uri: str = URI,
        selected: dict[str, Any] | None = None,
        stream_as: str | None = None,
    ) -> tuple[int, asyncio.Future[Any]]:
        """Ask for an inline completion; the request's id and its reply."""
        context: dict[str, Any] = {"triggerKind": kind}
        if selected is not None:
            context["selectedCompletionInfo"] = selected
        params = {
            "textDocument": {"uri": uri},
            "position": {"line": line, "character": character},
            "context": context,
        }
        if stream_as is not None:
            params["partialResultToken"] = stream_as
        return self.start("textDocument/inlineCompletion", params)

    async def complete(self, line: int, character: int, **options: Any) -> Any:
        """The reply to an inline completion."""
        return await self.ask(line, character, **options)[1]

    # -- the wire

    def _send(self, message: dict[str, Any]) -> None:
        if message.get("params") is None:
            message.pop("params", None)
        self.send_raw(json.dumps({"jsonrpc": "2.0"} | message).encode())

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self._take(json.loads(await self._read()))
        for reply in self._replies.values():
            if not reply.done():
                reply.cancel()

    async def _read(self) -> bytes:
        length = 0
        while header := (await self._reader.readuntil(b"\r\n")).strip():
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return await self._reader.readexactly(length)

    def _take(self, message: dict[str, Any]) -> None:
        if "method" not in message:
            self._settle(message)
        elif "id" in message:
            self.asked.append(message["method"])
            if message["method"] in self.silent_about:
                return
            answer = self.answers.get(message["method"], lambda _: None)
            self._answer(message["id"], answer(message.get("params")))
        else:
            self.received.append((message["method"], message.get("params")))
            self._news.set()

    def _settle(self, message: dict[str, Any]) -> None:
        if message["id"] not in self._replies:
            self.refusals.append(message)
            self._news.set()
            return
        reply = self._replies[message["id"]]
        if "error" in message:
            reply.set_exception(RpcError(message["error"]))
        else:
            reply.set_result(message.get("result"))

    def _answer(self, number: Any, result: Any) -> None:
        error = {"code": result.code, "message": str(result)} if _is_error(result) else None
        reply = {"error": error} if error else {"result": result}
        self.send_raw(json.dumps({"jsonrpc": "2.0", "id": number} | reply).encode())


def _is_error(result: Any) -> bool:
    return isinstance(result, RpcError)


def _has(params: Any, fields: dict[str, Any]) -> bool:
    return all(params.get(name) == value for name, value in fields.items()) if fields else True


@contextlib.asynccontextmanager
async def connected(server: MidfillServer) -> AsyncIterator[Client]:
    """A client of this server, in one process, over a pair of sockets."""
    near, far = socket.socketpair()
    client = Client(*await asyncio.open_connection(sock=near))
    reader, writer = await asyncio.open_connection(sock=far)
    serving = asyncio.create_task(serve_client(server, reader, writer))
    try:
        yield client
    finally:
        await client.close()
        await serving
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def started(*command: str, **options: Any) -> AsyncIterator[tuple[Client, Any]]:
    """A client of a server process, over its stdio, and the process."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, **options)
    assert process.stdin is not None
    assert process.stdout is not None
    client = Client(process.stdout, process.stdin)
    try:
        yield client, process
    finally:
        await client.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
