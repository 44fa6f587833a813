"""The parts of a training's step: the rate, the rows and who gets them, what each loss counts."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from midfill.recipes.training.config import Stage, TrainConfig
from midfill.recipes.training.shards import Repeated, TokenRow
from midfill.recipes.training.state import Group
from midfill.recipes.training.steps import batches, lay_out, learning_rate, next_rows, share

if TYPE_CHECKING:
    from collections.abc import Sequence

STAGE = Stage("one", "rows", 2400, 5e-3, 1e-3, warmup_tokens=600)
FIM_MIDDLE = 9


def row(length: int, middle: int | None = None, prefix: int = 0) -> TokenRow:
    """A row of so many tokens; by default without a middle, or in SPM with a prefix before it."""
    ids = np.zeros(length, np.uint16)
    if middle is not None:
        ids[middle - prefix - 1] = FIM_MIDDLE
    return TokenRow(ids, length if middle is None else middle)


def test_the_learning_rate_rises_then_goes_straight_to_its_last_value() -> None:
    """By tokens, not by steps."""
    rates = [learning_rate(STAGE, tokens) for tokens in (0, 300, 600, 1200, 2400, 9999)]

    assert rates == pytest.approx([0, 2.5e-3, 4e-3, 3e-3, 1e-3, 1e-3])


def test_where_time_is_short_it_falls_with_the_time() -> None:
    """By what is nearer its end."""
    stage = replace(STAGE, minutes=2.0)

    rates = [learning_rate(stage, 1200, seconds) for seconds in (0, 60, 90, 120, 500)]

    assert rates == pytest.approx([3e-3, 3e-3, 2e-3, 1e-3, 1e-3])


def test_rows_of_a_step_are_those_that_come_next() -> None:
    """Until there are enough tokens, behind the last one from the first on."""
    rows = Repeated([row(10), row(20), row(30)])

    assert [len(r.ids) for r in next_rows(rows, 2, 50)] == [30, 10, 20]


def test_batches_hold_as_much_as_fits() -> None:
    """A row that is too long is alone."""
    sizes = [[len(r.ids) for r in batch] for batch in batches([row(n) for n in (4, 5, 20, 3)], 10)]

    assert sizes == [[4, 5], [20], [3]]


def test_a_step_is_dealt_out_evenly_and_completely() -> None:
    """Each row to one process."""
    rows = [row(n) for n in range(5, 60, 3)]
    rng = Random(1)
    rng.shuffle(rows)
    cpu = torch.device("cpu")

    parts: Sequence[list[TokenRow]] = [share(rows, Group(rank, 3, cpu)) for rank in range(3)]

    assert sorted(len(r.ids) for part in parts for r in part) == sorted(len(r.ids) for r in rows)
    loads = [sum(len(r.ids) for r in part) for part in parts]
    assert max(loads) - min(loads) < 60


def test_losses_count_on_middles_and_in_rows_without_one() -> None:
    """The first token of a middle is predicted by the last one before it.

    A prefix that runs into its middle counts nothing.
    """
    settings = TrainConfig("x", "y", (STAGE,), around_weight=0.25, text_weight=0.5)

    batch = lay_out([row(6, 4), row(4), row(6, 4, prefix=2)], settings, FIM_MIDDLE, 3.0)

    assert batch.lengths == [6, 4, 6]
    psm, text, spm = np.split(batch.weights, [6, 10])
    assert psm.tolist() == [0.25, 0.25, 0.25, 1.0, 3.0, 0.0]
    assert text.tolist() == [0.5, 0.5, 0.5, 0.0]
    assert spm.tolist() == [0.25, 0.0, 0.0, 1.0, 3.0, 0.0]
    assert batch.inside.nonzero()[0].tolist() == [3, 4, 13, 14]


def test_padding_is_a_row_that_counts_nothing() -> None:
    """And changes none of the others."""
    settings, rows = TrainConfig("x", "y", (STAGE,)), [row(6, 4), row(4)]
    plain, padded = (lay_out(rows, settings, FIM_MIDDLE, pad_to=n) for n in (9, 15))

    assert plain.lengths == [6, 4]
    assert padded.lengths == [6, 4, 5]
    assert padded.ids.tolist() == [*plain.ids, 0, 0, 0, 0, 0]
    assert padded.weights.tolist() == [*plain.weights, 0, 0, 0, 0, 0]
    assert not padded.inside[10:].any()
