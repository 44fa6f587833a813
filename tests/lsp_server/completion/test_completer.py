"""One completion, from a snapshot to suggestions: what is asked, reused, shown and dropped."""

from __future__ import annotations

import asyncio
import logging

import pytest
from completer_bench import URI, Bench, bench, settle
from fakes import FakeEngine, writing

from midfill.engine.api import EngineConfig, FinishReason
from midfill.engine.errors import EngineClosedError, InvalidRequestError
from midfill.lsp_server.engine_host import State
from midfill.lsp_server.request.place import Ask, Suggestion
from midfill.lsp_server.settings import CompletionSettings, Settings

DEBOUNCED = Settings(completion=CompletionSettings(debounce_ms=1))


async def test_typing_what_was_suggested_asks_no_engine() -> None:
    """The rest of the suggestion is the answer, down to its last character."""
    async with bench(writing("int(x)")) as b:
        assert await b.texts("pr|") == ["int(x)"]
        assert await b.texts("pri|", 2) == ["nt(x)"]
        assert await b.texts("print(x|", 3) == [")"]
        assert len(b.engine.streams) == 1
        assert await b.texts("print(x)|", 4) == ["int(x)"]
        assert len(b.engine.streams) == 2
        assert b.completer.stats.reused == 2


async def test_a_rest_that_is_not_worth_showing_asks_the_engine() -> None:
    """Only a line end is left of what was suggested."""
    async with bench(writing("x\n")) as b:
        assert await b.texts("y = |\n") == ["x"]
        assert await b.texts("y = x|\n", 2) == ["x"]
        assert len(b.engine.streams) == 2


async def test_typing_what_is_being_written_joins_the_run() -> None:
    """The old request is answered at once; the new one gets what is still to come."""
    async with bench() as b:
        first = b.begin("x|")
        (await b.engine.asked()).write(" = 1")
        await settle()
        second = b.begin("x =|", 2)
        assert await first is None
        b.engine.streams[0].write("2").finish()
        assert await second == [Suggestion(3, 3, " 12", "1")]
        assert len(b.engine.streams) == 1
        assert b.completer.stats.joined == 1


async def test_typing_something_else_stops_the_engine_before_anybody_asks() -> None:
    """Clients wait before they ask again; the engine does not go on meanwhile."""
    async with bench() as b:
        first = b.begin("x|")
        stream = (await b.engine.asked()).write(" = 1")
        await settle()
        b.open("x +", 2)
        assert stream.is_cancelled
        assert await first is None


async def test_a_newer_request_gets_the_answer_and_the_older_none() -> None:
    """The cursor has moved."""
    async with bench() as b:
        first = b.begin("x|y")
        await b.engine.asked()
        second = b.begin("xy|")
        (await b.engine.asked(2)).write("z").finish()
        assert await first is None
        assert await second == [Suggestion(2, 2, "z", "2")]
        assert b.engine.streams[0].is_cancelled


async def test_a_request_that_is_old_before_it_starts_is_not_even_gathered_for() -> None:
    """Over TCP the change can be there before the handler runs."""
    async with bench(writing("z")) as b:
        old = b.open("x")
        b.open("xy", 2)
        assert await b.completer.complete(Ask(old, 1)) is None
        b.completer.closed(URI)
        b.documents.close(URI)
        assert await b.completer.complete(Ask(old, 1)) is None
        assert b.engine.streams == []


async def test_a_change_while_the_context_is_gathered_drops_the_request() -> None:
    """Reading files takes a while."""
    async with bench(writing("z")) as b:
        b.may_ask.clear()
        task = b.begin("x|")
        await settle()
        b.open("xy", 2)
        b.may_ask.set()
        assert await task is None
        assert b.engine.streams == []


async def test_a_cancel_by_the_client_stops_the_engine() -> None:
    """The user has pressed Escape."""
    async with bench() as b:
        task = b.begin("x|")
        stream = await b.engine.asked()
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.is_cancelled
        await settle()
        assert b.completer.stats.cancelled == 1
        assert b.completer.stats.last_cancel_ms is not None


async def test_a_cancel_after_typing_what_is_being_written_lets_it_go_on() -> None:
    """VS Code cancels the old request at every keystroke; the next one reads on."""
    async with bench() as b:
        task = b.begin("x|")
        stream = (await b.engine.asked()).write(" = 1")
        await settle()
        b.open("x ", 2)
        task.cancel()
        await asyncio.wait([task])
        assert not stream.is_cancelled
        second = b.begin("x |", 2)
        stream.finish()
        assert await second == [Suggestion(2, 2, "= 1", "1")]


async def test_a_run_that_the_engine_cut_short_is_no_answer() -> None:
    """Another client's request took its place."""
    async with bench(lambda s: s.write("half").finish(FinishReason.SUPERSEDED)) as b:
        assert await b.texts("x|") is None


async def test_what_is_shown_grows_and_ends_with_the_result() -> None:
    """Whatever is held back or trimmed."""
    shown: list[list[Suggestion]] = []
    async with bench(writing("", "a", "b\n", "  c\n", "\n")) as b:
        snapshot = b.open("x = \r\ny\r\n")
        result = await b.completer.complete(Ask(snapshot, 4), shown.append)
    assert [each.text for (each,) in shown][-1] == "ab\r\n  c"
    assert shown[-1] == result


async def test_who_did_not_ask_does_not_wait_for_the_model() -> None:
    """But who did, does."""
    b = Bench(FakeEngine(writing("z")))
    b.host.load(EngineConfig("fake"))
    assert await b.begin("x|") is None
    task = b.begin("x|", is_invoked=True)
    await settle()
    b.may_open.set()
    assert await task == [Suggestion(1, 1, "z", "1")]
    await b.completer.close()
    b.host.close()


async def test_who_asks_is_not_told_again_that_nothing_is_missing() -> None:
    """What the model was free to find while the user typed; it must write now."""
    async with bench(writing("")) as b:
        assert await b.texts("x|") == []
        b.engine._script = writing("z")
        assert await b.begin("x|", is_invoked=True) == [Suggestion(1, 1, "z", "2")]
        assert [request.allow_empty for request in b.engine.requests] == [True, False]


async def test_nor_while_that_is_still_being_found() -> None:
    """The request joins the one that runs, and starts its own when that has nothing."""
    async with bench() as b:
        typed = b.begin("x|")
        stream = await b.engine.asked()
        invoked = b.begin("x|", is_invoked=True)
        await settle()
        assert len(b.engine.streams) == 1
        b.engine._script = writing("z")
        stream.finish()
        assert await invoked == [Suggestion(1, 1, "z", "2")]
        assert await typed is None


async def test_a_wait_for_the_model_ends_when_the_request_is_old() -> None:
    """The user has typed on meanwhile."""
    b = Bench(FakeEngine(writing("z")))
    b.host.load(EngineConfig("fake"))
    task = b.begin("x|", is_invoked=True)
    await settle()
    b.open("xy", 2)
    b.may_open.set()
    assert await task is None
    assert b.engine.streams == []
    b.host.close()


async def test_an_engine_that_has_died_is_reported_and_given_up() -> None:
    """The next automatic request does not try it again."""
    async with bench() as b:
        b.engine.close()
        with pytest.raises(EngineClosedError):
            await b.begin("x|")
        assert b.host.status.now.state is State.ERROR
        assert await b.begin("xy|", 2) is None


async def test_an_error_in_the_stream_reaches_the_request() -> None:
    """And the completer goes on."""
    async with bench(lambda s: s.fail(InvalidRequestError("too long"))) as b:
        with pytest.raises(InvalidRequestError, match="too long"):
            await b.begin("x|")
        assert b.host.status.now.state is State.READY
        assert b.busy == [True, False]


async def test_the_client_is_told_when_work_begins_and_ends() -> None:
    """Once for all of it."""
    async with bench() as b:
        task = b.begin("x|")
        await b.engine.asked()
        await settle()
        assert b.busy == [True]
        b.engine.streams[0].finish()
        await task
        assert b.busy == [True, False]


async def test_automatic_requests_can_be_made_to_wait_for_a_pause() -> None:
    """Only the last of several in a row reaches the engine; an invoked one does not wait."""
    async with bench(writing("z")) as b:
        b.completer.configure(DEBOUNCED)
        first, second = b.begin("x|"), b.begin("xy|", 2)
        assert await first is None
        assert await second == [Suggestion(2, 2, "z", "1")]
        assert [request.prefix for request in b.engine.requests] == ["xy"]


async def test_an_edit_in_the_pause_drops_the_request() -> None:
    """Nobody has asked for the new text yet."""
    async with bench(writing("z")) as b:
        b.completer.configure(DEBOUNCED)
        task = b.begin("x|")
        await settle()
        b.open("xy", 2)
        assert await task is None
        assert b.engine.streams == []


async def test_after_forget_the_engine_is_asked_again() -> None:
    """Its settings, or the model, may be others."""
    async with bench(writing("z")) as b:
        await b.texts("x|")
        b.completer.forget()
        await b.texts("x|")
        assert len(b.engine.streams) == 2


async def test_closing_a_document_stops_its_work() -> None:
    """Its request gets no answer."""
    async with bench() as b:
        task = b.begin("x|")
        stream = await b.engine.asked()
        b.completer.closed(URI)
        b.documents.close(URI)
        assert stream.is_cancelled
        assert await task is None
        b.completer.closed("file:///never-asked-about.py")


async def test_closing_the_client_waits_for_the_end_of_its_streams() -> None:
    """Nobody reads them afterwards."""
    async with bench() as b:
        task = b.begin("x|")
        stream = await b.engine.asked()
        stream.heeds_cancel = False
        await settle()
        closing = asyncio.create_task(b.completer.close())
        await settle()
        assert not closing.done()
        stream.finish(FinishReason.CANCELLED)
        await closing
        assert await task is None


async def test_the_log_says_how_each_request_ended_and_nothing_of_the_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At level debug, for who wonders why nothing is on the screen."""
    caplog.set_level(logging.DEBUG, "midfill.lsp_server.completion.completer")
    async with bench(writing("int(x)")) as b:
        await b.texts("pr|")
    (said,) = [text for name, _, text in caplog.record_tuples if name.endswith("completer")]
    assert said.startswith("version 1, offset 2: 1 suggestions after ")
