"""Whole sessions with a client, in one process: what an editor gets for what it sends."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import writing
from lsp_client import AUTOMATIC, INLINE, INVOKED, URI, RpcError
from lsp_lab import item, lab

from midfill.engine.api import Priority

CANCELLED, INVALID_PARAMS = -32800, -32602


# -- what is announced


async def test_it_announces_what_it_does() -> None:
    """No fallback for a client that knows inline completion."""
    async with lab() as it:
        capabilities = await it.begin()
    assert capabilities["inlineCompletionProvider"] == {}
    assert "completionProvider" not in capabilities
    assert capabilities["textDocumentSync"]["change"] == 2
    assert capabilities["textDocumentSync"]["openClose"]
    assert capabilities["executeCommandProvider"]["commands"] == [
        "midfill.restart",
        "midfill.accepted",
    ]
    assert capabilities["experimental"]["midfill"] == {
        "inlineCompletionStreaming": {"partialResultToken": True},
        "status": "midfill/status",
        "stats": "midfill/stats",
        "shown": "midfill/shown",
        "accepted": "midfill/accepted",
        "dismissed": "midfill/dismissed",
        "candidates": "midfill/candidates",
        "explain": "midfill/explain",
    }


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(None, "utf-16"), (["utf-32", "utf-8"], "utf-32"), (["utf-8"], "utf-8"), (["x"], "utf-16")],
)
async def test_the_clients_favourite_encoding_is_chosen(
    offered: list[str] | None, chosen: str
) -> None:
    """And told to it."""
    general = {} if offered is None else {"general": {"positionEncodings": offered}}
    async with lab() as it:
        capabilities = await it.begin(capabilities=INLINE | general)
    assert capabilities["positionEncoding"] == chosen


# -- a completion


async def test_a_completion_has_a_range_at_the_cursor() -> None:
    """Without one VS Code replaces the rest of the line."""
    async with lab(writing("a, b):\n    ", "return a + b")) as it:
        await it.begin("def add()\n")
        reply = await it.client.complete(0, 8)
        assert reply == {"items": [item("a, b):\n    return a + b", 0, 8)]}
        (request,) = it.engine.requests
        assert (request.prefix, request.suffix) == ("def add(", ")\n")
        assert request.priority is Priority.TYPING
        assert request.document == URI


async def test_an_invoked_completion_goes_first() -> None:
    """The engine has a priority for it."""
    async with lab(writing("z")) as it:
        await it.begin("x")
        await it.client.complete(0, 1, kind=INVOKED)
        assert it.engine.requests[0].priority is Priority.INVOKED


async def test_with_nothing_to_say_the_list_is_empty() -> None:
    """An editor then hides what it still shows; null would leave it there."""
    async with lab(writing(" \n")) as it:
        await it.begin("x")
        assert await it.client.complete(0, 1) == {"items": []}


async def test_the_popups_selection_is_honoured() -> None:
    """Items start with its text and have its range."""
    async with lab(writing("(x)")) as it:
        await it.begin("os.pa")
        place = {"start": {"line": 0, "character": 3}, "end": {"line": 0, "character": 5}}
        reply = await it.client.complete(0, 5, selected={"range": place, "text": "path"})
        assert reply == {"items": [item("path(x)", 0, 3, 5)]}
        assert it.engine.requests[0].prefix == "os.path"


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 6), ("utf-16", 4), ("utf-32", 3)])
async def test_astral_characters_count_as_the_encoding_says(encoding: str, column: int) -> None:
    """One emoji is four, two or one."""
    async with lab(writing("z")) as it:
        general = {"general": {"positionEncodings": [encoding]}}
        await it.begin('"😀".', capabilities=INLINE | general)
        reply = await it.client.complete(0, column)
        assert reply == {"items": [item("z", 0, column)]}
        assert it.engine.requests[0].prefix == '"😀"'


async def test_crlf_documents_get_crlf_and_form_feeds_end_no_line() -> None:
    """The engine sees newlines only."""
    async with lab(writing("b\nc")) as it:
        await it.begin("x\f\u2028y\r\na \r\nz")
        assert await it.client.complete(1, 2) == {"items": [item("b\r\nc", 1, 2)]}
        assert it.engine.requests[0].prefix == "x\f\u2028y\na "
        assert it.engine.requests[0].suffix == "\nz"


@pytest.mark.parametrize(
    ("language", "uri", "options"),
    [
        ("markdown", URI, {"disabledLanguages": ["markdown"]}),
        ("python", "output:tasks", {}),
        ("python", "git:/a.py", {}),
        ("python", URI, {"enabled": False}),
    ],
)
async def test_where_the_user_wants_none_there_is_none(
    language: str, uri: str, options: dict[str, Any]
) -> None:
    """Not even a request to the engine."""
    async with lab(writing("z")) as it:
        await it.client.initialize(options=options)
        it.client.open("x", uri, language)
        assert await it.client.complete(0, 1, uri=uri, kind=AUTOMATIC) is None
        assert it.engine.requests == []


async def test_disabled_means_that_no_model_is_loaded() -> None:
    """Its memory is the user's."""
    async with lab(writing("z")) as it:
        await it.client.initialize(options={"enabled": False})
        it.client.open("x")
        assert await it.client.complete(0, 1) is None
        assert it.configs == []
        it.client.notify(
            "workspace/didChangeConfiguration", {"settings": {"midfill": {"enabled": True}}}
        )
        await it.client.ready()
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}


# -- requests that are wrong, late or old


@pytest.mark.parametrize(("line", "character"), [(2, 0), (7, 3), (0, 2)])
async def test_a_wrong_position_is_an_error(line: int, character: int) -> None:
    """Line 2 of two lines, line 7, and the middle of a surrogate pair."""
    async with lab(writing("z")) as it:
        await it.begin("a😀\nb")
        if line == 2:
            character = 1
        with pytest.raises(RpcError) as error:
            await it.client.complete(line, character)
        assert error.value.code == INVALID_PARAMS


async def test_past_the_end_of_a_line_is_its_end() -> None:
    """LSP 3.18, "Position"."""
    async with lab(writing("z")) as it:
        await it.begin("ab\nc")
        assert await it.client.complete(0, 99) == {"items": [item("z", 0, 2)]}


async def test_an_unknown_document_is_an_error() -> None:
    """Never opened, or closed."""
    async with lab(writing("z")) as it:
        await it.begin("ab")
        it.client.notify("textDocument/didClose", {"textDocument": {"uri": URI}})
        for uri in (URI, "file:///never.py"):
            with pytest.raises(RpcError, match="not open") as error:
                await it.client.complete(0, 1, uri=uri)
            assert error.value.code == INVALID_PARAMS


async def test_notifications_about_unknown_documents_are_survived() -> None:
    """They are in the log."""
    async with lab(writing("z")) as it:
        await it.begin("ab")
        it.client.type("x", 0, 0, 2, uri="file:///never.py")
        it.client.notify("textDocument/didClose", {"textDocument": {"uri": "file:///never.py"}})
        await it.client.seen("window/logMessage", 3)
        assert await it.client.complete(0, 2) == {"items": [item("z", 0, 2)]}


async def test_a_document_out_of_sync_gets_no_completions_until_it_comes_whole() -> None:
    """Better none than wrong ones."""
    async with lab(writing("z")) as it:
        await it.begin("ab")
        it.client.type("x", 99, 0, 2)
        assert await it.client.complete(0, 2) is None
        it.client.change([{"text": "abc"}], 3)
        assert await it.client.complete(0, 3) == {"items": [item("z", 0, 3)]}


async def test_a_cancelled_request_stops_the_engine() -> None:
    """And the time it took is counted."""
    async with lab() as it:
        await it.begin("x")
        number, reply = it.client.ask(0, 1)
        stream = await it.engine.asked()
        it.client.cancel(number)
        with pytest.raises(RpcError) as error:
            await reply
        assert error.value.code == CANCELLED
        stats = await it.client.request("midfill/stats")
        assert stream.is_cancelled
        assert stats["cancelled"] == 1
        assert 0 <= stats["lastCancelMs"] <= stats["worstCancelMs"]


async def test_a_superseded_request_is_answered_null() -> None:
    """Neovim takes whichever reply comes last, and logs errors."""
    async with lab() as it:
        await it.begin("xy")
        _, first = it.client.ask(0, 1)
        await it.engine.asked()
        _, second = it.client.ask(0, 2)
        (await it.engine.asked(2)).write("z").finish()
        assert await first is None
        assert await second == {"items": [item("z", 0, 2, item_id="2")]}


async def test_an_edit_makes_a_request_old() -> None:
    """A reply is for the version that was asked for, or null."""
    async with lab() as it:
        await it.begin("x")
        _, reply = it.client.ask(0, 1)
        await it.engine.asked()
        it.client.type("!", 0, 0, version=2)
        assert await reply is None


async def test_a_change_in_the_same_packet_does_not_move_the_request() -> None:
    """The request's position is read in the text that the client had when it asked."""
    async with lab(writing("z")) as it:
        await it.begin("first line\nx")
        with it.client.packet():
            _, reply = it.client.ask(1, 1)
            it.client.change([{"text": "x"}], version=2)
        assert await reply is None
        assert it.engine.requests == []
        with it.client.packet():
            it.client.type("yz", 0, 1, version=3)
            _, reply = it.client.ask(0, 3)
        assert await reply == {"items": [item("z", 0, 3)]}
        assert it.engine.requests[0].prefix == "xyz"


async def test_typing_as_suggested_needs_one_run() -> None:
    """While it runs, and afterwards."""
    async with lab() as it:
        await it.begin("x")
        _, first = it.client.ask(0, 1)
        stream = (await it.engine.asked()).write(" = 1")
        it.client.type(" ", 0, 1, version=2)
        _, second = it.client.ask(0, 2)
        assert await first is None
        stream.write("2").finish()
        assert await second == {"items": [item("= 12", 0, 2)]}
        it.client.type("=", 0, 2, version=3)
        assert await it.client.complete(0, 3) == {"items": [item(" 12", 0, 3)]}
        stats = await it.client.request("midfill/stats")
        assert (stats["generations"], stats["joined"], stats["reused"]) == (1, 1, 1)


# -- streaming


async def test_partial_results_grow_into_the_reply() -> None:
    """Cumulative, numbered, with the document's version; the last one is the reply."""
    async with lab() as it:
        await it.begin("def f")
        _, reply = it.client.ask(0, 5, stream_as="t")
        stream = await it.engine.asked()
        for number, part in enumerate(("oo", "()", ":\n    pass"), start=1):
            stream.write(part)
            await it.client.seen("$/progress", number)
        stream.write("\n").finish()
        final = await reply
        parts = it.client.all_seen("$/progress")
    values = [part["value"] for part in parts]
    texts = ["oo", "oo()", "oo():\n    pass"]
    assert final == {"items": [item(texts[-1], 0, 5)]}
    assert [value["items"] for value in values] == [[item(text, 0, 5)] for text in texts]
    assert [value["sequence"] for value in values] == [1, 2, 3]
    assert {value["documentVersion"] for value in values} == {1}
    assert {part["token"] for part in parts} == {"t"}


async def test_without_a_token_nothing_is_streamed() -> None:
    """As LSP says."""
    async with lab(writing("a", "b")) as it:
        await it.begin("x")
        await it.client.complete(0, 1)
        assert it.client.all_seen("$/progress") == []
