"""Completions that outlive their request: what is reused, kept and stopped."""

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
from midfill.lsp_server.request.place import Hole

TEXT = st.text(alphabet="ab\n", max_size=6)


def a_stream() -> FakeStream:
    """A stream that waits for the test to write."""
    return FakeStream(CompletionRequest(""))


class Desk:
    """A Runs, and what it said has ended."""

    def __init__(self) -> None:
        self.ended: list[EngineRun] = []
        self.reuse = Runs(self.ended.append)

    async def know(self, prefix: str, text: str, suffix: str = "") -> None:
        """Finish a completion."""
        stream = a_stream().write(text).finish()
        await self.reuse.start(origin(), Hole(prefix, suffix), stream).ended()
        await settle()

    def rest(self, hole: Hole) -> str | None:
        """What a finished completion gives there."""
        generation = self.reuse.finished(hole)
        return None if generation is None else generation.rest(hole)


async def settle() -> None:
    """Let everything run that can run now."""
    for _ in range(10):
        await asyncio.sleep(0)


@given(prefix=TEXT, typed=TEXT, text=TEXT, suffix=TEXT)
async def test_a_remainder_after_the_typed_text_makes_the_same_document(
    prefix: str, typed: str, text: str, suffix: str
) -> None:
    """Typing what was suggested and accepting the rest is accepting the suggestion."""
    desk = Desk()
    await desk.know(prefix, text, suffix)
    rest = desk.rest(Hole(prefix + typed, suffix))
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
    desk = Desk()
    await desk.know("def f", "oo():", "\n")
    assert desk.rest(hole) == rest


async def test_that_there_is_nothing_to_say_is_remembered_too() -> None:
    """Asking again in the same place must not decode again."""
    desk = Desk()
    await desk.know("x", "")
    assert desk.rest(Hole("x", "")) == ""


async def test_the_newest_of_two_completions_wins() -> None:
    """The model may say something else once it has seen more context."""
    desk = Desk()
    await desk.know("x", " = 1")
    await desk.know("x", " = 2")
    assert desk.rest(Hole("x ", "")) == "= 2"


async def test_a_few_completions_are_remembered_and_no_more() -> None:
    """After deleting what was typed the older ones answer."""
    desk = Desk()
    for number in range(20):
        await desk.know(f"{number}:", "x")
    assert desk.rest(Hole("19:", "")) == "x"
    assert desk.rest(Hole("4:", "")) == "x"
    assert desk.rest(Hole("3:", "")) is None


@pytest.mark.parametrize("reason", [FinishReason.CANCELLED, FinishReason.SUPERSEDED])
async def test_what_was_cut_short_is_not_remembered(reason: FinishReason) -> None:
    """Half a completion would be shown as a whole one."""
    desk = Desk()
    stream = a_stream().write("half").finish(reason)
    await desk.reuse.start(origin(), Hole("x", ""), stream).ended()
    await settle()
    assert desk.rest(Hole("x", "")) is None


async def test_a_running_generation_goes_on_while_its_text_is_typed() -> None:
    """Its continuation belongs to the next request."""
    desk, stream = Desk(), a_stream()
    generation = desk.reuse.start(origin(), Hole("x", ")"), stream.write(" = 12"))
    await settle()
    desk.reuse.edited("x = 1)")
    assert not stream.is_cancelled
    assert desk.reuse.running(Hole("x = 1", ")")) is generation
    stream.write("3").finish()
    assert [text async for text in generation.growth()][-1] == " = 123"


@pytest.mark.parametrize("document", ["x = 2)", "x = 1))", "y = 1)", "x = 1", "x = 123)", ")", "x"])
async def test_any_other_edit_stops_a_running_generation(document: str) -> None:
    """Even before anybody asks again: the two cores are the user's."""
    desk, stream = Desk(), a_stream()
    desk.reuse.start(origin(), Hole("x", ")"), stream.write(" = 12"))
    await settle()
    desk.reuse.edited(document)
    assert stream.is_cancelled
    assert desk.reuse.running(Hole("x = 1", ")")) is None


async def test_a_new_generation_stops_the_one_before() -> None:
    """One document has one cursor."""
    desk, first, second = Desk(), a_stream(), a_stream()
    desk.reuse.start(origin(), Hole("x", ""), first)
    desk.reuse.start(origin(), Hole("y", ""), second)
    assert first.is_cancelled
    assert not second.is_cancelled
    await desk.reuse.close()


async def test_the_time_from_cancel_to_the_end_is_measured() -> None:
    """It is the promise of the server that work stops."""
    desk, stream = Desk(), a_stream()
    stream.heeds_cancel = False
    generation = desk.reuse.start(origin(), Hole("x", ""), stream)
    desk.reuse.cancel()
    desk.reuse.cancel()
    assert generation.cancel_ms is None
    stream.finish(FinishReason.CANCELLED)
    await generation.ended()
    await settle()
    assert generation.cancel_ms is not None
    assert 0 <= generation.cancel_ms < 10_000
    assert desk.ended == [generation]


async def test_an_error_reaches_everybody_who_reads() -> None:
    """And is not remembered as a completion."""
    desk = Desk()
    generation = desk.reuse.start(
        origin(), Hole("x", ""), a_stream().write("y").fail(EngineClosedError("gone"))
    )
    for _ in range(2):
        with pytest.raises(EngineClosedError, match="gone"):
            assert [text async for text in generation.growth()]
    await settle()
    assert desk.rest(Hole("x", "")) is None


async def test_nothing_that_ends_after_forget_is_remembered() -> None:
    """Settings have changed, so the same question has another answer."""
    desk, stream = Desk(), a_stream()
    stream.heeds_cancel = False
    generation = desk.reuse.start(origin(), Hole("x", ""), stream.write("old"))
    desk.reuse.forget()
    stream.finish()
    await generation.ended()
    await settle()
    assert desk.rest(Hole("x", "")) is None


async def test_a_carriage_return_waits_for_its_newline() -> None:
    r"""A model that writes "\r\n" in two chunks has written one line end."""
    desk, stream = Desk(), a_stream()
    generation = desk.reuse.start(origin(), Hole("x", ""), stream.write("a\r"))
    await settle()
    assert generation.text == "a"
    stream.write("\nb\r").finish()
    await generation.ended()
    assert generation.text == "a\nb\n"


async def test_readers_are_woken_to_look_around() -> None:
    """A request that is no longer wanted leaves before the next token."""
    desk = Desk()
    generation = desk.reuse.start(origin(), Hole("x", ""), a_stream())
    growth = generation.growth()
    assert await anext(growth) == ""
    desk.reuse.wake()
    assert await anext(growth) == ""
    await growth.aclose()
    await desk.reuse.close()
