"""Quantized matrices times bytes, as each processor's kernels do it, against exact arithmetic."""

from __future__ import annotations

from ctypes import byref, pointer
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from processors import PROCESSORS, kernels_for

from midfill.engine.kernels import quantization
from midfill.engine.kernels.bindings import Arena, CDecoder, CLayer, load
from midfill.engine.kernels.quantization import GROUP, NESTED, Form, GroupedMatrix

if TYPE_CHECKING:
    import ctypes

ROWS = 21
"""A whole panel and part of one."""
TOKENS = (*range(1, 10), 13, 16, 17, 50, 64, 256)
"""Each number that has code of its own, and more than stay in registers."""
WORTH_TILES = 16
"""As in matrix.c."""
FORMS = [
    Form(8, has_offsets=False),
    Form(4, has_offsets=True),
    Form(4, has_offsets=False),
    Form(4, has_offsets=True, is_nested=True),
]


def some_matrix(columns: int, form: Form, rows: int = ROWS) -> GroupedMatrix:
    """Random quants; the first two rows have only the least and only the largest one."""
    random = np.random.default_rng(columns)
    groups = -(-columns // GROUP)
    quants = random.integers(0, 256, (rows, groups, GROUP * form.bits // 8), np.uint8)
    quants[0], quants[1] = 0, 255
    shared = -(-groups // NESTED) if form.is_nested else groups
    scales, offsets = random.uniform(-1, 1, (2, rows, shared)).astype(np.float16)
    factors = random.integers(0, 64, (rows, groups, 2), np.uint8) if form.is_nested else None
    return GroupedMatrix(columns, quants, scales, offsets if form.has_offsets else None, factors)


def some_activations(columns: int) -> torch.Tensor:
    """Vectors of bytes, their scales 1: one as large as can be, one as small, a random one, ..."""
    random = np.random.default_rng(columns)
    values = random.integers(-127, 128, (max(TOKENS) + 3, columns)).astype(np.float32)
    values[:, ::GROUP] = 127
    values[::3], values[1::3] = 127, -127
    return torch.from_numpy(values)


def multiply(library: ctypes.CDLL, matrix: GroupedMatrix, vectors: torch.Tensor) -> torch.Tensor:
    """What the kernels make of (T, columns), (T, rows): the matrix is a decoder's head."""
    arena = Arena(quantization.packed_bytes(matrix.rows, matrix.columns, matrix.form))
    decoder = CDecoder(
        layers=1, hidden=matrix.columns, intermediate=matrix.columns, query_heads=1, kv_heads=1,
        head_dim=16, lm_head=arena.matrix(arena.put(matrix)), layer=pointer(CLayer()),
    )  # fmt: skip
    out = torch.empty(len(vectors), matrix.rows)
    session = library.midfill_open(byref(decoder), 1)
    library.midfill_logits(session, vectors.data_ptr(), len(vectors), out.data_ptr())
    library.midfill_close(session)
    return out


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("columns", [8, 32, 72, 160])
@pytest.mark.parametrize("processor", ["this one", *PROCESSORS])
def test_products_are_exact(processor: str, columns: int, form: Form) -> None:
    """But for the rounding of fp32 where groups are added up, five of them at most.

    With tiles many tokens are multiplied in bf16, which rounds weights to 8 bits.
    """
    library = load() if processor == "this one" else kernels_for(processor)
    matrix, activations = some_matrix(columns, form), some_activations(columns).double()
    weights = torch.from_numpy(quantization.dequantize(matrix)).double()
    for tokens in TOKENS:
        for first in range(3):
            vectors = activations[first : first + tokens]
            size = vectors.abs() @ weights.abs().T
            error = multiply(library, matrix, vectors.float()) - vectors @ weights.T
            is_tiled = library.has_tiles() and tokens >= WORTH_TILES
            tolerance = 1 / 256 if is_tiled else 1e-5
            assert (error.abs() / size).max() < tolerance, (tokens, first)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("processor", ["this one", *PROCESSORS])
def test_panels_with_long_rows_are_multiplied_side_by_side(processor: str, form: Form) -> None:
    """Four at once by one token, and the one that is left over; by two tokens one after another."""
    library = load() if processor == "this one" else kernels_for(processor)
    matrix, activations = some_matrix(3104, form, rows=70), some_activations(3104).double()
    weights = torch.from_numpy(quantization.dequantize(matrix)).double()
    for tokens in (1, 2):
        vectors = activations[2 : 2 + tokens]
        error = multiply(library, matrix, vectors.float()) - vectors @ weights.T
        assert (error.abs() / (vectors.abs() @ weights.abs().T)).max() < 1e-5
