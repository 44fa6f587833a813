"""Sums over one row of logits, and its greatest ones.

They run in numpy: for one row of 50,000 logits torch needs ten times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from midfill.engine.errors import CorruptModelError

if TYPE_CHECKING:
    from collections.abc import Collection

    import torch
    from numpy.typing import NDArray

_NEAR = 8.0
"""Logits below the greatest one."""


def probability(logits: torch.Tensor, ids: Collection[int]) -> float:
    """That any of these tokens comes next, by raw logits, (V,); ids beyond them count nothing."""
    row = logits.cpu().numpy()
    known = [token_id for token_id in ids if token_id < len(row)]
    return float(np.exp(log_total(row[known]) - log_total(row))) if known else 0.0


def log_total(row: NDArray[np.float32], scratch: NDArray[np.float32] | None = None) -> float:
    """The logarithm of the sum of all exponentials, (n,), of which one at least is not 0.

    Raises:
        CorruptModelError: a logit is not a number, or infinite.
    """
    top = row.max()
    if not np.isfinite(top):
        raise CorruptModelError(
            f"the model computes {top} instead of numbers: its weights are damaged, or too large"
            " for this format; midfill models verify checks them, dtype fp32 has the widest range"
        )
    shifted = np.subtract(row, top, out=scratch)
    return float(top + np.log(np.exp(shifted, out=shifted).sum()))


def likeliest(row: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The places of the greatest of some logits, (n,), in no order."""
    near = np.flatnonzero(row > row.max() - _NEAR)  # looking for places takes long in all of them
    if len(near) < count:
        near = np.arange(len(row))
    best: NDArray[np.int64] = near[np.argpartition(row[near], -min(count, len(near)))[-count:]]
    return best
