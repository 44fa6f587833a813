"""How sure a measured rate is, whether two rates differ, and pass@k without bias."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_Z = 1.959963984540054
"""Standard deviations of the normal distribution, 95 % two-sided."""
RESAMPLES = 2000
PERMUTATIONS = 9999


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of trials, with its 95 % interval (Wilson 1927)."""

    count: int
    trials: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Two ways to do the same tasks, task by task."""

    tasks: int
    both: int
    only_first: int
    only_second: int
    neither: int
    p: float
    """McNemar's exact test, two-sided: how likely so uneven a split of the differing tasks is if
    neither way is better."""


def rate(outcomes: Iterable[bool]) -> Rate:
    """The share of true ones; 0 to 1 is possible if there are none at all."""
    values = list(outcomes)
    count, trials = sum(values), len(values)
    if not trials:
        return Rate(0, 0, 0.0, 0.0, 1.0)
    share, spread = count / trials, _Z**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return Rate(count, trials, share, max(0.0, centre - half), min(1.0, centre + half))


def paired(pairs: Iterable[tuple[bool, bool]]) -> Paired:
    """Two outcomes of each task, compared (McNemar 1947)."""
    values = list(pairs)
    first = sum(a and not b for a, b in values)
    second = sum(b and not a for a, b in values)
    both = sum(a and b for a, b in values)
    neither = len(values) - first - second - both
    return Paired(len(values), both, first, second, neither, _binomial_p(first, second))


def _binomial_p(first: int, second: int) -> float:
    differing = first + second
    tail = sum(math.comb(differing, few) for few in range(min(first, second) + 1))
    return min(1.0, float(2 * tail / 2**differing))


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The chance that one of k samples passes (Chen et al. 2021, equation 1), unbiased.

    Raises:
        InvalidRequestError: k is not 1 to the number of samples.
    """
    if not 1 <= k <= samples:
        raise InvalidRequestError(f"k is {k}; it must be 1 to the number of samples, {samples}")
    if samples - passed < k:
        return 1.0
    return 1.0 - math.prod(1.0 - k / (failed + 1) for failed in range(samples - passed, samples))


def mean_interval(groups: Sequence[Sequence[float]], seed: int = 0) -> tuple[float, float]:
    """The interval that the mean of all values lies in, 95 %: a bootstrap over whole groups.

    Values of one group, such as points of one file, are not independent; groups are drawn.
    """
    sums = [(sum(group), len(group)) for group in groups if group]
    if not sums:
        return math.nan, math.nan
    draw = random.Random(seed)  # noqa: S311  drawn, not secret
    means = []
    for _ in range(RESAMPLES):
        drawn = draw.choices(sums, k=len(sums))
        means.append(sum(value for value, _ in drawn) / sum(count for _, count in drawn))
    means.sort()
    return means[RESAMPLES * 25 // 1000], means[RESAMPLES * 975 // 1000 - 1]


def ratio_interval(groups: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, float]:
    """The interval of the ratio of the sums of first and second values, as in ``mean_interval``.

    A draw whose second values are all 0 counts as infinite, or as 1 if the first are too.
    """
    sums = [(sum(a for a, _ in group), sum(b for _, b in group)) for group in groups if group]
    if not sums:
        return math.nan, math.nan
    draw = random.Random(0)  # noqa: S311  drawn, not secret
    ratios = []
    for _ in range(RESAMPLES):
        drawn = draw.choices(sums, k=len(sums))
        above, below = sum(a for a, _ in drawn), sum(b for _, b in drawn)
        ratios.append(above / below if below else math.inf if above else 1.0)
    ratios.sort()
    return ratios[RESAMPLES * 25 // 1000], ratios[RESAMPLES * 975 // 1000 - 1]


def sign_flip_p(groups: Sequence[Sequence[float]], seed: int = 0) -> float:
    """How likely so large a sum of differences is if their signs are chance, two-sided.

    A permutation test (Fisher 1935) with ``PERMUTATIONS`` random draws: the differences of a group,
    such as points of one file, keep their signs to each other.
    """
    sums = [sum(group) for group in groups]
    draw = random.Random(seed)  # noqa: S311  drawn, not secret
    observed = abs(sum(sums)) * (1 - 1e-12)
    as_large = sum(
        abs(sum(value if draw.random() < 0.5 else -value for value in sums)) >= observed
        for _ in range(PERMUTATIONS)
    )
    return (as_large + 1) / (PERMUTATIONS + 1)
