"""Quantized matrices: GGUF's blocks bit for bit, rounding within half a step, panels in order."""

from __future__ import annotations

from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from midfill.engine.kernels.quantization import (
    GROUP,
    NESTED,
    PANEL,
    Form,
    GroupedMatrix,
    dequantize,
    from_blocks,
    pack,
    packed_bytes,
    quantize,
    stack,
)

INT8, INT4 = Form(8, has_offsets=False), Form(4, has_offsets=True)
INT4_EVEN = Form(4, has_offsets=False)
INT4_NESTED = Form(4, has_offsets=True, is_nested=True)

SHAPES = st.tuples(st.integers(1, 35), st.integers(1, 100))
WEIGHTS = arrays.arrays(
    np.float32, SHAPES, elements=st.floats(-1000, 1000, width=32, allow_subnormal=False)
)


def random_matrix(rows: int, columns: int, bits: int, seed: int = 0) -> GroupedMatrix:
    """A quantized matrix of normal weights."""
    generator = torch.Generator().manual_seed(seed)
    return quantize(torch.randn(rows, columns, generator=generator), bits)


def random_form(rows: int, columns: int, form: Form, seed: int = 0) -> GroupedMatrix:
    """The same of any form."""
    matrix = random_matrix(rows, columns, form.bits, seed)
    if form.is_nested:
        factors = np.random.default_rng(seed).integers(0, 64, (*matrix.scales.shape, 2), np.uint8)
        shared = [each[:, ::NESTED] for each in (matrix.scales, matrix.offsets)]
        return GroupedMatrix(columns, matrix.quants, *shared, factors)
    return matrix if form.has_offsets else replace(matrix, offsets=None)


def q4_k_blocks(rows: int, columns: int) -> np.ndarray:
    """Random ones, as bytes of rows; nothing but scale and offset of a block may be any byte."""
    random = np.random.default_rng(columns)
    blocks = random.integers(0, 256, (rows, columns // 256, 144), np.uint8)
    halves = random.uniform(-0.01, 0.01, (rows, columns // 256, 2)).astype(np.float16)
    blocks[..., :4] = halves.view(np.uint8)
    return blocks.reshape(rows, -1)


def steps(matrix: GroupedMatrix) -> np.ndarray:
    """The distance of neighbouring values at each weight, (rows, columns)."""
    return np.repeat(np.abs(matrix.scales.astype(np.float32)), GROUP, 1)[:, : matrix.columns]


@given(WEIGHTS)
def test_no_weight_moves_by_more_than_a_step(weight: np.ndarray) -> None:
    """8 bits: half a step by rounding; the rest is scale and offset, rounded to fp16 (11 bits).

    A scale too small for fp16's normal numbers has fewer bits: then up to its resolution, 6e-8,
    for each of the 128 steps from the middle.
    """
    matrix = quantize(torch.from_numpy(weight), 8)
    values = dequantize(matrix)
    assert values.shape == weight.shape
    padded = np.pad(np.abs(weight), ((0, 0), (0, -weight.shape[1] % GROUP)))
    largest = padded.reshape(len(weight), -1, GROUP).max(-1)
    bound = 0.51 * steps(matrix) + 1e-5
    bound += np.repeat(largest, GROUP, 1)[:, : matrix.columns] * 3 / 2**11
    assert (np.abs(values - weight) <= bound).all()


@given(WEIGHTS)
def test_no_group_is_worse_than_by_its_range(weight: np.ndarray) -> None:
    """4 bits, in root mean square: half of its range in 15 steps, and the rounding to fp16."""
    values = dequantize(quantize(torch.from_numpy(weight), 4))
    for first in range(0, weight.shape[1], GROUP):
        part = weight[:, first : first + GROUP]
        reach = np.concatenate((part, np.zeros_like(part[:, :1])), 1)  # a group may be padded
        bound = 0.51 * np.ptp(reach, 1) / 15 + np.abs(part).max(1) * 3 / 2**11 + 1e-5
        error = np.sqrt(np.square(values[:, first : first + GROUP] - part).mean(1))
        assert (error <= bound).all()


def weighted_error(matrix: GroupedMatrix, weight: torch.Tensor, importance: torch.Tensor) -> float:
    """The mean square of what is wrong with each row's products."""
    error = torch.from_numpy(dequantize(matrix)) - weight
    return float((error.square() * importance).sum() / importance.sum() / len(weight))


def test_what_counts_is_kept_more_exactly() -> None:
    """4 bits: less error than by each group's range, and less again where it counts."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(64, 256, generator=generator)
    importance = torch.rand(256, generator=generator) ** 8
    groups = weight.reshape(64, -1, GROUP)
    low, high = groups.aminmax(dim=-1, keepdim=True)
    step = (high - low) / 15
    by_range = float((((groups - low) / step).round() * step + low - groups).square().mean())
    alike, by_importance = quantize(weight, 4), quantize(weight, 4, importance)
    error = weighted_error(alike, weight, importance)
    assert weighted_error(alike, weight, torch.ones(256)) < 0.85 * by_range
    assert weighted_error(by_importance, weight, importance) < 0.6 * error


@pytest.mark.parametrize("columns", [32, 45])
def test_inputs_that_never_come_change_nothing(columns: int) -> None:
    """A whole group of them, and columns that only fill a group up."""
    weight = torch.randn(5, columns, generator=torch.Generator().manual_seed(1))
    matrix = quantize(weight, 4, torch.zeros(columns))
    assert np.abs(dequantize(matrix) - weight.numpy()).max() < steps(matrix).max()


@given(WEIGHTS, st.sampled_from([8, 4]))
def test_quantizing_again_changes_nothing_but_rounding(weight: np.ndarray, bits: int) -> None:
    """What was a quantized matrix stays within fp16's rounding of scale and offset."""
    once = dequantize(quantize(torch.from_numpy(weight), bits))
    matrix = quantize(torch.from_numpy(once.copy()), bits)
    slack = 4 / 2**11 * np.abs(once).max(initial=0) + 1e-5
    assert (np.abs(dequantize(matrix) - once) <= 0.51 * steps(matrix) + slack).all()


def test_what_fills_a_group_up_does_not_widen_its_range() -> None:
    """Columns that are no multiple of a group's: zeros there would cost most of the 16 steps."""
    weight = torch.full((1, 45), -510.0)
    weight[0, 43], weight[0, 44] = -505.0, -526.0
    matrix = quantize(weight, 4)
    assert steps(matrix).max() < 2.0
    assert np.abs(dequantize(matrix) - weight.numpy()).max() < 1.0


@pytest.mark.parametrize("type_name", ["Q8_0", "Q5_0", "Q4_0", "Q4_1"])
def test_gguf_blocks_keep_every_value(type_name: str) -> None:
    """The values of gguf's own dequantization, to the last bit of the product."""
    kind = gguf.GGMLQuantizationType[type_name]
    weight = np.random.default_rng(0).standard_normal((5, 96)).astype(np.float32)
    blocks = gguf.quantize(weight, kind)
    matrix = from_blocks(type_name, blocks)
    assert matrix is not None
    expected = gguf.dequantize(blocks, kind)
    np.testing.assert_allclose(dequantize(matrix), expected, rtol=1e-6, atol=1e-7)


def test_nested_blocks_keep_every_value() -> None:
    """Q4_K, which the gguf library reads but does not write."""
    blocks = q4_k_blocks(5, 768)
    matrix = from_blocks("Q4_K", blocks)
    assert matrix is not None
    assert matrix.form == INT4_NESTED
    expected = gguf.dequantize(blocks, gguf.GGMLQuantizationType.Q4_K)
    np.testing.assert_allclose(dequantize(matrix), expected, rtol=1e-6, atol=1e-7)


def test_other_block_types_are_left_alone() -> None:
    """Nobody guesses a layout."""
    assert from_blocks("Q6_K", np.zeros((1, 210), np.uint8)) is None


@pytest.mark.parametrize(
    "forms",
    [
        [INT8] * 3,
        [INT4] * 3,
        [INT4_EVEN] * 3,
        [INT4_EVEN, INT4, INT4_EVEN],
        [INT4_NESTED] * 3,
    ],
)
def test_stacked_matrices_keep_their_order(forms: list[Form]) -> None:
    """As queries, keys and values are; some may have offsets, and others not."""
    parts = [
        random_form(rows, 64, form, seed=rows) for rows, form in zip((3, 5, 1), forms, strict=True)
    ]
    expected = np.concatenate([dequantize(part) for part in parts])
    np.testing.assert_array_equal(dequantize(stack(parts)), expected)


@pytest.mark.parametrize("form", [INT8, INT4, INT4_EVEN])
def test_a_panel_is_laid_out_as_the_kernels_header_says(form: Form) -> None:
    """Each quant, scale and offset found where ``kernels/midfill.h`` puts it."""
    matrix = random_form(35, 70, form)
    groups, panels = 3, 3
    raw = np.full(packed_bytes(35, 70, form), 255, np.uint8)
    pack(matrix, raw)
    panel = raw.reshape(panels, -1)[2]
    together = {INT8: 2, INT4: 1, INT4_EVEN: 2}[form]
    quads = matrix.quants.shape[2] // 4
    blocks = panel.reshape(-(-groups // together), -1)
    half_bytes = 2 * PANEL * 2  # two groups' scales, or a group's scales and offsets
    for group in range(groups):
        block, inside = blocks[group // together], group % together
        halves = block[:half_bytes].view(np.float16).reshape(-1, PANEL)
        quants = block[half_bytes:].reshape(together, quads, PANEL, 4)[inside]
        for row in range(3):
            expected = matrix.quants[2 * PANEL + row, group]
            assert (quants[:, row].reshape(-1) == expected).all()
            assert halves[inside, row] == matrix.scales[2 * PANEL + row, group]
            if matrix.offsets is not None:
                assert halves[1, row] == matrix.offsets[2 * PANEL + row, group]
        assert not halves[:, 3:].any(), "rows that are missing must weigh nothing"
    assert blocks.shape[1] % 64 == 0


@pytest.mark.parametrize("columns", [256, 300])
def test_nested_groups_have_their_factors_before_the_quants_of_all(columns: int) -> None:
    """Eight groups in a block: scales, offsets, the factors and then the quants of each."""
    matrix = random_form(18, columns, INT4_NESTED)
    raw = np.full(packed_bytes(18, columns, INT4_NESTED), 255, np.uint8)
    pack(matrix, raw)
    panels, groups = 2, matrix.quants.shape[1]
    blocks = raw.reshape(panels, -(-groups // NESTED), -1)
    halves = blocks[..., : 4 * PANEL].copy().view(np.float16).reshape(*blocks.shape[:2], 2, PANEL)
    factors = blocks[..., 4 * PANEL :][..., : 2 * NESTED * PANEL].reshape(panels, -1, 2, PANEL)
    quants = blocks[..., (4 + 2 * NESTED) * PANEL :].reshape(panels, -1, 4, PANEL, 4)
    for row in range(18):
        panel, lane = divmod(row, PANEL)
        assert (halves[panel, :, 0, lane] == matrix.scales[row]).all()
        assert (halves[panel, :, 1, lane] == matrix.offsets[row]).all()
        assert (factors[panel, :groups, :, lane] == matrix.factors[row]).all()
        assert (quants[panel, :groups, :, lane].reshape(groups, -1) == matrix.quants[row]).all()
    assert not factors[:, groups:].any(), "groups that are missing must weigh nothing"
    assert not halves[1, :, :, 2:].any(), "rows that are missing must weigh nothing"
    assert blocks.shape[2] % 64 == 0
