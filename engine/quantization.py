"""Matrices in groups of 32 weights along the input, and the panels that the kernels read.

A group is one scale, for 4 bits also one offset, and 32 small integers q::

    int8    w = scale * (q - 128)       q is 0 to 255      8.5 bits a weight
    int4    w = scale * q + offset      q is 0 to 15         5 bits a weight

These hold what GGUF's Q8_0, Q4_0 and Q4_1 hold, bit for bit. The layout of a panel stands in
``kernels/midfill.h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GROUP = 32
PANEL = 16
"""Rows of a panel."""
_GROUPS_TOGETHER = {8: 2, 4: 1}
"""Of a panel, by bits: so many fill whole lines of 64 bytes with their scales."""
_ROWS_AT_ONCE = 2048
"""So that what lies between is small, however large a vocabulary's matrix is."""


@dataclass(frozen=True, slots=True)
class GroupedMatrix:
    """A quantized matrix of (rows, columns); columns are padded to whole groups."""

    columns: int
    quants: NDArray[np.uint8]
    """(rows, groups, 32), or (rows, groups, 16) with column c in the low half of byte c and column
    c + 16 in the high half."""
    scales: NDArray[np.float16]
    """(rows, groups)."""
    offsets: NDArray[np.float16] | None
    """(rows, groups), for 4 bits."""

    @property
    def rows(self) -> int:
        """Out features."""
        return len(self.quants)

    @property
    def bits(self) -> int:
        """Of a quant: 8 or 4."""
        return 8 if self.offsets is None else 4


def from_blocks(type_name: str, blocks: NDArray[np.uint8]) -> GroupedMatrix | None:
    """A GGUF matrix without loss, from its blocks (rows, bytes); None for any other type.

    Blocks are laid out as in ggml-common.h: Q8_0 is ``fp16 d, int8 q[32]``, Q4_1 is ``fp16 d,
    fp16 m, uint8 q[16]``, and Q4_0 is ``fp16 d, uint8 q[16]`` with w = d * (q - 8).
    """
    read = {"Q8_0": _from_q8_0, "Q4_0": _from_q4_0, "Q4_1": _from_q4_1}.get(type_name)
    return None if read is None else read(blocks)


def quantize(weight: torch.Tensor, bits: int) -> GroupedMatrix:
    """The nearest grouped matrix to ``weight`` (rows, columns), each group by its own range."""
    return stack([_quantize_rows(rows, bits) for rows in weight.split(_ROWS_AT_ONCE)])


def _quantize_rows(weight: torch.Tensor, bits: int) -> GroupedMatrix:
    rows, columns = weight.shape
    wide = weight.float()
    if missing := -columns % GROUP:  # pad copies even when nothing is missing
        wide = torch.nn.functional.pad(wide, (0, missing))
    groups = wide.reshape(rows, -1, GROUP)
    return (_quantize_int8 if bits == 8 else _quantize_int4)(groups, columns)


def dequantize(matrix: GroupedMatrix) -> NDArray[np.float32]:
    """The values, (rows, columns), fp32."""
    scales = matrix.scales.astype(np.float32)[..., None]
    if matrix.offsets is None:
        values = (matrix.quants.astype(np.float32) - 128) * scales
    else:
        quants = np.concatenate((matrix.quants & 15, matrix.quants >> 4), -1)
        values = quants * scales + matrix.offsets.astype(np.float32)[..., None]
    return values.reshape(matrix.rows, -1)[:, : matrix.columns]


def stack(parts: Sequence[GroupedMatrix]) -> GroupedMatrix:
    """Matrices of the same width and bits, one below the other."""
    offsets = [part.offsets for part in parts if part.offsets is not None]
    return GroupedMatrix(
        parts[0].columns,
        np.concatenate([part.quants for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate(offsets) if offsets else None,
    )


def packed_bytes(rows: int, columns: int, bits: int) -> int:
    """Of all panels of such a matrix."""
    groups = -(-columns // GROUP)
    return -(-rows // PANEL) * -(-groups // _GROUPS_TOGETHER[bits]) * _together_bytes(bits)


def pack(matrix: GroupedMatrix, out: NDArray[np.uint8]) -> None:
    """Write the panels of ``kernels/midfill.h`` to ``out``, (packed_bytes,)."""
    panels, groups = -(-matrix.rows // PANEL), matrix.scales.shape[1]
    quads = matrix.quants.shape[2] // 4
    quants = np.ascontiguousarray(matrix.quants).view("<u4").reshape(matrix.rows, groups, quads)
    together = _GROUPS_TOGETHER[matrix.bits]
    start, blocks = 0, out.reshape(panels, -(-groups // together), -1)
    for part in (matrix.scales, matrix.offsets, quants):
        if part is not None:
            values = np.moveaxis(_panels(part, panels), 1, -1)
            raw = np.ascontiguousarray(values).reshape(panels, groups, -1).view(np.uint8)
            if groups % together:
                raw = np.pad(raw, ((0, 0), (0, together - groups % together), (0, 0)))
            raw = raw.reshape(*blocks.shape[:2], -1)
            blocks[..., start : start + raw.shape[2]] = raw
            start += raw.shape[2]


def _together_bytes(bits: int) -> int:
    return _GROUPS_TOGETHER[bits] * PANEL * (GROUP + 2 if bits == 8 else GROUP // 2 + 4)


def _panels(values: NDArray[Any], panels: int) -> NDArray[Any]:
    """(rows, ...) to (panels, 16, ...), with rows of zeros put behind."""
    missing = panels * PANEL - len(values)
    if missing:
        values = np.concatenate((values, np.zeros((missing, *values.shape[1:]), values.dtype)))
    return values.reshape(panels, PANEL, *values.shape[1:])


def _fields(
    blocks: NDArray[np.uint8], halves: int, quant_bytes: int
) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Blocks that start with fp16 numbers: those, (rows, groups, halves), and the rest."""
    size = 2 * halves + quant_bytes
    blocks = np.ascontiguousarray(blocks).reshape(len(blocks), -1, size)
    return np.ascontiguousarray(blocks[..., : 2 * halves]).view(np.float16), blocks[
        ..., 2 * halves :
    ]


def _from_q8_0(blocks: NDArray[np.uint8]) -> GroupedMatrix:
    scales, quants = _fields(blocks, 1, GROUP)
    return GroupedMatrix(scales.shape[1] * GROUP, quants ^ np.uint8(128), scales[..., 0], None)


def _from_q4_1(blocks: NDArray[np.uint8]) -> GroupedMatrix:
    halves, quants = _fields(blocks, 2, GROUP // 2)
    return GroupedMatrix(halves.shape[1] * GROUP, quants, halves[..., 0], halves[..., 1])


def _from_q4_0(blocks: NDArray[np.uint8]) -> GroupedMatrix:
    halves, quants = _fields(blocks, 1, GROUP // 2)
    scales = halves[..., 0]
    return GroupedMatrix(scales.shape[1] * GROUP, quants, scales, scales * np.float16(-8))


def _quantize_int8(groups: torch.Tensor, columns: int) -> GroupedMatrix:
    scales = (groups.abs().amax(-1) / 127).half()  # aminmax takes five times as long
    quants = (groups * _inverse(scales)).round_().clamp_(-127, 127).add_(128)
    return GroupedMatrix(columns, quants.to(torch.uint8).numpy(), scales.numpy(), None)


def _quantize_int4(groups: torch.Tensor, columns: int) -> GroupedMatrix:
    low, high = groups.aminmax(dim=-1)
    offsets = low.half()
    scales = ((high - offsets.float()) / 15).half()
    quants = (groups - offsets.float()[..., None]).mul_(_inverse(scales)).round_().clamp_(0, 15)
    first, second = quants.to(torch.uint8).chunk(2, -1)
    return GroupedMatrix(columns, (first | second << 4).numpy(), scales.numpy(), offsets.numpy())


def _inverse(scales: torch.Tensor) -> torch.Tensor:
    """(rows, groups) to (rows, groups, 1); 0 for groups whose range vanished in fp16."""
    wide = scales.float()[..., None]
    return torch.where(wide != 0, 1 / wide, 0)
