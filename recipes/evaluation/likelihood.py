"""How probable a model finds what really stands in a hole: a measure that sees near misses.

The middle is forced token by token (teacher forcing) behind the very prompt that a completion
would get, healing included: the tokens spell the bytes that healing holds back and then the middle.
What was computed for a completion of the same prompt is taken from the engine's cache.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from midfill.engine.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.engine import Engine
    from midfill.engine.api import CompletionRequest
    from midfill.engine.generation.machine import Machine

    Scorer = Callable[[CompletionRequest, str], float]

CHUNK = 256
"""Tokens of a forward pass."""
MARGIN = 16
"""Tokens of the model's context set aside, as in a completion."""


def scorer(engine: Engine) -> Scorer:
    """``bits_per_byte`` on an engine's machine; not a number where the machine is out of reach."""
    if not isinstance(engine, Runtime):
        return lambda _request, _middle: math.nan
    machine = engine.machine
    return lambda request, middle: bits_per_byte(machine, request, middle)


def bits_per_byte(machine: Machine, request: CompletionRequest, middle: str) -> float:
    """Bits that the middle takes in the hole of a request, over its bytes.

    Use it only while no request runs on the machine.
    """
    room = machine.context_length - request.max_tokens - MARGIN
    budget = min(request.max_prompt_tokens, room)
    prompt = machine.prompter.build(request, budget, machine.cache.match)
    forced = machine.tokenizer.encode((prompt.held + middle.encode()).decode(), leading_space=False)
    nats = _nats(machine, prompt.ids, forced)
    return nats / math.log(2) / max(1, len(middle.encode()))


def _nats(machine: Machine, prompt: list[int], forced: list[int]) -> float:
    """The nats of all forced tokens behind the prompt, each given what is before it."""
    model, ids = machine.model, [*prompt, *forced]
    slot = machine.cache.take(prompt)
    while slot.length < len(prompt) - 1:
        model.forward(ids[slot.length : min(slot.length + CHUNK, len(prompt) - 1)], slot)
    hidden = model.forward(ids[slot.length : -1], slot)
    logits = model.logits(hidden[-len(forced) :])
    wanted = torch.tensor(forced, device=logits.device)
    chosen = logits.gather(1, wanted[:, None])[:, 0]
    return float((logits.logsumexp(-1) - chosen).sum())
