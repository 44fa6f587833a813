"""The head of a document is in the engine's cache before anybody asks; nobody waits for it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from fakes import writing
from lsp_client import LANGUAGE, URI, connected
from lsp_lab import item, lab

from midfill.engine.api import Priority
from midfill.engine.errors import EngineClosedError
from midfill.lsp_server.server import MidfillServer

if TYPE_CHECKING:
    from lsp_lab import Lab

OTHER = "file:///project/other.py"


def close(it: Lab, uri: str = URI) -> None:
    """The client closes a document."""
    it.client.notify("textDocument/didClose", {"textDocument": {"uri": uri}})


async def settled(it: Lab) -> None:
    """All messages were handled, and what they started has reached the engine or has ended."""
    await it.client.request("midfill/stats")
    reading = it.server.session._requests._thread.submit(lambda: None)
    await asyncio.wrap_future(reading)
    await it.client.request("midfill/stats")


async def test_opening_a_document_fills_the_cache_once() -> None:
    """With its head, at the lowest priority, without a token to be generated."""
    async with lab() as it:
        await it.begin("a = 1\r\nb = 2\r\n")
        request = (await it.engine.prewarmed()).request
        assert (request.prefix, request.suffix) == ("a = 1\nb = 2\n", "")
        assert (request.priority, request.max_tokens) == (Priority.PREWARM, 0)
        await settled(it)
        assert len(it.engine.prewarms) == 1


@pytest.mark.parametrize(
    "options", [{"prewarm": False}, {"disabledLanguages": [LANGUAGE]}, {"cacheSlots": 1}]
)
async def test_nothing_is_done_where_the_user_does_not_want_it(options: dict[str, Any]) -> None:
    """Nor where the one slot of the cache would lose what it holds."""
    async with lab() as it:
        await it.begin("x", options=options)
        it.client.open("y", OTHER)
        await settled(it)
        assert it.engine.prewarms == []


async def test_nothing_is_done_where_completions_are_off() -> None:
    """Though another client's engine is there."""
    async with lab() as it:
        await it.begin("x")
        await it.engine.prewarmed()
        close(it)
        options = {"midfill": {"enabled": False}}
        it.client.notify("workspace/didChangeConfiguration", {"settings": options})
        it.client.open("y", OTHER)
        await settled(it)
        assert [stream.request.prefix for stream in it.engine.prewarms] == ["x"]


async def test_nothing_is_done_for_what_is_no_document() -> None:
    """Such as the left side of a diff."""
    async with lab() as it:
        await it.begin("x")
        await it.engine.prewarmed()
        it.client.open("y", "git:/project/example.py")
        await settled(it)
        assert len(it.engine.prewarms) == 1


async def test_a_completion_does_not_wait() -> None:
    """The engine has the request while the cache is still being filled."""
    async with lab(writing("z")) as it:
        await it.begin("x")
        stream = await it.engine.prewarmed()
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}
        assert not stream.is_cancelled


async def test_an_engine_that_becomes_ready_starts_with_the_newest_document() -> None:
    """Opened or edited last; the others stay cold."""
    for edited in (False, True):
        async with lab() as it:
            it.may_open.clear()
            await it.client.initialize()
            it.client.open("first")
            it.client.open("second", OTHER)
            if edited:
                it.client.type("the ", 0, 0, 2)
            await it.client.seen("midfill/status", state="loading")
            await settled(it)
            it.may_open.set()
            await it.client.ready()
            request = (await it.engine.prewarmed()).request
            assert request.prefix == ("the first" if edited else "second")
            await settled(it)
            assert len(it.engine.prewarms) == 1


async def test_who_joins_a_running_server_is_served_too() -> None:
    """Its document may come before its settings are known."""
    async with lab() as it:
        await it.begin("x")
        await it.engine.prewarmed()
        async with connected(MidfillServer(it.host)) as second:
            await second.request("initialize", {"processId": None, "capabilities": {}})
            second.open("y", OTHER)
            second.notify("initialized", {})
            assert (await it.engine.prewarmed(2)).request.prefix == "y"


async def test_another_document_takes_the_place() -> None:
    """There is never more than one for a client."""
    async with lab() as it:
        await it.begin("x")
        first = await it.engine.prewarmed()
        it.client.open("y", OTHER)
        second = await it.engine.prewarmed(2)
        assert first.is_cancelled
        it.client.type("x", 0, 0, 2)
        await settled(it)
        assert second.is_cancelled
        assert len(it.engine.prewarms) == 2


async def test_of_many_documents_at_once_the_last_one_counts() -> None:
    """An editor may restore a whole session."""
    async with lab() as it:
        await it.client.initialize()
        await it.client.ready()
        with it.client.packet():
            for number in range(5):
                it.client.open(f"x{number}", f"file:///project/{number}.py")
        assert (await it.engine.prewarmed()).request.prefix == "x4"
        await settled(it)
        assert len(it.engine.prewarms) == 1


async def test_closing_the_document_cancels() -> None:
    """Closing another one does not."""
    async with lab() as it:
        await it.client.initialize()
        await it.client.ready()
        it.client.open("y", OTHER)
        it.client.open("x")
        stream = await it.engine.prewarmed()
        close(it, OTHER)
        await settled(it)
        assert not stream.is_cancelled
        close(it)
        await it.client.request("midfill/stats")
        assert stream.is_cancelled


async def test_leaving_cancels() -> None:
    """The engine may have other clients."""
    async with lab() as it:
        await it.begin("x")
        stream = await it.engine.prewarmed()
        await it.client.leave()
        await it.client.listening
    assert stream.is_cancelled


@pytest.mark.parametrize("error", [EngineClosedError("too late"), ZeroDivisionError("a defect")])
async def test_a_failure_is_only_logged(error: Exception) -> None:
    """Nobody has asked."""
    async with lab(writing("z")) as it:
        await it.begin("x")
        (await it.engine.prewarmed()).fail(error)
        await settled(it)
        assert any(str(error) in m["message"] for m in it.client.all_seen("window/logMessage"))
        assert it.client.all_seen("window/showMessage") == []
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}
