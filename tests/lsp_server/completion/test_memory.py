"""What a session keeps of the texts of its documents: few copies while they are open, then none."""

from __future__ import annotations

import asyncio
import gc
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeStream, writing
from lsp_client import URI
from lsp_lab import Lab, lab

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = 20_000
LARGE = 100_000
"""Characters, or bytes, of what must be a copy of a document or of most of it."""
OTHER = "file:///project/other.py"


def large_text() -> str:
    """A document that is far longer than a prompt, with characters of four bytes."""
    return "".join(f"value_{number} = '\N{GRINNING FACE}'\n" for number in range(LINES))


def copies(*roots: object) -> list[int]:
    """The lengths of all large texts that can be reached from these objects, or from any task."""
    seen, found = set[int](), list[int]()
    waiting: list[object] = [*roots, *asyncio.all_tasks()]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, type | ModuleType):
            continue
        seen.add(id(each))
        if isinstance(each, str | bytes | bytearray):
            found += [len(each)] * (len(each) >= LARGE)
        elif isinstance(each, FunctionType):
            waiting += [each.__closure__, each.__defaults__, each.__kwdefaults__]
        elif not (isinstance(each, dict) and "__builtins__" in each):
            waiting += gc.get_referents(each)
    return found


def kept(it: Lab) -> list[int]:
    """The lengths of all large texts that the server keeps."""
    return copies(it.server, it.host)


async def fill(it: Lab, number: int) -> None:
    """Complete at so many places, each in a text of its own, as a user who jumps about does."""
    version = 1
    for place in range(number):
        line = place * 7
        version += 1
        it.client.type("x ", line, 0, version)
        reply = await it.client.complete(line, 2, stream_as=f"t{place}")
        (item,) = reply["items"]
        it.client.notify("midfill/shown", {"itemId": item["itemId"]})
        while (await it.client.request("midfill/stats"))["prefetches"] <= place:
            pass  # each request and its reply let it go on


async def begin(it: Lab) -> None:
    """Open a large document."""
    await it.begin(large_text())


def scripts() -> list[Callable[[FakeStream], object]]:
    """Engines that write at once: a short text, or one with alternatives."""
    return [writing("z"), lambda stream: stream.write("y").finish(alternatives=["a", "b"])]


@pytest.mark.parametrize("script", scripts())
async def test_many_remembered_completions_keep_few_texts(
    script: Callable[[FakeStream], object],
) -> None:
    """The document's own, and what is around the place that was asked for last."""
    async with lab(script) as it:
        await begin(it)
        size = len(large_text())
        await fill(it, 20)
        runs = it.server.session.completer._queues[URI].runs
        while runs._guess is not None:
            await it.client.request("midfill/stats")
        assert len(runs.finished._known) == 16
        assert sum(kept(it)) <= 3 * size + LARGE


async def test_a_closed_document_leaves_no_text_behind() -> None:
    """Nor what was suggested in it."""
    async with lab(writing("z")) as it:
        await begin(it)
        it.client.open("x", OTHER)
        await fill(it, 3)
        assert kept(it)
        it.client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        await it.client.request("midfill/stats")
        await asyncio.sleep(0)
        assert kept(it) == []


async def test_a_document_that_closes_while_the_model_writes_leaves_no_text_behind() -> None:
    """Its run is told to end, and does; the request is answered."""
    async with lab() as it:
        await begin(it)
        _, reply = it.client.ask(0, 7, stream_as="t")
        stream = await it.engine.asked()
        stream.write("z")
        await it.client.seen("$/progress")
        it.client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        assert await reply is None
        await it.client.request("midfill/stats")
        assert kept(it) == []


async def test_the_suggestions_of_other_documents_outlive_a_close() -> None:
    """Only those of the closed one are forgotten."""
    async with lab(writing("z")) as it:
        await it.begin("x")
        it.client.open("y", OTHER)
        first = await it.client.complete(0, 1)
        second = await it.client.complete(0, 1, uri=OTHER)
        it.client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        ids = [reply["items"][0]["itemId"] for reply in (first, second)]
        told: list[Any] = [
            await it.client.request("midfill/explain", {"itemId": each}) for each in ids
        ]
        assert told[0] is None
        assert told[1]["text"] == "z"
