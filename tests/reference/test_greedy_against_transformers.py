"""Greedy outputs of the real model are those of transformers, up to ties.

We decode token by token, through the cache. Transformers is given the prompt and our output in one
pass: its own greedy output is the same as ours up to the first position where its likeliest token
is another, and that is all the comparison needs. (Its ``generate`` takes far longer.)
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.real_model, pytest.mark.timeout(600)]

NEAR_TIE = 1e-3


class Parting(NamedTuple):
    """Where our greedy output leaves theirs."""

    place: int
    ours: int
    theirs: torch.Tensor
    """Logits, (V,)."""


def parting(output: Sequence[int], logits: torch.Tensor) -> Parting | None:
    """The first token of our output that is not the likeliest one by their logits, (T, V)."""
    pairs = enumerate(zip(output, logits, strict=True))
    found = ((n, ours, row) for n, (ours, row) in pairs if int(row.argmax()) != ours)
    return next((Parting(*each) for each in found), None)


@pytest.fixture(scope="module")
def their_logits(
    reference: PreTrainedModel, prompts: list[list[int]], their_states: list[torch.Tensor]
) -> list[torch.Tensor]:
    """Logits of each place of each output, (T, V)."""
    with torch.inference_mode():
        return [
            reference.lm_head(states[len(ids) - 1 :])
            for ids, states in zip(prompts, their_states, strict=True)
        ]


@pytest.fixture(scope="module")
def partings(outputs: list[list[int]], their_logits: list[torch.Tensor]) -> list[Parting | None]:
    """For each prompt, where the outputs part, or None."""
    return [parting(*pair) for pair in zip(outputs, their_logits, strict=True)]


def test_at_least_18_of_20_outputs_are_identical(
    outputs: list[list[int]], partings: list[Parting | None]
) -> None:
    """64 tokens each."""
    logger.info("identical: %d of %d", partings.count(None), len(partings))
    assert [len(output) for output in outputs] == [64] * 20
    assert partings.count(None) >= 18


def test_where_outputs_part_the_two_likeliest_tokens_are_nearly_tied(
    partings: list[Parting | None],
) -> None:
    """Only rounding may decide."""
    for found in filter(None, partings):
        logits, tokens = found.theirs.topk(2)
        assert found.ours == tokens[1]
        assert logits[0] - logits[1] <= NEAR_TIE


def test_one_wrong_token_is_a_parting(
    outputs: list[list[int]], their_logits: list[torch.Tensor]
) -> None:
    """Anywhere, so that outputs that differ are never taken for identical ones."""
    for place, (output, logits) in enumerate(zip(outputs, their_logits, strict=True)):
        wrong = [*output[:place], output[place] + 1, *output[place + 1 :]]
        found = parting(wrong, logits)
        assert found is not None
        assert found.place <= place
