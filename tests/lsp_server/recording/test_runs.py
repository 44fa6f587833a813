"""Recorded runs of the engine, asked once more: as they were, on a machine of another speed."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fakes import stats, writing
from recorded_session import opener

from midfill.engine.api import (
    CompletionRequest,
    ContextPiece,
    EngineConfig,
    FinishReason,
    Order,
    Priority,
    Sampling,
    Scope,
)
from midfill.lsp_server.recording.events import Kind, plain_fields, request_as_json, request_in
from midfill.lsp_server.recording.runs import RecordedRuns, Written

REQUEST = CompletionRequest(
    "a",
    "b",
    context=(ContextPiece("c.py", "d"),),
    repo_name="e",
    path="f.py",
    document="file:///f.py",
    priority=Priority.TYPING,
    order=Order.SPM,
    scope=Scope.LINE,
    max_prompt_tokens=2048,
    read_ms=400,
    time_limit_ms=2000,
    sampling=Sampling(temperature=0.5, seed=3),
    tries=8,
    alternatives=1,
)


def one_run(reason: FinishReason = FinishReason.LINE, **cost: object) -> RecordedRuns:
    """A session with one run."""
    ask = {"kind": Kind.ASK, "run": 1, "request": request_as_json(REQUEST)}
    told = plain_fields(replace(stats(reason), **cost))
    end = {"kind": Kind.END, "run": 1, "text": "x", "tokens": [1], "stats": told}
    return RecordedRuns([ask, end], lambda: None)


def test_a_request_is_read_as_it_was_written() -> None:
    """With all that it is made of."""
    assert request_in({"request": request_as_json(REQUEST)}) == REQUEST


@pytest.mark.parametrize(
    ("reason", "cost", "wanted"),
    [
        (FinishReason.LINE, {"tries": 3}, {"time_limit_ms": None, "tries": 3}),
        (FinishReason.LINE, {"tries": 1}, {"time_limit_ms": None, "tries": 2}),
        (FinishReason.LINE, {"tries": 9}, {"time_limit_ms": None}),
        (FinishReason.TIME_LIMIT, {}, {}),
        (FinishReason.CANCELLED, {}, {}),
        (
            FinishReason.TIME_LIMIT,
            {"is_short": True, "prompt_tokens": 500},
            {"max_prompt_tokens": 512},
        ),
        (FinishReason.TIME_LIMIT, {"is_short": False, "prompt_tokens": 500}, {}),
    ],
)
def test_what_depended_on_time_is_fixed(
    reason: FinishReason, cost: dict[str, object], wanted: dict[str, object]
) -> None:
    """The prompt's size, the number of tries, and limits that were not reached."""
    runs = one_run(reason, **cost)
    again = runs.by_number[1].again(REQUEST)
    assert again == replace(REQUEST, read_ms=None, **wanted)


def test_files_that_changed_are_told_and_do_no_harm() -> None:
    """The recorded context is used; each run is asked once."""
    runs = one_run()
    asked = replace(REQUEST, context=(), sampling=Sampling())
    run = runs.take(asked)
    assert run is not None
    assert run.changed == ("context",)
    assert run.again(asked).context == REQUEST.context
    assert runs.take(asked) is None
    assert runs.unexpected == 1


def test_another_hole_is_another_run() -> None:
    """And so is another purpose."""
    for other in ({"prefix": "z"}, {"suffix": "z"}, {"priority": Priority.PREFETCH}, {"tries": 4}):
        assert one_run().take(replace(REQUEST, **other)) is None


@pytest.mark.parametrize(
    ("text", "tokens", "reason", "agrees"),
    [
        ("ab", (1, 2), FinishReason.LINE, True),
        ("ab", (1, 3), FinishReason.LINE, False),
        ("ab", (1, 2, 0), FinishReason.LINE, True),
        ("abc", (1, 2, 3), FinishReason.LINE, False),
        ("a", (1,), FinishReason.CANCELLED, True),
        ("abc", (1, 2, 3), FinishReason.TIME_LIMIT, True),
        ("b", (2,), FinishReason.CANCELLED, False),
        ("a", (2,), FinishReason.SUPERSEDED, False),
    ],
)
def test_runs_agree_as_far_as_both_went(
    text: str, tokens: tuple[int, ...], reason: FinishReason, *, agrees: bool
) -> None:
    """Only time may end one of them earlier."""
    then = Written("ab", (1, 2), FinishReason.LINE)
    assert Written(text, tokens, reason).agrees_with(then) is agrees


async def test_no_text_is_read_before_it_was_then() -> None:
    """The engine has written all of it; the end comes last."""
    runs = one_run()
    engine = runs.opener(opener(writing("abc")))(EngineConfig("m"), lambda *_: None)
    stream = engine.infill(REQUEST)
    run, read = runs.by_number[1], list[str]()

    async def read_all() -> None:
        async for chunk in stream:
            read.append("end" if chunk.stats else chunk.text)

    reading = asyncio.create_task(read_all())
    seen = []
    for characters in (0, 1, 2, None):
        run.gate.let(characters)
        for _ in range(10):
            await asyncio.sleep(0)
        seen.append([*read])
    await reading
    assert seen == [[], ["a"], ["a", "b"], ["a", "b", "c", "end"]]
    assert run.now == Written("abc", (), FinishReason.END_OF_MIDDLE)
