"""What a client and the server say to each other about a suggestion, once it is there."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeStream, writing
from lsp_client import INVOKED, URI, RpcError
from lsp_lab import Lab, item, lab

from midfill.engine.api import Priority

if TYPE_CHECKING:
    from pathlib import Path

INVALID_PARAMS, CANCELLED = -32602, -32800


def numbered() -> Any:
    """A script: each request gets the next number, and more as its alternatives."""
    texts = (f" = {number}" for number in range(1, 100))

    def write(stream: FakeStream) -> None:
        stream.write(next(texts))
        stream.finish(alternatives=islice(texts, stream.request.alternatives))

    return write


async def candidates(it: Lab, count: int) -> Any:
    """The reply to ``midfill/candidates`` at the end of "x"."""
    place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 1}}
    return await it.client.request("midfill/candidates", place | {"count": count})


async def statistic(it: Lab) -> tuple[int, ...]:
    """Shown, accepted, characters of that, dismissed."""
    stats = await it.client.request("midfill/stats")
    names = ("shown", "accepted", "acceptedCharacters", "dismissed")
    return tuple(stats[name] for name in names)


async def test_an_id_stays_while_the_suggestion_is_typed() -> None:
    """A new one is for a new suggestion."""
    async with lab(numbered()) as it:
        await it.begin("x")
        assert await it.client.complete(0, 1) == {"items": [item(" = 1", 0, 1, item_id="1")]}
        it.client.type(" =", 0, 1, version=2)
        assert await it.client.complete(0, 3) == {"items": [item(" 1", 0, 3, item_id="1")]}
        it.client.type("!", 0, 3, version=3)
        assert await it.client.complete(0, 4) == {"items": [item(" = 2", 0, 4, item_id="2")]}


async def test_what_became_of_suggestions_is_counted() -> None:
    """By parts or as a whole, by a notification or by the standard's command."""
    async with lab(numbered()) as it:
        await it.begin("x")
        await it.client.complete(0, 1)
        it.client.notify("midfill/shown", {"itemId": "1"})
        part = {"itemId": "1", "kind": "word", "acceptedLength": 2}
        it.client.notify("midfill/accepted", part)
        assert await statistic(it) == (1, 1, 2, 0)
        it.client.type(" =", 0, 1, version=2)
        await it.client.complete(0, 3)
        command = {"command": "midfill.accepted", "arguments": ["1"]}
        assert await it.client.request("workspace/executeCommand", command) is None
        it.client.notify("midfill/accepted", {"itemId": "1", "kind": "full"})
        assert await statistic(it) == (1, 1, 4, 0)
        it.client.notify("midfill/dismissed", {"itemId": "1"})
        it.client.notify("midfill/dismissed", {"itemId": "never"})
        assert await statistic(it) == (1, 1, 4, 1)


async def test_malformed_events_are_logged_and_nothing_else() -> None:
    """They have no reply to carry an error."""
    async with lab(writing("z")) as it:
        await it.begin("x")
        for params in ({}, {"itemId": "1", "kind": "most"}, None):
            it.client.notify("midfill/accepted", params)
            it.client.notify("midfill/shown", {"item": "1"})
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}
        assert await statistic(it) == (0, 0, 0, 0)


async def test_the_next_completion_is_there_when_the_first_is_accepted() -> None:
    """It has an id of its own."""
    async with lab(numbered()) as it:
        await it.begin("x")
        await it.client.complete(0, 1)
        it.client.notify("midfill/shown", {"itemId": "1"})
        request = (await it.engine.asked(2)).request
        assert (request.prefix, request.priority) == ("x = 1", Priority.PREFETCH)
        it.client.type(" = 1", 0, 1, version=2)
        assert await it.client.complete(0, 5) == {"items": [item(" = 2", 0, 5, item_id="2")]}
        stats = await it.client.request("midfill/stats")
        assert (stats["generations"], stats["prefetches"], stats["prefetched"]) == (1, 1, 1)


async def test_nothing_is_prepared_where_the_user_does_not_want_it() -> None:
    """Its work is the user's electricity."""
    async with lab(numbered()) as it:
        await it.begin("x", options={"prefetch": False})
        await it.client.complete(0, 1)
        it.client.notify("midfill/shown", {"itemId": "1"})
        stats = await it.client.request("midfill/stats")
        assert (stats["shown"], stats["prefetches"]) == (1, 0)


async def test_candidates_come_as_items() -> None:
    """Each with its own id; asked for by the user."""
    async with lab(numbered()) as it:
        await it.begin("x")
        reply = await candidates(it, 3)
        expected = [item(f" = {n}", 0, 1, item_id=f"{n}") for n in (1, 2, 3)]
        assert reply == {"items": expected}
        assert {request.priority for request in it.engine.requests} == {Priority.INVOKED}


@pytest.mark.parametrize("count", [-1, 0, 1, 9])
async def test_a_count_out_of_range_is_the_clients_mistake(count: int) -> None:
    """The message says what is allowed."""
    async with lab(numbered()) as it:
        await it.begin("x")
        with pytest.raises(RpcError, match=f"count is {count}; it must be 2 to 8") as error:
            await candidates(it, count)
        assert error.value.code == INVALID_PARAMS


async def test_an_edit_ends_candidates_with_null() -> None:
    """As it does any request."""
    async with lab() as it:
        await it.begin("x")
        place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 1}}
        _, reply = it.client.start("midfill/candidates", place | {"count": 2})
        (await it.engine.asked()).write("1").finish()
        await it.engine.asked(2)
        it.client.type("!", 0, 0, version=2)
        assert await reply is None
        assert it.engine.streams[1].is_cancelled


async def test_candidates_can_be_cancelled() -> None:
    """The panel was closed."""
    async with lab() as it:
        await it.begin("x")
        place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 1}}
        number, reply = it.client.start("midfill/candidates", place | {"count": 2})
        stream = await it.engine.asked()
        it.client.cancel(number)
        with pytest.raises(RpcError) as error:
            await reply
        assert error.value.code == CANCELLED
        assert stream.is_cancelled


async def test_an_invoked_request_may_be_for_several() -> None:
    """For editors that cycle through what they get; an automatic one stays quick."""
    async with lab(numbered()) as it:
        await it.begin("x", options={"completion": {"candidates": 2}})
        assert len((await it.client.complete(0, 1))["items"]) == 1
        invoked = await it.client.complete(0, 1, kind=INVOKED)
        assert [each["insertText"] for each in invoked["items"]] == [" = 1", " = 2"]


async def test_a_suggestion_is_explained() -> None:
    """By its id, or the last one."""
    async with lab(numbered()) as it:
        await it.begin("a\nx")
        await it.client.complete(1, 1)
        for params in ({"itemId": "1"}, {"itemId": None}, {}):
            told = await it.client.request("midfill/explain", params)
            assert (told["itemId"], told["text"], told["line"]) == ("1", " = 1", 2)
            assert told["stats"]["finishReason"] == "end_of_middle"
            assert told["source"] == "generated"
            assert told["report"].startswith("where     example.py, line 2\n")
        assert await it.client.request("midfill/explain", {"itemId": "9"}) is None


async def test_before_the_first_suggestion_there_is_nothing_to_explain() -> None:
    """Null, not an error."""
    async with lab() as it:
        await it.begin("x")
        assert await it.client.request("midfill/explain", {"itemId": None}) is None


async def test_why_nothing_was_offered_is_explained_too() -> None:
    """As the last one: it has an id that no client knows."""
    async with lab(writing(" \n")) as it:
        await it.begin("x")
        assert await it.client.complete(0, 1) == {"items": []}
        told = await it.client.request("midfill/explain", {"itemId": None})
        assert (told["text"], told["cut"]) == ("", " \n")


async def test_how_it_was_answered_is_told() -> None:
    """Reading on, reusing, looking for others, preparing."""
    async with lab(numbered()) as it:
        await it.begin("x")
        await candidates(it, 2)
        other = await it.client.request("midfill/explain", {"itemId": "2"})
        assert other["source"] == "candidate"
        it.client.notify("midfill/shown", {"itemId": "1"})
        await it.engine.asked(3)
        it.client.type(" =", 0, 1, version=2)
        await it.client.complete(0, 3)
        assert (await it.client.request("midfill/explain", {"itemId": "1"}))["source"] == "reused"
        it.client.type(" 1", 0, 3, version=3)
        await it.client.complete(0, 5)
        assert (await it.client.request("midfill/explain", {}))["source"] == "prefetched"


async def test_the_context_that_was_read_is_told(tmp_path: Path) -> None:
    """With the reason for each part."""
    (tmp_path / "shapes.py").write_text("\ndef area(shape):\n    return shape.area\n")
    uri = (tmp_path / "main.py").as_uri()
    async with lab(writing("z")) as it:
        await it.client.initialize(rootUri=tmp_path.as_uri())
        it.client.open("import shapes\n", uri, "python")
        await it.client.ready()
        await it.client.complete(1, 0, uri=uri)
        told = await it.client.request("midfill/explain", {"itemId": "1"})
    (part,) = told["context"]
    assert (part["path"], part["firstLine"], part["lastLine"]) == ("shapes.py", 2, 3)
    assert part["reasons"] == ["imported", "neighbour"]
