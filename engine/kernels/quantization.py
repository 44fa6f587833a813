"""Matrices in groups of 32 weights along the input, and the panels that the kernels read.

A group is one scale, in two of three forms of 4 bits also one offset, and 32 small integers q::

    int8    w = scale * (q - 128)       q is 0 to 255      8.5 bits a weight
    int4    w = scale * q + offset      q is 0 to 15         5 bits a weight
            w = scale * (q - 8)         the same           4.5 bits a weight
            w = scale * s * q + offset * o    likewise   4.625 bits a weight

In the last one eight groups share a scale and an offset, and each has bytes s and o. These hold
what GGUF's Q8_0 and Q5_0, Q4_1, Q4_0 and Q4_K hold, bit for bit. The layout of a panel stands in
``kernels/midfill.h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GROUP = 32
PANEL = 16
"""Rows of a panel."""
NESTED = 8
"""Groups that share a scale and an offset where groups have factors."""
_ZERO = 8
"""The quant that stands for 0, in 4 bits without an offset."""
_ROWS_AT_ONCE = 2048
"""So that what lies between is small, however large a vocabulary's matrix is."""


class Form(NamedTuple):
    """What a group is made of."""

    bits: int
    """Bits of a quant: 8 or 4."""
    has_offsets: bool
    is_nested: bool = False
    """Whether groups have factors."""

    @property
    def together(self) -> int:
        """Groups of a panel that share scales, or fill lines of 64 bytes with theirs."""
        if self.is_nested:
            return NESTED
        return 1 if self.has_offsets else 2

    @property
    def bytes(self) -> int:
        """Bytes of so many groups of a panel."""
        halves = 1 + self.has_offsets
        if self.is_nested:  # two bytes for each group, and halves for all
            return PANEL * (NESTED * (GROUP * self.bits // 8 + 2) + 2 * halves)
        return self.together * PANEL * (GROUP * self.bits // 8 + 2 * halves)


@dataclass(frozen=True, slots=True)
class GroupedMatrix:
    """A quantized matrix of (rows, columns); columns are padded to whole groups."""

    columns: int
    quants: NDArray[np.uint8]
    """(rows, groups, 32), or (rows, groups, 16) with column c in the low half of byte c and column
    c + 16 in the high half."""
    scales: NDArray[np.float16]
    """(rows, groups), or (rows, eights of groups) where they are nested."""
    offsets: NDArray[np.float16] | None
    """Likewise, for 4 bits, unless they are symmetric."""
    factors: NDArray[np.uint8] | None = None
    """(rows, groups, 2), of scales and offsets, where they are nested."""

    @property
    def rows(self) -> int:
        """Out features."""
        return len(self.quants)

    @property
    def is_finite(self) -> bool:
        """Whether all its values are numbers."""
        offsets = () if self.offsets is None else self.offsets
        return bool(np.isfinite(self.scales).all() and np.isfinite(offsets).all())

    @property
    def form(self) -> Form:
        """The form of its groups."""
        bits = 8 if self.quants.shape[2] == GROUP else 4
        return Form(bits, self.offsets is not None, self.factors is not None)


def from_blocks(type_name: str, blocks: NDArray[np.uint8]) -> GroupedMatrix | None:
    """A GGUF matrix without loss, from its blocks (rows, bytes); None for any other type.

    Blocks are laid out as in ggml-common.h: Q8_0 is ``fp16 d, int8 q[32]``, Q4_1 is ``fp16 d,
    fp16 m, uint8 q[16]``, and Q4_0 is ``fp16 d, uint8 q[16]`` with w = d * (q - 8). Q5_0 has
    ``uint32 fifth`` before q, a bit for each quant, and 16 for the 8. Q4_K is ``fp16 d, fp16 m,
    uint8 s[12], uint8 q[128]``: eight groups with w = d * s * q - m * o, whose s and o have 6 bits,
    and of two groups each byte of q has one's quant low and the other's high.
    """
    read = _READ.get(type_name)
    return None if read is None else read(blocks)


def quantize(
    weight: torch.Tensor, bits: int, importance: torch.Tensor | None = None
) -> GroupedMatrix:
    """The nearest grouped matrix to ``weight`` (rows, columns), each group by itself.

    Args:
        weight: In any plain dtype.
        bits: 8 or 4.
        importance: The mean square of each input, (columns,), where it is known: by these weights
            4 bits have the least squared error that was found. None counts all alike.
    """
    if importance is None:
        importance = torch.ones(weight.shape[1])
    importance = importance.float() + 1e-6 * importance.float().mean()  # a group may be all 0
    importance = _padded(importance / importance.mean()).reshape(-1, GROUP)
    parts = [_quantize_rows(rows, bits, importance) for rows in weight.split(_ROWS_AT_ONCE)]
    return stack(parts)


def _quantize_rows(weight: torch.Tensor, bits: int, importance: torch.Tensor) -> GroupedMatrix:
    rows, columns = weight.shape
    missing = -columns % GROUP
    whole = weight.float()
    if missing:  # what fills a group up meets no input, and may not widen the group's range
        whole = torch.nn.functional.pad(whole, (0, missing), mode="replicate")
    groups = whole.reshape(rows, -1, GROUP)
    if bits == 8:
        return _quantize_int8(groups, columns)
    return _quantize_int4(groups, columns, importance)


def _padded(values: torch.Tensor) -> torch.Tensor:
    """With zeros behind, up to whole groups."""
    missing = -values.shape[-1] % GROUP
    # pad copies even when nothing is missing
    return torch.nn.functional.pad(values, (0, missing)) if missing else values


def dequantize(matrix: GroupedMatrix) -> NDArray[np.float32]:
    """The values, (rows, columns), fp32."""
    scales: NDArray[np.float32] = matrix.scales.astype(np.float32)[..., None]
    if matrix.form.bits == 8:
        values = (matrix.quants.astype(np.float32) - 128) * scales
    else:
        quants = np.concatenate((matrix.quants & 15, matrix.quants >> 4), -1)
        offsets: NDArray[np.float32] = _offsets(matrix).astype(np.float32)[..., None]
        if matrix.factors is not None:
            scales = _nested(scales, matrix.factors[..., 0])
            offsets = _nested(offsets, matrix.factors[..., 1])
        values = quants * scales + offsets
    return values.reshape(matrix.rows, -1)[:, : matrix.columns]


def _nested(shared: NDArray[np.float32], factors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What groups have that share it, (rows, groups, 1)."""
    wide = np.repeat(shared, NESTED, 1)[:, : factors.shape[1]]
    return wide * factors[..., None].astype(np.float32)


def stack(parts: Sequence[GroupedMatrix]) -> GroupedMatrix:
    """Matrices of the same width and bits, one below the other; with offsets if one has them.

    Nested ones are only stacked among themselves.
    """
    has_offsets = any(part.offsets is not None for part in parts)
    factors = [part.factors for part in parts if part.factors is not None]
    assert len(factors) in (0, len(parts)), len(factors)
    return GroupedMatrix(
        parts[0].columns,
        np.concatenate([part.quants for part in parts]),
        np.concatenate([part.scales for part in parts]),
        np.concatenate([_offsets(part) for part in parts]) if has_offsets else None,
        np.concatenate(factors) if factors else None,
    )


def _offsets(matrix: GroupedMatrix) -> NDArray[np.float16]:
    """Offsets of 4-bit groups, (rows, groups)."""
    return matrix.scales * np.float16(-_ZERO) if matrix.offsets is None else matrix.offsets


def packed_bytes(rows: int, columns: int, form: Form) -> int:
    """Bytes of all panels of such a matrix."""
    groups = -(-columns // GROUP)
    return -(-rows // PANEL) * -(-groups // form.together) * form.bytes


def pack(matrix: GroupedMatrix, out: NDArray[np.uint8]) -> None:
    """Write the panels of ``kernels/midfill.h`` to ``out``, (packed_bytes,)."""
    panels, groups = -(-matrix.rows // PANEL), matrix.quants.shape[1]
    quads = matrix.quants.shape[2] // 4
    quants = np.ascontiguousarray(matrix.quants).view("<u4").reshape(matrix.rows, groups, quads)
    together = matrix.form.together
    start, blocks = 0, out.reshape(panels, -(-groups // together), -1)
    for part in (matrix.scales, matrix.offsets, matrix.factors, quants):
        if part is not None:
            values = np.moveaxis(_panels(part, panels), 1, -1)
            raw = np.ascontiguousarray(values).reshape(panels, part.shape[1], -1).view(np.uint8)
            is_shared = matrix.factors is not None and part.dtype == np.float16
            if not is_shared and groups % together:
                raw = np.pad(raw, ((0, 0), (0, together - groups % together), (0, 0)))
            raw = raw.reshape(*blocks.shape[:2], -1)
            blocks[..., start : start + raw.shape[2]] = raw
            start += raw.shape[2]


def _panels(values: NDArray[Any], panels: int) -> NDArray[Any]:
    """(rows, ...) to (panels, 16, ...), with rows of zeros put behind."""
    missing = panels * PANEL - len(values)
    if missing:
        values = np.concatenate((values, np.zeros((missing, *values.shape[1:]), values.dtype)))
    return values.reshape(panels, PANEL, *values.shape[1:])


def _fields(
    blocks: NDArray[np.uint8], halves: int, quant_bytes: int
) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Blocks that start with fp16 numbers: those, (rows, blocks, halves), and the rest."""
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
    return GroupedMatrix(halves.shape[1] * GROUP, quants, halves[..., 0], None)


def _from_q5_0(blocks: NDArray[np.uint8]) -> GroupedMatrix:
    scales, rest = _fields(blocks, 1, 4 + GROUP // 2)
    fifth = np.unpackbits(rest[..., :4], axis=-1, bitorder="little") << np.uint8(4)
    quants = np.concatenate((rest[..., 4:] & 15, rest[..., 4:] >> 4), -1) | fifth
    return GroupedMatrix(scales.shape[1] * GROUP, quants + np.uint8(128 - 16), scales[..., 0], None)


def _from_q4_k(blocks: NDArray[np.uint8]) -> GroupedMatrix:
    halves, rest = _fields(blocks, 2, 12 + NESTED * GROUP // 2)
    rows, eights = halves.shape[:2]
    low, middle, high = np.moveaxis(rest[..., :12].reshape(rows, eights, 3, 4), 2, 0)
    scales = np.concatenate((low & 63, high & 15 | low >> 6 << 4), -1)
    offsets = np.concatenate((middle & 63, high >> 4 | middle >> 6 << 4), -1)
    pairs = rest[..., 12:].reshape(rows, eights * NESTED // 2, 1, GROUP)
    quants = np.concatenate((pairs & 15, pairs >> 4), 2).reshape(rows, -1, 2, GROUP // 2)
    return GroupedMatrix(
        eights * NESTED * GROUP,
        quants[..., 0, :] | quants[..., 1, :] << 4,
        halves[..., 0],
        -halves[..., 1],
        np.stack((scales, offsets), -1).reshape(rows, -1, 2),
    )


_READ = {
    "Q8_0": _from_q8_0,
    "Q5_0": _from_q5_0,
    "Q4_0": _from_q4_0,
    "Q4_1": _from_q4_1,
    "Q4_K": _from_q4_k,
}


def _quantize_int8(groups: torch.Tensor, columns: int) -> GroupedMatrix:
    scales = (groups.abs().amax(-1) / 127).half()  # aminmax takes five times as long
    quants = (groups * _inverse(scales[..., None])).round_().clamp_(-127, 127).add_(128)
    return GroupedMatrix(columns, quants.to(torch.uint8).numpy(), scales.numpy(), None)


def _quantize_int4(groups: torch.Tensor, columns: int, importance: torch.Tensor) -> GroupedMatrix:
    """The best of several: each group's range in 15 steps, and lines fitted to others.

    For quants that are known the best scale and offset are a weighted linear regression; the range
    in a few more or fewer steps gives the quants to begin with (as llama.cpp's ``make_qkx2_quants``
    does, and with an importance its ``imatrix``).
    """
    shares = importance / importance.sum(-1, keepdim=True).clamp(min=1e-30)
    low, high = groups.aminmax(dim=-1, keepdim=True)
    best = _Line.of(groups, shares, (high - low.half().float()) / 15, low)
    for steps in _FIRST_STEPS:
        quants = _nearest(groups, (high - low) / steps, low)
        best = best.or_better(_Line.of(groups, shares, *_regression(groups, quants, shares)))
    quants = _nearest(groups, best.scales, best.offsets)
    first, second = quants.to(torch.uint8).chunk(2, -1)
    scales, offsets = (part[..., 0].half().numpy() for part in (best.scales, best.offsets))
    return GroupedMatrix(columns, (first | second << 4).numpy(), scales, offsets)


_FIRST_STEPS = tuple(15 + quarter / 4 for quarter in range(-4, 5))


class _Line(NamedTuple):
    """Values of the quants, ``scale * q + offset``, rounded to fp16; and the mean squared error."""

    scales: torch.Tensor
    offsets: torch.Tensor
    errors: torch.Tensor

    @classmethod
    def of(
        cls,
        groups: torch.Tensor,
        shares: torch.Tensor,
        scales: torch.Tensor,
        offsets: torch.Tensor,
    ) -> Self:
        scales, offsets = scales.half().float(), offsets.half().float()
        values = _nearest(groups, scales, offsets).mul_(scales).add_(offsets)
        errors = values.sub_(groups).square_().mul_(shares).sum(-1, keepdim=True)
        return cls(scales, offsets, errors)

    def or_better(self, other: _Line) -> _Line:
        """The other one for those groups where it is."""
        is_better = other.errors < self.errors
        pairs = zip(other, self, strict=True)
        return _Line(*(torch.where(is_better, new, old) for new, old in pairs))


def _nearest(groups: torch.Tensor, scales: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Quants, (rows, groups, 32), of 4 bits."""
    return (groups - offsets).mul_(_inverse(scales)).round_().clamp_(0, 15)


def _regression(
    groups: torch.Tensor, quants: torch.Tensor, shares: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scales and offsets with the least weighted squared error, (rows, groups, 1) each."""
    weighted = shares * quants
    mean = weighted.sum(-1, keepdim=True)
    middle = (shares * groups).sum(-1, keepdim=True)
    variance = (weighted * quants).sum(-1, keepdim=True) - mean.square()
    covariance = (weighted * groups).sum(-1, keepdim=True) - mean * middle
    scales = torch.where(variance > 1e-9, covariance / variance, 0)
    return scales, middle - scales * mean


def _inverse(scales: torch.Tensor) -> torch.Tensor:
    """In fp32; 0 for groups whose range vanished in fp16."""
    wide = scales.float()
    return torch.where(wide != 0, 1 / wide, 0)
