"""Forced middles: the figure of one plain pass over all tokens, whatever the cache holds."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fakes import FakeEngine
from tiny_engine import complete, machine, new_slot

from midfill.engine.api import CompletionRequest, ContextPiece, Order
from midfill.engine.generation.machine import Machine
from midfill.recipes.evaluation.likelihood import bits_per_byte, scorer

REQUEST = CompletionRequest(
    prefix="def f(width):\n    size = wid",
    suffix="\n    return size\n",
    context=(ContextPiece("a.py", "width = 2\n" * 30),),
    max_tokens=4,
)
MIDDLE = "th * 2"


def plainly(parts: Machine, request: CompletionRequest, middle: str) -> float:
    """All tokens in one pass, and each one's loss."""
    prompt = parts.prompter.build(request, 400, lambda _: 0)
    forced = parts.tokenizer.encode(prompt.held.decode() + middle)
    ids = prompt.ids + forced
    losses = -parts.model.logits(parts.model.forward(ids, new_slot())).log_softmax(-1)
    nats = sum(float(losses[at - 1, ids[at]]) for at in range(len(prompt.ids), len(ids)))
    return nats / math.log(2) / len(middle)


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
@pytest.mark.parametrize("heal", [True, False])
def test_it_is_what_one_pass_over_all_tokens_gives(order: Order, *, heal: bool) -> None:
    """The bytes that healing holds back are spelled first, as they are generated first."""
    parts, request = machine(), replace(REQUEST, order=order, heal=heal)
    assert bits_per_byte(parts, request, MIDDLE) == pytest.approx(
        plainly(parts, request, MIDDLE), rel=1e-4
    )


def test_it_is_the_same_behind_a_completion_of_the_same_prompt() -> None:
    """Which leaves the prompt in the cache, with other tokens behind it."""
    parts, request = machine(), replace(REQUEST, order=Order.SPM)
    alone = bits_per_byte(machine(), request, MIDDLE)
    complete(parts, request)
    assert bits_per_byte(parts, request, MIDDLE) == pytest.approx(alone, rel=1e-4)
    assert bits_per_byte(parts, request, MIDDLE) == pytest.approx(alone, rel=1e-4)


def test_a_likelier_middle_takes_fewer_bits() -> None:
    """Single tokens, in the order of their logits."""
    parts = machine()
    request = replace(REQUEST, heal=False)
    words = [w for w in "abcdefgh" if len(parts.tokenizer.encode(w)) == 1]
    bits = {w: bits_per_byte(parts, request, w) for w in words}
    first = parts.prompter.build(request, 400, lambda _: 0)
    row = parts.model.logits(parts.model.forward(first.ids, new_slot())[-1:])[0]
    by_logit = sorted(words, key=lambda w: -float(row[parts.tokenizer.encode(w)[0]]))
    assert sorted(words, key=bits.__getitem__) == by_logit


def test_an_engine_elsewhere_has_no_figure() -> None:
    """Not a number, rather than a wrong one."""
    assert math.isnan(scorer(FakeEngine(lambda _: None))(REQUEST, MIDDLE))
