"""The suggestions a client was given: which one an id means, and what is counted of it."""

from __future__ import annotations

import asyncio

from fakes import FakeStream, origin

from midfill.engine.api import CompletionRequest
from midfill.lsp_server.completion.engine_run import EngineRun
from midfill.lsp_server.completion.stats import Stats
from midfill.lsp_server.completion.suggestions import REMEMBERED, Items
from midfill.lsp_server.request.origin import Source
from midfill.lsp_server.request.place import Ask, Place
from midfill.lsp_server.text.snapshot import Snapshot


def place(text: str) -> Place:
    """The end of a text."""
    return Place(Ask(Snapshot.of(text, uri="file:///a.py"), len(text)))


async def filling(item_id: str, text: str, prefix: str = "") -> EngineRun:
    """One that has written its text."""
    stream = FakeStream(CompletionRequest("")).write(text).finish()
    made = EngineRun(origin(item_id), place(prefix).hole, stream)
    await made.ended()
    return made


class Board:
    """Items, and the counters they keep."""

    def __init__(self) -> None:
        self.stats = Stats()
        self.items = Items(self.stats)

    async def offer(self, item_id: str, text: str) -> None:
        """Offer a suggestion at the start of a document."""
        made = await filling(item_id, text)
        self.items.offer(made, place(""), text, Source.GENERATED)


async def test_each_suggestion_counts_once_however_often_it_is_reported() -> None:
    """Editors report a suggestion again when they draw it again."""
    board = Board()
    await board.offer("1", "abc")
    for _ in range(3):
        assert board.items.shown("1") is board.items.get("1")
        board.items.dismissed("1")
    assert (board.stats.shown, board.stats.dismissed) == (1, 1)


async def test_parts_add_up_to_one_accepted_suggestion() -> None:
    """And after the whole of it there is nothing left to accept."""
    board = Board()
    await board.offer("1", "one two three")
    board.items.accepted("1", 4, is_whole=False)
    board.items.accepted("1", 4, is_whole=False)
    assert (board.stats.accepted, board.stats.accepted_characters) == (1, 8)
    board.items.offer(
        await filling("1", "one two three"), place("one two "), "three", Source.REUSED
    )
    board.items.accepted("1", None, is_whole=True)
    board.items.accepted("1", None, is_whole=True)
    board.items.accepted("1", 5, is_whole=True)
    assert (board.stats.accepted, board.stats.accepted_characters) == (1, 13)


async def test_ids_that_nobody_knows_are_ignored() -> None:
    """A client may outlive a server."""
    board = Board()
    assert board.items.shown("7") is None
    board.items.accepted("7", 3, is_whole=True)
    board.items.dismissed("7")
    assert board.items.get("7") is None
    assert board.items.get(None) is None
    assert board.stats == Stats()


async def test_only_the_last_ones_are_remembered() -> None:
    """One that is offered again counts as new."""
    board = Board()
    for number in range(REMEMBERED):
        await board.offer(str(number), "x")
    await board.offer("0", "x")
    await board.offer("new", "x")
    assert board.items.get("0") is not None
    assert board.items.get("1") is None
    last = board.items.get(None)
    assert last is not None
    assert last.filling.origin.item_id == "new"


async def test_a_suggestion_typed_in_part_is_explained_as_a_whole() -> None:
    """The user asks about what they saw, not about what is left of it."""
    board = Board()
    made = await filling("1", "one\n\n", prefix="a\nb")
    board.items.offer(made, place("a\nbon"), "e", Source.REUSED)
    item = board.items.get("1")
    assert item is not None
    explanation = item.explain()
    assert (explanation.shown, explanation.written, explanation.cut) == ("one", "one\n\n", "\n\n")
    assert (explanation.line, explanation.source) == (2, Source.REUSED)


async def test_what_is_still_written_has_no_cost_and_no_cuts_yet() -> None:
    """It may all be shown in the end."""
    stream = FakeStream(CompletionRequest("")).write("on")
    made = EngineRun(origin("1"), place("").hole, stream)
    items = Items(Stats())
    items.offer(made, place(""), "", Source.GENERATED)
    item = items.get("1")
    assert item is not None
    assert item.explain().stats is None
    assert item.explain().cut == ""
    stream.finish()
    await asyncio.wait_for(made.ended(), 1)
