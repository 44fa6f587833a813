"""What follows a suggestion is prepared while it is shown, and dropped when that is in vain."""

from __future__ import annotations

import asyncio

import pytest
from completer_bench import URI, Bench, bench, settle
from fakes import writing

from midfill.engine.api import FinishReason, Priority
from midfill.lsp_server.request.place import Ask, Suggestion
from midfill.lsp_server.settings import Settings
from midfill.lsp_server.text.snapshot import Snapshot


async def shown(b: Bench, text: str = "x|", middle: str = " = 1") -> None:
    """A suggestion at the "|" is on the screen, and the next request is on its way."""
    task = b.begin(text)
    (await b.engine.asked()).write(middle).finish()
    await task
    b.completer.shown("1")
    await b.engine.asked(2)
    await settle()


async def test_what_follows_the_acceptance_is_asked_for_in_the_background() -> None:
    """Behind everything that somebody waits for, and without a sign of work."""
    async with bench() as b:
        await shown(b, "a\r\nx|\r\nb", " = 1\n")
        request = b.engine.requests[1]
        assert (request.prefix, request.suffix) == ("a\nx = 1", "\nb")
        assert request.priority is Priority.PREFETCH
        assert b.busy == [True, False]


async def test_the_request_after_the_acceptance_is_answered_from_it() -> None:
    """Without the engine."""
    async with bench() as b:
        await shown(b)
        b.engine.streams[1].write("\ny = 2").finish()
        await settle()
        assert await b.texts("x = 1|", 2) == ["\ny = 2"]
        assert len(b.engine.streams) == 2
        assert (b.completer.stats.prefetches, b.completer.stats.prefetched) == (1, 1)


async def test_the_request_after_the_acceptance_joins_what_is_still_written() -> None:
    """Even if the user types on."""
    async with bench() as b:
        await shown(b)
        b.engine.streams[1].write("23")
        await settle()
        task = b.begin("x = 12|", 2)
        await settle()
        b.engine.streams[1].write("4").finish()
        assert await task == [Suggestion(6, 6, "34", "2")]
        assert len(b.engine.streams) == 2


async def test_typing_the_suggestion_does_not_disturb_it() -> None:
    """It is needed all the more."""
    async with bench() as b:
        await shown(b)
        for version, text in enumerate(["x |", "x =|", "x = 1|"], 2):
            b.open(text.removesuffix("|"), version)
            assert not b.engine.streams[1].is_cancelled


@pytest.mark.parametrize("text", ["xy", "x = 2", "", "x = 1;", "x = 1\n", "y = 1"])
async def test_any_other_edit_ends_what_is_prepared(text: str) -> None:
    """Nobody will ask for it."""
    async with bench() as b:
        await shown(b)
        b.open(text, 2)
        assert b.engine.streams[1].is_cancelled


async def test_an_edit_while_the_context_is_gathered_ends_it_too() -> None:
    """The engine is not asked at all."""
    async with bench() as b:
        task = b.begin("x|")
        (await b.engine.asked()).write(" = 1").finish()
        await task
        b.may_ask.clear()
        b.completer.shown("1")
        await settle()
        b.open("xy", 2)
        b.may_ask.set()
        await settle()
        assert len(b.engine.streams) == 1


async def test_another_document_is_not_the_suggestions() -> None:
    """Editing it changes nothing."""
    async with bench() as b:
        await shown(b)
        b.completer.edited(Snapshot.of("y", uri="file:///other.py"))
        assert not b.engine.streams[1].is_cancelled


async def test_a_suggestion_that_still_grows_is_waited_for() -> None:
    """It is on the screen from its first line on."""
    async with bench() as b:
        ask = Ask(b.open("x"), 1)
        task = asyncio.create_task(b.completer.complete(ask, lambda _: None))
        stream = (await b.engine.asked()).write(" = ")
        await settle()
        b.completer.shown("1")
        await settle()
        assert len(b.engine.streams) == 1
        stream.write("1").finish()
        await task
        assert (await b.engine.asked(2)).request.prefix == "x = 1"


async def test_showing_it_again_changes_nothing() -> None:
    """Editors redraw."""
    async with bench() as b:
        await shown(b)
        b.completer.shown("1")
        await settle()
        assert len(b.engine.streams) == 2
        assert not b.engine.streams[1].is_cancelled


async def test_dismissing_it_ends_what_would_follow() -> None:
    """The user does not want it."""
    async with bench() as b:
        await shown(b)
        b.completer.dismissed("1")
        assert b.engine.streams[1].is_cancelled


async def test_closing_the_document_ends_it_even_before_the_engine_is_asked() -> None:
    """Another one may be opened under its name."""
    async with bench() as b:
        task = b.begin("x|")
        (await b.engine.asked()).write(" = 1").finish()
        await task
        b.may_ask.clear()
        b.completer.shown("1")
        await settle()
        b.completer.closed(URI)
        b.may_ask.set()
        await settle()
        assert len(b.engine.streams) == 1


async def test_a_request_elsewhere_ends_it() -> None:
    """The cursor has moved on."""
    async with bench() as b:
        await shown(b)
        task = b.begin("|x")
        await b.engine.asked(3)
        assert b.engine.streams[1].is_cancelled
        b.engine.streams[2].finish()
        await task


async def test_when_the_engine_stopped_it_the_request_asks_for_itself() -> None:
    """Another client's work goes first; the user must not pay for that with no answer."""
    async with bench() as b:
        await shown(b)
        task = b.begin("x = 1|", 2)
        await settle()
        b.engine.streams[1].finish(FinishReason.CANCELLED)
        (await b.engine.asked(3)).write("0").finish()
        assert await task == [Suggestion(5, 5, "0", "3")]


async def test_it_can_be_turned_off() -> None:
    """By a setting."""
    async with bench(writing(" = 1")) as b:
        b.completer.configure(Settings(prefetch=False))
        await b.texts("x|")
        b.completer.shown("1")
        await settle()
        assert len(b.engine.streams) == 1


async def test_an_unknown_suggestion_prepares_nothing() -> None:
    """It may be from another session."""
    async with bench(writing(" = 1")) as b:
        b.completer.shown("5")
        await settle()
        assert b.engine.streams == []


async def test_what_fails_in_the_background_is_logged_and_forgotten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The session goes on."""
    async with bench(writing(" = 1")) as b:
        await b.texts("x|")
        b.engine.close()
        b.completer.shown("1")
        await settle()
        assert "EngineClosedError" in caplog.text
        assert await b.texts("x|") == [" = 1"]


async def test_nothing_is_left_running_when_the_client_goes() -> None:
    """Or when a setting changes."""
    async with bench() as b:
        await shown(b)
        b.completer.forget()
        await settle()
        assert b.engine.streams[1].is_cancelled
    assert asyncio.all_tasks() == {asyncio.current_task()}
