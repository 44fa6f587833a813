"""The boundary's values: what is out of range is refused by name, value and allowed range."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from midfill.engine.api import (
    CompletionChunk,
    CompletionRequest,
    CompletionStats,
    EngineConfig,
    FinishReason,
    Order,
    Priority,
    Sampling,
    Scope,
)
from midfill.engine.errors import InvalidRequestError

OUT_OF_RANGE: list[tuple[type[Any], str, object, str]] = [
    (Sampling, "temperature", -0.1, "0 (greedy) or more"),
    (Sampling, "temperature", math.nan, "0 (greedy) or more"),
    (Sampling, "top_k", -1, "0 (off) or more"),
    (Sampling, "top_p", 0.0, "over 0 and at most 1 (off)"),
    (Sampling, "top_p", 1.5, "over 0 and at most 1 (off)"),
    (Sampling, "min_p", -0.5, "0 (off) or more and under 1"),
    (Sampling, "min_p", 1.0, "0 (off) or more and under 1"),
    (Sampling, "repetition_penalty", 0.0, "over 0"),
    (Sampling, "seed", -1, "0 to 2**63 - 1"),
    (Sampling, "seed", 2**63, "0 to 2**63 - 1"),
    (CompletionRequest, "max_tokens", -1, "0 to 65536"),
    (CompletionRequest, "max_tokens", 65537, "0 to 65536"),
    (CompletionRequest, "max_prompt_tokens", 15, "16 to 1048576"),
    (CompletionRequest, "max_prompt_tokens", 2**20 + 1, "16 to 1048576"),
    (CompletionRequest, "time_limit_ms", 0, "1 or more"),
    (EngineConfig, "threads", -1, "0 (automatic) to 1024"),
    (EngineConfig, "threads", 1025, "0 (automatic) to 1024"),
    (EngineConfig, "cache_slots", 0, "1 to 64"),
    (EngineConfig, "cache_slots", 65, "1 to 64"),
    (EngineConfig, "context_length", -1, "0 (the model's) to 1048576"),
    (EngineConfig, "context_length", 10**12, "0 (the model's) to 1048576"),
    (EngineConfig, "prefill_chunk", -1, "0 or more"),
]

REQUIRED = {CompletionRequest: {"prefix": ""}, EngineConfig: {"model": "tiny"}, Sampling: {}}


@pytest.mark.parametrize(("kind", "name", "value", "allowed"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused(
    kind: type[Any], name: str, value: object, allowed: str
) -> None:
    """The message has all that the caller needs to put it right."""
    with pytest.raises(InvalidRequestError) as refused:
        kind(**(REQUIRED[kind] | {name: value}))
    assert str(refused.value) == f"{name} is {value!r}; it must be {allowed}"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Sampling, {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 0}),
        (Sampling, {"temperature": 2.0, "top_p": 0.01, "min_p": 0.99, "seed": 2**63 - 1}),
        (CompletionRequest, {"max_tokens": 0, "max_prompt_tokens": 16, "time_limit_ms": 1}),
        (CompletionRequest, {"max_tokens": 65536, "max_prompt_tokens": 2**20}),
        (EngineConfig, {"threads": 1024, "cache_slots": 64, "context_length": 0}),
    ],
)
def test_the_ends_of_a_range_belong_to_it(kind: type[Any], values: dict[str, object]) -> None:
    """Nothing is refused that the message allows."""
    built = kind(**(REQUIRED[kind] | values))
    assert {name: getattr(built, name) for name in values} == values


def test_a_request_needs_a_prefix_only() -> None:
    """And is greedy, healed, for the command line, in whichever order is cheaper."""
    request = CompletionRequest("x = ")
    assert request.sampling == Sampling(temperature=0.0)
    assert request.heal
    assert (request.order, request.scope) == (Order.AUTO, Scope.AUTO)
    assert request.priority is Priority.COMMAND_LINE


def test_values_cannot_be_changed_once_built() -> None:
    """They cross threads."""
    for value in (CompletionRequest(""), Sampling(), EngineConfig("tiny"), CompletionChunk("")):
        with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
            setattr(value, next(iter(type(value).__slots__)), None)


def test_typing_goes_before_everything_else() -> None:
    """The smaller value is the more urgent one."""
    assert sorted(Priority) == [
        Priority.TYPING,
        Priority.INVOKED,
        Priority.COMMAND_LINE,
        Priority.PREFETCH,
        Priority.PREWARM,
    ]


def test_stats_are_zero_where_no_work_was_done() -> None:
    """So a completion that was dropped from the queue costs nothing."""
    stats = CompletionStats(FinishReason.SUPERSEDED)
    assert (stats.prompt_tokens, stats.generated_tokens, stats.decode_ms) == (0, 0, 0.0)


def test_the_boundary_is_importable_without_torch() -> None:
    """The language server answers ``initialize`` before torch is there."""
    code = "import midfill.engine, midfill.engine.api, sys; print('torch' in sys.modules)"
    run = [sys.executable, "-P", "-c", code]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == "False\n"
