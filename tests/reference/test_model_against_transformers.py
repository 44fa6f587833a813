"""The real model computes what transformers computes, in whatever pieces it is asked to.

Logits are compared in fp32, over all positions and the whole vocabulary. An error is relative to
the largest logit. Two programs that add the same numbers in another order differ by some 1e-6; a
wrong row order, rotation or mask shows at 1e-1. ``--log-cli-level=INFO`` shows the errors.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import torch

from midfill.engine.model.kv_cache import KVCache, Slot
from midfill.engine.model.prefill import Prefiller

if TYPE_CHECKING:
    from greedy import Reading
    from transformers import PreTrainedModel

    from midfill.engine.model.llama import LlamaModel

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.real_model

FROM_REFERENCE = 1e-4
FROM_OURSELVES = 2e-5


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference, as a share of the largest logit."""
    assert ours.shape == theirs.shape
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    logger.info("relative error %.1e", error)
    return error


def whole(model: LlamaModel, ids: list[int], first: int = 0) -> torch.Tensor:
    """Logits after each token from the first of interest on, in one pass over an empty cache."""
    slot = Slot(model.architecture, model.dtype, model.device)
    return model.logits(model.forward(ids, slot)[first:])


@pytest.fixture(scope="module")
def two_prompts(prompts: list[list[int]]) -> list[int]:
    """The first two, as one."""
    return prompts[0] + prompts[1]


@pytest.fixture(scope="module")
def after_two_prompts(model: LlamaModel, two_prompts: list[int]) -> torch.Tensor:
    """Logits behind them, (1, V), where they are read whole."""
    return whole(model, two_prompts, first=-1)


@pytest.mark.parametrize("number", range(20))
def test_logits_equal_those_of_transformers(
    model: LlamaModel,
    reference: PreTrainedModel,
    readings: list[Reading],
    their_states: list[torch.Tensor],
    number: int,
) -> None:
    """After each token of each prompt."""
    ids, _, states = readings[number]
    with torch.inference_mode():
        theirs = reference.lm_head(their_states[number][: len(ids)])
    assert relative_error(model.logits(states), theirs) < FROM_REFERENCE


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_prompt_in_chunks_gives_what_it_gives_whole(
    model: LlamaModel,
    two_prompts: list[int],
    after_two_prompts: torch.Tensor,
    slot: Slot,
    chunk: int,
) -> None:
    """So a prefill can be interrupted anywhere."""
    assert len(two_prompts) > 2 * 64
    hidden = Prefiller(model, chunk).run(two_prompts, slot)
    assert hidden is not None
    assert slot.ids.tolist() == two_prompts
    assert relative_error(model.logits(hidden), after_two_prompts) < FROM_OURSELVES


@pytest.mark.parametrize("shared", [1, 20, 50])
def test_a_prompt_behind_cached_tokens_gives_what_it_gives_alone(
    model: LlamaModel, prompts: list[list[int]], slot: Slot, shared: int
) -> None:
    """Each prompt is made to start like the one before, whose rest is cut off and overwritten."""
    cache = KVCache([slot])
    model.forward(prompts[0], cache.take(prompts[0]))
    for ids in prompts[1:4]:
        mixed = [*slot.ids.tolist()[:shared], *ids]
        taken = cache.take(mixed)
        assert taken.length == shared
        logits = model.logits(model.forward(mixed[shared:], taken))
        assert relative_error(logits, whole(model, mixed, first=shared)) < FROM_OURSELVES
