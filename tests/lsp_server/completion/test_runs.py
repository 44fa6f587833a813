"""Runs of the engine that outlive their request: what is reused, kept and stopped."""

from __future__ import annotations

import asyncio

import pytest
from fakes import FakeStream, origin
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.api import CompletionRequest, FinishReason
from midfill.engine.errors import EngineClosedError
from midfill.lsp_server.completion.engine_run import EngineRun
from midfill.lsp_server.completion.runs import Runs
from midfill.lsp_server.text.located import Hole

TEXT = st.text(alphabet="ab\n", max_size=6)


def a_stream() -> FakeStream:
    """A stream that waits for the test to write."""
    return FakeStream(CompletionRequest(""))


class Case:
    """The runs of a document, and which of them have ended."""

    def __init__(self) -> None:
        self.ended: list[EngineRun] = []
        self.runs = Runs()

    def start(self, hole: Hole, stream: FakeStream) -> EngineRun:
        """Start a run."""
        run = EngineRun(origin(), hole, stream)
        run.when_ended(self.ended.append)
        self.runs.start(run)
        return run

    async def know(self, prefix: str, text: str, suffix: str = "") -> None:
        """Finish a completion."""
        await self.start(Hole(prefix, suffix), a_stream().write(text).finish()).ended()

    def rest(self, hole: Hole) -> str | None:
        """What a finished completion gives there."""
        filling = self.runs.finished.first(hole)
        return None if filling is None else filling.rest(hole)


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(10):
        await asyncio.sleep(0)


@given(prefix=TEXT, typed=TEXT, text=TEXT, suffix=TEXT)
async def test_a_remainder_after_the_typed_text_makes_the_same_document(
    prefix: str, typed: str, text: str, suffix: str
) -> None:
    """Typing what was suggested and accepting the rest is accepting the suggestion."""
    case = Case()
    await case.know(prefix, text, suffix)
    rest = case.rest(Hole(prefix + typed, suffix))
    assert (rest is not None) == (text.startswith(typed) and (typed != text or not typed))
    assert rest is None or prefix + typed + rest == prefix + text


@pytest.mark.parametrize(
    ("hole", "rest"),
    [
        (Hole("def f", "\n"), "oo():"),
        (Hole("def foo", "\n"), "():"),
        (Hole("def foo():", "\n"), None),
        (Hole("def fa", "\n"), None),
        (Hole("def ", "\n"), None),
        (Hole("def fo", ")\n"), None),
        (Hole("def fo", ""), None),
    ],
)
async def test_only_typing_as_suggested_reuses_a_completion(hole: Hole, rest: str | None) -> None:
    """Another suffix is another question."""
    case = Case()
    await case.know("def f", "oo():", "\n")
    assert case.rest(hole) == rest


async def test_that_there_is_nothing_to_say_is_remembered_too() -> None:
    """Asking again in the same place must not decode again."""
    case = Case()
    await case.know("x", "")
    assert case.rest(Hole("x", "")) == ""


async def test_the_newest_of_two_completions_wins() -> None:
    """The model may say something else once it has seen more context."""
    case = Case()
    await case.know("x", " = 1")
    await case.know("x", " = 2")
    assert case.rest(Hole("x ", "")) == "= 2"


async def test_a_few_completions_are_remembered_and_no_more() -> None:
    """After deleting what was typed the older ones answer."""
    case = Case()
    for number in range(20):
        await case.know(f"{number}:", "x")
    assert case.rest(Hole("19:", "")) == "x"
    assert case.rest(Hole("4:", "")) == "x"
    assert case.rest(Hole("3:", "")) is None


@pytest.mark.parametrize("reason", [FinishReason.CANCELLED, FinishReason.SUPERSEDED])
async def test_what_was_cut_short_is_not_remembered(reason: FinishReason) -> None:
    """Half a completion would be shown as a whole one."""
    case = Case()
    stream = a_stream().write("half").finish(reason)
    await case.start(Hole("x", ""), stream).ended()
    await settle()
    assert case.rest(Hole("x", "")) is None


async def test_a_running_run_goes_on_while_its_text_is_typed() -> None:
    """Its continuation belongs to the next request."""
    case, stream = Case(), a_stream()
    run = case.start(Hole("x", ")"), stream.write(" = 12"))
    await settle()
    case.runs.edited("x = 1)")
    assert not stream.is_cancelled
    assert case.runs.running(Hole("x = 1", ")")) is run
    stream.write("3").finish()
    assert [text async for text in run.growth()][-1] == " = 123"


@pytest.mark.parametrize("document", ["x = 2)", "x = 1))", "y = 1)", "x = 1", "x = 123)", ")", "x"])
async def test_any_other_edit_stops_a_running_run(document: str) -> None:
    """Even before anybody asks again: the two cores are the user's."""
    case, stream = Case(), a_stream()
    case.start(Hole("x", ")"), stream.write(" = 12"))
    await settle()
    case.runs.edited(document)
    assert stream.is_cancelled
    assert case.runs.running(Hole("x = 1", ")")) is None


async def test_a_new_run_stops_the_one_before() -> None:
    """One document has one cursor."""
    case, first, second = Case(), a_stream(), a_stream()
    case.start(Hole("x", ""), first)
    case.start(Hole("y", ""), second)
    assert first.is_cancelled
    assert not second.is_cancelled
    await case.runs.close()


async def test_the_time_from_cancel_to_the_end_is_measured() -> None:
    """It is the promise of the server that work stops."""
    case, stream = Case(), a_stream()
    stream.heeds_cancel = False
    run = case.start(Hole("x", ""), stream)
    case.runs.cancel()
    case.runs.cancel()
    assert run.cancel_ms is None
    stream.finish(FinishReason.CANCELLED)
    await run.ended()
    await settle()
    assert run.cancel_ms is not None
    assert 0 <= run.cancel_ms < 10_000
    assert case.ended == [run]


async def test_an_error_reaches_everybody_who_reads() -> None:
    """And is not remembered as a completion."""
    case = Case()
    run = case.start(Hole("x", ""), a_stream().write("y").fail(EngineClosedError("gone")))
    for _ in range(2):
        with pytest.raises(EngineClosedError, match="gone"):
            assert [text async for text in run.growth()]
    await settle()
    assert case.rest(Hole("x", "")) is None


async def test_nothing_that_ends_after_forget_is_remembered() -> None:
    """Settings have changed, so the same question has another answer."""
    case, stream = Case(), a_stream()
    stream.heeds_cancel = False
    run = case.start(Hole("x", ""), stream.write("old"))
    case.runs.forget()
    stream.finish()
    await run.ended()
    await settle()
    assert case.rest(Hole("x", "")) is None


async def test_a_carriage_return_waits_for_its_newline() -> None:
    r"""A model that writes "\r\n" in two chunks has written one line end."""
    case, stream = Case(), a_stream()
    run = case.start(Hole("x", ""), stream.write("a\r"))
    await settle()
    assert run.text == "a"
    stream.write("\nb\r").finish()
    await run.ended()
    assert run.text == "a\nb\n"


async def test_readers_are_woken_to_look_around() -> None:
    """A request that is no longer wanted leaves before the next token."""
    case = Case()
    run = case.start(Hole("x", ""), a_stream())
    growth = run.growth()
    assert await anext(growth) == ""
    case.runs.wake()
    assert await anext(growth) == ""
    await growth.aclose()
    await case.runs.close()
