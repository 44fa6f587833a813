"""One completion, from a snapshot to suggestions: what is asked, reused, shown and dropped."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from fakes import FakeEngine, FakeStream, writing
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol import types

from midfill.engine.api import CompletionRequest, EngineConfig, FinishReason
from midfill.engine.errors import EngineClosedError, InvalidRequestError
from midfill.lsp_server.completion import Ask, Completer, Place, Suggestion
from midfill.lsp_server.documents import Documents, Edit
from midfill.lsp_server.engine_host import EngineHost, State
from midfill.lsp_server.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

URI = "file:///a.py"


class Bench:
    """A completer with an engine that is open, and one open document."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.may_open = threading.Event()
        self.host = EngineHost(self.opened)
        self.documents = Documents()
        self.busy: list[bool] = []
        self.completer = Completer(self.host, self.documents, self.request, self.busy.append)
        self.may_ask = asyncio.Event()
        self.may_ask.set()

    def opened(self, _config: EngineConfig, _on_progress: object) -> FakeEngine:
        """As open_engine; takes as long as the test wants."""
        self.may_open.wait()
        return self.engine

    async def request(self, place: Place) -> CompletionRequest:
        """The simplest request; takes as long as the test wants."""
        await self.may_ask.wait()
        return CompletionRequest(place.hole.prefix, place.hole.suffix)

    def open(self, text: str, version: int = 1) -> Snapshot:
        """Show this text in the editor."""
        item = types.TextDocumentItem(URI, "python", version, text)
        snapshot = self.documents.open(item)
        self.completer.edited(snapshot)
        return snapshot

    def begin(
        self, text: str, version: int = 1, *, is_invoked: bool = False
    ) -> asyncio.Task[list[Suggestion] | None]:
        """Ask at the "|" of a text that is now in the editor."""
        snapshot = self.open(text.replace("|", ""), version)
        ask = Ask(snapshot, text.index("|"), is_invoked)
        return asyncio.create_task(self.completer.complete(ask))

    async def texts(self, text: str, version: int = 1) -> list[str] | None:
        """The suggested texts at the "|"."""
        suggestions = await self.begin(text, version)
        return None if suggestions is None else [each.text for each in suggestions]


@asynccontextmanager
async def bench(script: Callable[[FakeStream], object] | None = None) -> AsyncIterator[Bench]:
    """A bench whose engine is ready; at the end nothing runs any more."""
    made = Bench(FakeEngine(script))
    made.may_open.set()
    made.host.load(EngineConfig("fake"))
    await made.host.engine()
    yield made
    await made.completer.close()
    made.host.close()


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(20):
        await asyncio.sleep(0)


LINE_ENDS = st.sampled_from(["\n", "\r\n", "\r"])
LINES = st.lists(st.text(alphabet="ab\t \f\u2028é😀", max_size=4), min_size=1, max_size=4)


@given(
    lines=LINES, line_end=LINE_ENDS, middle=st.text(alphabet="xy \n", max_size=8), data=st.data()
)
async def test_accepting_keeps_every_other_byte(
    lines: list[str], line_end: str, middle: str, data: st.DataObject
) -> None:
    """Prefix + middle + suffix, whatever the line ends; the middle gets the document's."""
    text = line_end.join(lines)
    line = data.draw(st.integers(0, len(lines) - 1))
    column = data.draw(st.integers(0, len(lines[line])))
    offset = sum(len(each) + len(line_end) for each in lines[:line]) + column
    async with bench(writing(middle)) as b:
        snapshot = b.open(text)
        suggestions = await b.completer.complete(Ask(snapshot, offset))
    assert b.engine.requests[0].prefix == "\n".join([*lines[:line], lines[line][:column]])
    assert b.engine.requests[0].suffix == "\n".join([lines[line][column:], *lines[line + 1 :]])
    for each in suggestions or []:
        assert (each.start, each.end) == (offset, offset)
        ours = line_end if len(lines) > 1 else "\n"
        assert middle.startswith(each.text.replace(ours, "\n"))
        accepted = snapshot.replaced(Edit(each.start, each.end, each.text)).text
        assert accepted == text[:offset] + each.text + text[offset:]


async def test_what_the_popup_has_selected_starts_the_suggestion() -> None:
    """And the engine completes the text as if it were accepted already."""
    async with bench(writing("(x)")) as b:
        snapshot = b.open("import os\r\nos.pa\r\n")
        ask = Ask(snapshot, 16, selected=Edit(14, 16, "path"))
        suggestions = await b.completer.complete(ask)
    assert suggestions == [Suggestion(14, 16, "path(x)")]
    assert b.engine.requests[0].prefix == "import os\nos.path"
    assert b.engine.requests[0].suffix == "\n"


async def test_with_nothing_to_add_to_the_popup_there_is_nothing_to_offer() -> None:
    """The popup offers its own text already."""
    async with bench(writing("")) as b:
        snapshot = b.open("os.pa")
        ask = Ask(snapshot, 5, selected=Edit(3, 5, "path"))
        assert await b.completer.complete(ask) == []


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


async def test_typing_what_is_being_written_joins_the_generation() -> None:
    """The old request is answered at once; the new one gets what is still to come."""
    async with bench() as b:
        first = b.begin("x|")
        (await b.engine.asked()).write(" = 1")
        await settle()
        second = b.begin("x =|", 2)
        assert await first is None
        b.engine.streams[0].write("2").finish()
        assert await second == [Suggestion(3, 3, " 12")]
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
        assert await second == [Suggestion(2, 2, "z")]
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
        assert await second == [Suggestion(2, 2, "= 1")]


async def test_a_generation_that_the_engine_cut_short_is_no_answer() -> None:
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
    assert await task == [Suggestion(1, 1, "z")]
    await b.completer.close()
    b.host.close()


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
        assert b.host.status.state is State.ERROR
        assert await b.begin("xy|", 2) is None


async def test_an_error_in_the_stream_reaches_the_request() -> None:
    """And the completer goes on."""
    async with bench(lambda s: s.fail(InvalidRequestError("too long"))) as b:
        with pytest.raises(InvalidRequestError, match="too long"):
            await b.begin("x|")
        assert b.host.status.state is State.READY
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
    """Of several in a row only the last one reaches the engine; an invoked one does not wait."""
    async with bench(writing("z")) as b:
        b.completer.debounce_ms = 1
        first, second = b.begin("x|"), b.begin("xy|", 2)
        assert await first is None
        assert await second == [Suggestion(2, 2, "z")]
        assert [request.prefix for request in b.engine.requests] == ["xy"]


async def test_an_edit_in_the_pause_drops_the_request() -> None:
    """Nobody has asked for the new text yet."""
    async with bench(writing("z")) as b:
        b.completer.debounce_ms = 1
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
