"""Several candidates of one place: different ones, in order, without a prompt read twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from completer_bench import Bench, bench, settle
from fakes import FakeStream
from tiny_engine import collect, complete, machine

from midfill.engine.api import CompletionRequest, Order, Priority
from midfill.engine.generation.best_of import BestOf
from midfill.engine.scheduling.scheduler import Job
from midfill.lsp_server.completion.candidates import SPARE, TRIES, several
from midfill.lsp_server.request.origin import Asked
from midfill.lsp_server.request.place import Ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.lsp_server.request.place import Suggestion


def saying(first: str, *others: str) -> Callable[[FakeStream], object]:
    """A script: the first text, then the others where alternatives are asked for."""

    def write(stream: FakeStream) -> None:
        wanted = stream.request.alternatives
        stream.write(others[0] if wanted else first).finish(alternatives=others[1 : wanted + 1])

    return write


async def candidates(b: Bench, number: int, text: str = "x|") -> list[Suggestion] | None:
    """So many candidates at the "|"."""
    ask = Ask(b.open(text.replace("|", "")), text.index("|"), is_invoked=True)
    return await b.completer.complete(ask, candidates=number)


async def offered_texts(b: Bench, number: int) -> list[str]:
    """The texts of so many candidates."""
    offered = await candidates(b, number)
    assert offered is not None
    assert len({each.item_id for each in offered}) == len(offered)
    return [each.text for each in offered]


async def test_what_is_shown_is_first_and_the_others_are_in_the_engine_s_order() -> None:
    """One more request to the engine gives all of them."""
    async with bench(saying(" = 1", " = 3", " = 1", " = 2", " = 4", " = 5")) as b:
        assert await offered_texts(b, 3) == [" = 1", " = 3", " = 2"]
        first, second = b.engine.requests
        assert (first.tries, first.alternatives) == (1, 0)
        assert (second.tries, second.alternatives) == (3 * TRIES + SPARE, 2 + SPARE)


async def test_what_looks_the_same_is_offered_once() -> None:
    """After blank lines at the end are cut; and what is not worth showing, not at all."""
    async with bench(saying(" = 1", " = 1\n\n", "\n", " = 2", " = 3")) as b:
        assert await offered_texts(b, 3) == [" = 1", " = 2", " = 3"]


async def test_a_model_that_has_no_more_to_say_is_not_asked_again() -> None:
    """Fewer candidates come, then as before."""
    async with bench(saying(" = 1", " = 1")) as b:
        for _ in range(2):
            assert await offered_texts(b, 4) == [" = 1"]
        assert len(b.engine.streams) == 2


async def test_asking_again_costs_only_what_is_new() -> None:
    """Editors ask again whenever they draw."""
    async with bench(saying(*(f" = {n}" for n in range(9)))) as b:
        three = await candidates(b, 3)
        assert await candidates(b, 3) == three
        assert await offered_texts(b, 4) == [" = 0", " = 1", " = 2", " = 3"]
        assert len(b.engine.streams) == 2
        assert await offered_texts(b, 8) == [f" = {n}" for n in range(8)]
        assert len(b.engine.streams) == 3


async def test_without_candidates_the_first_one_is_still_the_answer() -> None:
    """Others answer only while they are typed, or once they were shown."""
    async with bench(saying(" = 1", " = 1", " = 2")) as b:
        await candidates(b, 2)
        assert await b.texts("x|") == [" = 1"]
        assert await b.texts("x = |", 2) == ["1"]
        b.completer.shown("3")
        assert await b.texts("x = |", 3) == ["2"]
        assert await b.texts("x|", 4) == [" = 2"]


async def test_an_edit_ends_them() -> None:
    """No answer, and no further work."""
    async with bench() as b:
        task = asyncio.create_task(candidates(b, 3))
        (await b.engine.asked()).write(" = 1").finish()
        second = await b.engine.asked(2)
        await settle()
        b.open("xy", 2)
        assert await task is None
        assert second.is_cancelled
        assert len(b.engine.streams) == 2


async def test_a_cancel_by_the_client_ends_them() -> None:
    """At once."""
    async with bench() as b:
        task = asyncio.create_task(candidates(b, 3))
        (await b.engine.asked()).write(" = 1").finish()
        second = await b.engine.asked(2)
        await settle()
        task.cancel()
        await asyncio.wait([task])
        assert second.is_cancelled


async def test_a_newer_request_goes_first() -> None:
    """Typing never waits for them."""
    async with bench() as b:
        task = asyncio.create_task(candidates(b, 3))
        (await b.engine.asked()).write(" = 1").finish()
        second = await b.engine.asked(2)
        typing = b.begin("x(|", 2)
        assert await task is None
        assert second.is_cancelled
        (await b.engine.asked(3)).write(")").finish()
        assert await typing is not None


async def test_where_the_first_one_is_nothing_others_may_be_something() -> None:
    """Which is why the user asks."""
    async with bench(saying("", "(1)", "(2)")) as b:
        assert await offered_texts(b, 2) == ["(1)", "(2)"]


async def test_the_first_one_is_shown_while_the_others_are_made() -> None:
    """And the last state shown is the answer."""
    shown: list[list[Suggestion]] = []
    async with bench(saying(" = 1", " = 2")) as b:
        answer = await b.completer.complete(Ask(b.open("x"), 1), shown.append, candidates=2)
    assert [len(each) for each in shown] == [1, 2]
    assert shown[-1] == answer


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM, Order.AUTO])
def test_the_prompt_is_read_once(order: Order) -> None:
    """The others find it in the cache, but for the last token, whose logits are needed."""
    request = CompletionRequest(
        "def add(a, b):\n    retu",
        "\n\nadd(1, 2)\n",
        priority=Priority.INVOKED,
        order=order,
        max_tokens=8,
    )
    parts = machine()
    first = complete(parts, request).stats
    job = Job(request.priority, 0, several(Asked(request), 4).request)
    BestOf(parts, job).run()
    done = collect(job.stream)
    others = [each.stats for each in done.chunks[-1].alternatives]
    assert first.prefilled_tokens == first.prompt_tokens > 10
    assert len(others) == 3 + SPARE
    assert done.stats.prefilled_tokens == 1
    assert {each.prefilled_tokens for each in others if each} <= {0, 1}
    assert {each.order for each in others if each} == {first.order}
