"""A real ``midfill lsp`` process and the client's end of its protocol, with the time of replies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from midfill.recipes.keystrokes.settings import COMMAND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence


class RpcError(Exception):
    """An error reply."""


class LspProcess:
    """A client's end; reads until the server closes it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None, "started with pipes"
        assert process.stdout is not None, "started with pipes"
        self.process = process
        self.on_progress: Callable[[object, dict[str, Any]], None] = lambda _token, _value: None
        """Told of each partial result: its token and value."""
        self._writer, self._reader = process.stdin, process.stdout
        self._replies: dict[int, asyncio.Future[tuple[float, Any]]] = {}
        self._states: asyncio.Queue[str] = asyncio.Queue()
        self._listening = asyncio.create_task(self._listen())

    def notify(self, method: str, params: object) -> None:
        """A notification."""
        self._send({"method": method, "params": params})

    def ask(self, method: str, params: object) -> asyncio.Future[tuple[float, Any]]:
        """A request; the moment of its reply (``perf_counter``) and the result, to wait for."""
        number = len(self._replies) + 1
        reply = self._replies[number] = asyncio.get_running_loop().create_future()
        reply.add_done_callback(_looked_at)
        self._send({"id": number, "method": method, "params": params})
        if self._listening.done():
            self._refuse()
        return reply

    async def request(self, method: str, params: object = None) -> Any:
        """The result of a request.

        Raises:
            RpcError: the reply is an error.
        """
        return (await self.ask(method, params))[1]

    async def initialize(self, folder_uri: str | None, options: Mapping[str, object]) -> float:
        """Shake hands; the moment of the reply."""
        params = {
            "processId": None,
            "rootUri": folder_uri,
            "capabilities": {
                "general": {"positionEncodings": ["utf-32"]},
                "textDocument": {"inlineCompletion": {}},
            },
            "initializationOptions": dict(options),
        }
        moment, _ = await self.ask("initialize", params)
        self.notify("initialized", {})
        return moment

    async def ready(self) -> None:
        """Wait for the model.

        Raises:
            RpcError: it cannot be loaded.
        """
        while (state := await self._states.get()) != "ready":
            if state.startswith("error"):
                raise RpcError(state)

    def open(self, uri: str, language: str, text: str) -> None:
        """Open a document as its version 1."""
        document = {"uri": uri, "languageId": language, "version": 1, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    async def leave(self) -> None:
        """Say goodbye as LSP wants it, and wait for the process to end."""
        await self.request("shutdown")
        self.notify("exit", None)
        await self.process.wait()
        await self._listening

    def _send(self, message: dict[str, object]) -> None:
        body = json.dumps({"jsonrpc": "2.0"} | message).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    async def _listen(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = await self._reader.readuntil(b"\r\n\r\n")
                size = int(header.lower().partition(b"content-length:")[2].split()[0])
                self._take(json.loads(await self._reader.readexactly(size)))
        await self.process.wait()
        self._refuse()

    def _refuse(self) -> None:
        """Let nobody wait for a server that has ended."""
        for reply in self._replies.values():
            if not reply.done():
                error = RpcError(f"the server has ended with code {self.process.returncode}")
                reply.set_exception(error)

    def _take(self, message: dict[str, Any]) -> None:
        params: dict[str, Any]
        method, params = message.get("method"), message.get("params", {})
        if method is None:
            _settle(self._replies[message["id"]], message)
        elif "id" in message:
            self._send({"id": message["id"], "result": None})
        elif method == "$/progress":
            self.on_progress(params["token"], params["value"])
        elif method == "midfill/status":
            state = params["state"]
            self._states.put_nowait(f"error: {params['message']}" if state == "error" else state)


def _settle(reply: asyncio.Future[tuple[float, Any]], message: dict[str, Any]) -> None:
    if "error" in message:
        reply.set_exception(RpcError(message["error"]["message"]))
    else:
        reply.set_result((time.perf_counter(), message.get("result")))


def _looked_at(reply: asyncio.Future[Any]) -> None:
    """Keep asyncio from calling an error lost, when nobody waits for the reply any more."""
    if not reply.cancelled():
        reply.exception()


@contextlib.asynccontextmanager
async def started(*words: str, command: Sequence[str] = COMMAND) -> AsyncIterator[LspProcess]:
    """A server process, ended with the block whatever happens in it."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, *words, stdin=pipe, stdout=pipe)
    server = LspProcess(process)
    try:
        yield server
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
