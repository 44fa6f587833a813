"""Strangers at the TCP door: whatever they send, they get no document, no model and no answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
from random import Random
from typing import TYPE_CHECKING, Any

from amount import amount
from fakes import FakeEngine, writing
from tcp_door import listening

from midfill.lsp_server.engine_host import EngineHost, State

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "t" * 43
METHODS = ("initialize", "initialized", "textDocument/didOpen", "midfill/stats", "shutdown", "exit")


def message(random: Random, root: str) -> bytes:
    """What a stranger might send."""
    tokens: tuple[Any, ...] = (None, "", TOKEN[:-1], TOKEN.encode().hex(), [TOKEN], {"a": TOKEN}, 0)
    options = random.choice(({"token": random.choice(tokens)}, None, [], TOKEN))
    params = {"capabilities": {}, "rootUri": root, "initializationOptions": options}
    document = {"uri": f"{root}/a.py", "languageId": "python", "version": 1, "text": "x"}
    body = json.dumps(
        {"jsonrpc": "2.0", "id": random.choice((1, "a", None)), "method": random.choice(METHODS)}
        | {"params": random.choice((params, params | {"textDocument": document}))}
    ).encode()
    head = b"Content-Length: %d\r\n\r\n" % len(body)
    http = b"POST / HTTP/1.1\r\nHost: a\r\n"
    return random.choice((head + body, head + body, http + head + body, random.randbytes(50)))


async def test_no_stranger_comes_in(tmp_path: Path) -> None:
    """Nothing is loaded for any; with the token the next one comes in."""
    host = EngineHost(lambda _config, _progress: FakeEngine(writing("z")))
    async with listening(host, token=TOKEN, fixes_model=True) as address:
        for seed in range(amount(30, 2_000)):
            random = Random(seed)
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"".join(message(random, tmp_path.as_uri()) for _ in range(3)))
            writer.write_eof()
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = await reader.read()
            assert b'"result"' not in answer
            assert b'"method"' not in answer
            assert TOKEN.encode() not in answer
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        assert host.status.now.state is State.OFF
