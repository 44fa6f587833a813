"""Matrices: a product, and how big they are."""

from __future__ import annotations

import pytest
import torch

from midfill.engine.model.linear import DenseLinear


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_dense_matrix_multiplies_from_the_right(dtype: torch.dtype) -> None:
    """``x @ W.T`` in x's dtype; with small integers both dtypes are exact."""
    weight = torch.arange(6, dtype=dtype).view(3, 2)
    x = torch.tensor([[1.0, 2.0], [-1.0, 3.0]], dtype=dtype)
    y = DenseLinear(weight)(x)
    assert y.dtype is dtype
    assert y.tolist() == [[2.0, 8.0, 14.0], [3.0, 7.0, 11.0]]


def test_a_matrix_knows_its_size() -> None:
    """In weights."""
    assert DenseLinear(torch.zeros(3, 2)).parameters == 6
