"""A long session: what the server holds does not grow with what it has answered."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from amount import amount
from fakes import writing
from lsp_client import INVOKED
from lsp_lab import lab

WARM_UP = 45
"""Completions until every cache is full."""
MOST_BYTES = 256 << 10


async def type_and_ask(client: Any, first: int, count: int) -> None:
    """Type a line and ask behind it; now and then close the document and open it again."""
    for version in range(first, first + count):
        client.type(f"name_{version % 50} = '😀'\n", 0, 0, version)  # lines are cached, too
        await client.complete(1, 5, kind=INVOKED)
        if version % 20 == 0:
            client.notify("textDocument/didClose", {"textDocument": {"uri": "file:///a.rb"}})
            client.open("a = 1\n" * 20_000 + "# 😀\n", "file:///a.rb")
            client.change([{"text": "name = 1\n" * 200}], version)


async def test_memory_does_not_grow_with_completions() -> None:
    """Counted in bytes that Python's allocator holds; a large document comes and goes."""
    async with lab(writing("z")) as it:
        await it.begin("name = 1\n" * 200)
        it.client.open("", "file:///a.rb")
        tracemalloc.start()
        try:
            await type_and_ask(it.client, 2, WARM_UP)
            before = held(it)
            await type_and_ask(it.client, 2 + WARM_UP, amount(60, 3_000))
            after = held(it)
        finally:
            tracemalloc.stop()
    assert after - before < MOST_BYTES, f"{before} grew to {after} bytes"


async def test_memory_does_not_grow_with_a_document_of_one_line() -> None:
    """A line that changes with every key is not kept in all its versions."""
    line = "x = 1; " * 6_000
    middle = len(line) // 2
    async with lab(writing("z")) as it:
        await it.begin(line)
        tracemalloc.start()
        try:
            for version in range(2, WARM_UP + amount(30, 400)):
                it.client.type("x", 0, middle, version)
                await it.client.complete(0, middle + 1, kind=INVOKED)
                if version == WARM_UP:
                    before = held(it)
            after = held(it)
        finally:
            tracemalloc.stop()
    assert after - before < MOST_BYTES, f"{before} grew to {after} bytes"


def held(it: Any) -> int:
    """Bytes in use, without what the client and the engine's double remember."""
    it.engine.streams.clear()
    it.client.received.clear()
    it.client._replies.clear()  # all are there
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
