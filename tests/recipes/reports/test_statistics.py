"""Intervals, paired tests and pass@k, against figures from elsewhere and brute force."""

from __future__ import annotations

import math
from itertools import combinations

import pytest

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.reports.statistics import (
    mean_interval,
    paired,
    pass_at_k,
    rate,
    ratio_interval,
    sign_flip_p,
)


def test_wilsons_interval_is_the_textbooks() -> None:
    """15 of 20 (Newcombe 1998 gives the method; the figures are its formula by hand)."""
    found = rate([True] * 15 + [False] * 5)
    assert (found.count, found.trials, found.rate) == (15, 20, 0.75)
    assert (found.low, found.high) == pytest.approx((0.5313, 0.8881), abs=1e-4)


def test_the_interval_stays_within_0_and_1() -> None:
    """And says something even where all outcomes are equal; nothing is known without any."""
    none, every = rate([False] * 10), rate([True] * 10)
    assert none.low == 0.0
    assert none.high == pytest.approx(1 - every.low)
    assert every.high == pytest.approx(1.0)
    assert every.low == pytest.approx(0.7225, abs=1e-4)
    assert (rate([]).low, rate([]).high) == (0.0, 1.0)


def test_pairs_are_counted_and_only_the_differing_ones_decide() -> None:
    """1 against 8 of 9: p is 2 * (1 + 9) / 2**9."""
    pairs = [(True, False)] + [(False, True)] * 8 + [(True, True)] * 50 + [(False, False)] * 7
    found = paired(pairs)
    assert (found.tasks, found.both, found.neither) == (66, 50, 7)
    assert (found.only_first, found.only_second) == (1, 8)
    assert found.p == pytest.approx(20 / 512)
    assert paired([(True, True)] * 9).p == 1.0
    assert paired([(True, False), (False, True)]).p == 1.0


@pytest.mark.parametrize(("samples", "passed"), [(6, 0), (6, 2), (6, 5), (6, 6)])
def test_pass_at_k_is_the_share_of_draws_with_a_pass(samples: int, passed: int) -> None:
    """Counted over all draws of k samples."""
    outcomes = [True] * passed + [False] * (samples - passed)
    for k in range(1, samples + 1):
        draws = list(combinations(outcomes, k))
        share = sum(map(any, draws)) / len(draws)
        assert pass_at_k(samples, passed, k) == pytest.approx(share)


def test_k_is_at_most_the_number_of_samples() -> None:
    """There is no unbiased estimate beyond."""
    with pytest.raises(InvalidRequestError, match="k is 4; it must be 1 to the number of samples"):
        pass_at_k(3, 1, 4)


def test_the_bootstrap_draws_whole_groups() -> None:
    """Within one group nothing varies; across two, the mean may be either group's."""
    assert mean_interval([[0.0, 1.0, 0.5]]) == (0.5, 0.5)
    assert mean_interval([[0.0, 0.0], [1.0]]) == (0.0, 1.0)
    low, high = mean_interval([[float(number % 2)] for number in range(400)])
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 20, rel=0.15)
    assert math.isnan(mean_interval([[]])[0])


def test_a_ratio_is_of_the_drawn_sums() -> None:
    """Not the mean of ratios; without anything in the second place it has no upper end."""
    assert ratio_interval([[(3.0, 1.0), (1.0, 1.0)]]) == (2.0, 2.0)
    low, high = ratio_interval([[(4.0, 1.0)], [(1.0, 2.0)]])
    assert (low, high) == (0.5, 4.0)
    assert ratio_interval([[(1.0, 0.0)]]) == (math.inf, math.inf)
    assert ratio_interval([[(0.0, 0.0)]]) == (1.0, 1.0)
    assert all(map(math.isnan, ratio_interval([])))


def test_signs_of_whole_groups_are_flipped() -> None:
    """All 2**n ways by hand: 10 groups of one sign are 2 of 1,024, one group is no evidence."""
    assert sign_flip_p([[1.0]] * 10) == pytest.approx(2 / 1024, abs=0.0015)
    assert sign_flip_p([[1.0] * 10]) == 1.0
    assert sign_flip_p([[1.0], [-1.0]]) == 1.0
    assert sign_flip_p([[0.4, -0.1], [0.2], [0.3]]) == pytest.approx(0.25, abs=0.02)
