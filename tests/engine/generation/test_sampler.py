"""The choice of a token: options against their definitions, and what must hold for all of them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from midfill.engine.api import Sampling
from midfill.engine.generation.sampler import Sampler, truncate
from midfill.engine.model.logits import likeliest

VOCABULARY = 12
PADDED = 16

logit = st.floats(-20, 20, width=32)
logit_rows = st.lists(logit, min_size=PADDED, max_size=PADDED).map(torch.tensor)
samplings = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.01, 0.7, 1.0, 5.0]),
    top_k=st.integers(0, 14),
    top_p=st.floats(0.01, 1.0),
    min_p=st.floats(0.0, 0.99),
    repetition_penalty=st.sampled_from([0.5, 1.0, 1.3]),
    seed=st.integers(0, 2**63 - 1),
)
allowed_sets = st.sets(st.integers(0, VOCABULARY - 1), min_size=1).map(
    lambda ids: np.array(sorted(ids), dtype=np.int64)
)
histories = st.lists(st.integers(0, VOCABULARY - 1), max_size=6)


def choices(sampling: Sampling, logits: torch.Tensor, count: int) -> list[int]:
    """What one sampler chooses, one after the other."""
    sampler = Sampler(sampling, len(logits))
    return [sampler.choose(logits, []).id for _ in range(count)]


def reference_truncate(probabilities: list[float], options: Sampling) -> list[float]:
    """Each option by its definition: likeliest first, the earlier one on a tie."""
    order = sorted(range(len(probabilities)), key=lambda i: -probabilities[i])
    kept, before = [], 0.0
    for rank, i in enumerate(order):
        p = probabilities[i]
        in_k = not options.top_k or rank < options.top_k
        in_p = options.top_p == 1.0 or before < options.top_p
        if in_k and in_p and p >= options.min_p * probabilities[order[0]]:
            kept.append(i)
        before += p
    return [p if i in kept else 0.0 for i, p in enumerate(probabilities)]


@given(logits=logit_rows, options=samplings, allowed=allowed_sets, history=histories)
@settings(deadline=None)
def test_only_what_is_allowed_is_chosen(
    logits: torch.Tensor, options: Sampling, allowed: np.ndarray, history: list[int]
) -> None:
    """With any options; and the log-probability is the model's own."""
    token = Sampler(options, VOCABULARY).choose(logits, history, allowed)
    assert token.id in allowed
    expected = torch.log_softmax(logits[:VOCABULARY], 0)[token.id]
    assert token.logprob == pytest.approx(float(expected), abs=1e-4)


@given(logits=logit_rows, options=samplings, history=histories)
@settings(deadline=None)
def test_padding_rows_are_never_chosen(
    logits: torch.Tensor, options: Sampling, history: list[int]
) -> None:
    """Though their logits may be the largest; nor do they count in the log-probability."""
    logits[VOCABULARY:] = 100.0
    token = Sampler(options, VOCABULARY).choose(logits, history)
    assert 0 <= token.id < VOCABULARY
    expected = torch.log_softmax(logits[:VOCABULARY], 0)[token.id]
    assert token.logprob == pytest.approx(float(expected), abs=1e-4)


@given(logits=logit_rows)
@settings(deadline=None)
def test_greedy_takes_the_largest(logits: torch.Tensor) -> None:
    """And so does sampling from the best one only, or at hardly any temperature.

    As far as their probabilities differ: 0 and -1e-20 are equally probable in fp32. Logits that are
    as near to each other as the temperature is low are none of this test's.
    """
    best = float(logits.max())
    assert float(logits[choices(Sampling(), logits, 1)[0]]) == best
    only = Sampling(temperature=1.0, top_k=1, seed=1)
    probabilities = logits.softmax(0)
    assert probabilities[choices(only, logits, 1)[0]] == probabilities.max()
    assume(not ((logits < best) & (best - logits < 1e-27)).any())
    [cold] = choices(Sampling(temperature=1e-30, seed=1), logits, 1)
    probabilities = (logits / 1e-30).softmax(0)
    assert probabilities[cold] == probabilities.max()


@given(logits=logit_rows, seed=st.integers(0, 2**63 - 1))
@settings(deadline=None, max_examples=20)
def test_a_seed_repeats_the_choices(logits: torch.Tensor, seed: int) -> None:
    """All of them, in order."""
    sampling = Sampling(temperature=1.0, seed=seed)
    assert choices(sampling, logits, 10) == choices(sampling, logits, 10)


def test_without_a_seed_choices_differ() -> None:
    """64 fair coins fall alike twice in a row less than once in 10^18 runs."""
    coin = torch.zeros(2)
    assert choices(Sampling(temperature=1.0), coin, 64) != choices(
        Sampling(temperature=1.0), coin, 64
    )


def test_choices_follow_the_probabilities() -> None:
    """3 : 1 at temperature 1, and 9 : 1 at a half; 4,000 draws, within five deviations."""
    logits = torch.tensor([math.log(3.0), 0.0])
    for temperature, share in ((1.0, 0.75), (0.5, 0.9)):
        counts = Counter(choices(Sampling(temperature=temperature, seed=0), logits, 4000))
        deviation = math.sqrt(4000 * share * (1 - share))
        assert abs(counts[0] - 4000 * share) < 5 * deviation


@given(
    weights=st.lists(st.integers(1, 1000), min_size=1, max_size=12, unique=True), options=samplings
)
@settings(deadline=None)
def test_truncation_equals_its_definition(weights: list[int], options: Sampling) -> None:
    """Top-k, top-p and min-p together; the best one always stays."""
    probabilities = (torch.tensor(weights) / sum(weights)).double()
    ours = truncate(probabilities, options)
    assert ours.tolist() == reference_truncate(probabilities.tolist(), options)
    assert ours[probabilities.argmax()] > 0


def test_the_penalty_lowers_what_was_generated() -> None:
    """A positive logit is divided, a negative one multiplied; once, however often it came."""
    penalized = Sampler(Sampling(repetition_penalty=2.0), 3)
    assert penalized.choose(torch.tensor([3.0, 2.0, -5.0]), [0, 0, 0]).id == 1
    assert penalized.choose(torch.tensor([5.0, 2.0, -5.0]), [0, 0, 0]).id == 0
    assert penalized.choose(torch.tensor([-1.0, -1.5, -5.0]), [0]).id == 1


def test_the_penalty_finds_its_tokens_among_the_allowed() -> None:
    """Their places are others than their ids."""
    sampler = Sampler(Sampling(repetition_penalty=2.0), 8)
    logits = torch.tensor([0, 0, 0, 0, 0, 3.0, 2.0, 9.0])
    assert sampler.choose(logits, [5, 7], np.array([5, 6])).id == 6


def test_the_logits_are_left_as_they_were() -> None:
    """The caller may still need them."""
    logits = torch.tensor([3.0, 2.0, 1.0])
    Sampler(Sampling(temperature=1.0, repetition_penalty=2.0, top_k=1), 2).choose(logits, [0])
    assert logits.tolist() == [3.0, 2.0, 1.0]


@given(row=st.lists(logit, min_size=1, max_size=40), count=st.integers(1, 6))
def test_the_likeliest_are_the_greatest(row: list[float], count: int) -> None:
    """However far below the first they are; all, if there are no more."""
    found = likeliest(np.array(row, np.float32), count)

    assert len({*found.tolist()}) == min(count, len(row))
    assert sorted(row[place] for place in found) == sorted(row)[-count:]
