"""Several candidates of one place: different ones, in order, without a prompt read twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from completer_bench import Bench, bench, settle
from fakes import FakeStream
from tiny_engine import complete, machine

from midfill.engine.api import CompletionRequest, Order, Priority, Sampling
from midfill.lsp_server.candidates import TEMPERATURE, TOP_P, TRIES, sampled
from midfill.lsp_server.explanation import Asked
from midfill.lsp_server.place import Ask

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.lsp_server.place import Suggestion


def one_after_another(*texts: tuple[str, float]) -> Callable[[FakeStream], object]:
    """A script: each request gets the next text, with this mean log probability."""
    left = iter(texts)

    def write(stream: FakeStream) -> None:
        text, likeliness = next(left)
        stream.write(text).finish(mean_logprob=likeliness)

    return write


async def candidates(b: Bench, number: int, text: str = "x|") -> list[Suggestion] | None:
    """So many candidates at the "|"."""
    ask = Ask(b.open(text.replace("|", "")), text.index("|"), is_invoked=True)
    return await b.completer.complete(ask, candidates=number)


async def test_the_greedy_one_is_first_and_the_others_are_ordered() -> None:
    """The likeliest first."""
    script = one_after_another((" = 1", -3.0), (" = 2", -2.0), (" = 3", -1.0))
    async with bench(script) as b:
        offered = await candidates(b, 3)
        assert offered is not None
        assert [each.text for each in offered] == [" = 1", " = 3", " = 2"]
        assert len({each.item_id for each in offered}) == 3
        assert [request.sampling.temperature for request in b.engine.requests] == [0, 0.8, 0.8]
        assert len({request.sampling.seed for request in b.engine.requests}) == 3


async def test_what_looks_the_same_is_offered_once() -> None:
    """After blank lines at the end are cut; and what is not worth showing, not at all."""
    script = one_after_another((" = 1", 0), (" = 1\n\n", 0), ("\n", 0), (" = 2", 0), (" = 3", 0))
    async with bench(script) as b:
        offered = await candidates(b, 3)
        assert offered is not None
        assert [each.text for each in offered] == [" = 1", " = 2", " = 3"]


async def test_a_model_that_always_says_the_same_is_not_asked_for_ever() -> None:
    """Fewer candidates come."""
    async with bench(lambda stream: stream.write(" = 1").finish()) as b:
        offered = await candidates(b, 4)
        assert offered is not None
        assert [each.text for each in offered] == [" = 1"]
        assert len(b.engine.streams) == 4 * TRIES


async def test_asking_again_costs_only_what_is_new() -> None:
    """Editors ask again whenever they draw."""
    async with bench(one_after_another(*((f" = {n}", -n) for n in range(9)))) as b:
        three = await candidates(b, 3)
        assert await candidates(b, 3) == three
        assert len(b.engine.streams) == 3
        four = await candidates(b, 4)
        assert len(b.engine.streams) == 4
        assert three is not None
        assert four is not None
        assert [each.text for each in four] == [" = 0", " = 1", " = 2", " = 3"]


async def test_without_candidates_the_greedy_one_is_still_the_answer() -> None:
    """Sampled ones answer only while they are typed, or once they were shown."""
    async with bench(one_after_another((" = 1", 0), (" = 2", 0))) as b:
        await candidates(b, 2)
        assert await b.texts("x|") == [" = 1"]
        assert await b.texts("x = |", 2) == ["1"]
        b.completer.shown("2")
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


async def test_where_the_greedy_one_is_nothing_others_may_be_something() -> None:
    """Which is why the user asks."""
    async with bench(one_after_another(("", 0), ("(1)", 0), ("(2)", 0))) as b:
        offered = await candidates(b, 2)
        assert offered is not None
        assert [each.text for each in offered] == ["(1)", "(2)"]


async def test_the_first_one_is_shown_while_the_others_are_made() -> None:
    """And the last state shown is the answer."""
    shown: list[list[Suggestion]] = []
    async with bench(one_after_another((" = 1", 0), (" = 2", 0))) as b:
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
    parts, asked = machine(), Asked(request)
    first = complete(parts, request).stats
    others = [complete(parts, sampled(asked, number).request).stats for number in (1, 2, 3)]
    assert first.prefilled_tokens == first.prompt_tokens > 10
    assert [other.prefilled_tokens for other in others] == [1, 1, 1]
    assert {other.order for other in others} == {first.order}


@pytest.mark.parametrize(("temperature", "seed"), [(0.0, None), (1.5, 7)])
def test_sampling_follows_the_settings_where_they_say_more(
    temperature: float, seed: int | None
) -> None:
    """A user who wants it hotter gets it."""
    asked = Asked(CompletionRequest("x", sampling=Sampling(temperature, seed=seed)))
    first, second = (sampled(asked, number).request.sampling for number in (1, 2))
    assert first.temperature == max(temperature, TEMPERATURE)
    assert first.top_p == TOP_P
    assert (first.seed, second.seed) == ((seed or 0) + 1, (seed or 0) + 2)
