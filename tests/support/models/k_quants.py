"""GGUF's Q4_K and Q6_K, which the gguf library reads but does not write; not well fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def quantized(values: NDArray[np.float32], type_name: str) -> NDArray[Any]:
    """Blocks of each row, (rows, bytes), of a type that gguf writes or of these; or floats."""
    own = {"Q4_K": _q4_k, "Q6_K": _q6_k}.get(type_name)
    if own is None:
        plain: NDArray[Any] = gguf.quantize(values, gguf.GGMLQuantizationType[type_name])
        return plain
    return own(values.reshape(len(values), -1, 256)).reshape(len(values), -1)


def _q4_k(blocks: NDArray[np.float32]) -> NDArray[np.uint8]:
    groups = blocks.reshape(*blocks.shape[:2], 8, 32)
    low, high = np.minimum(groups.min(-1), 0), np.maximum(groups.max(-1), 0)
    d = ((high - low).max(-1, keepdims=True) / 15 / 63).astype(np.float16)
    m = (-low.min(-1, keepdims=True) / 63).astype(np.float16)
    scales, offsets = _steps((high - low) / 15, d), _steps(-low, m)
    step, start = d * scales.astype(np.float32), m * offsets.astype(np.float32)
    quants = _ratio(groups + start[..., None], step[..., None]).clip(0, 15).astype(np.uint8)
    first, second = np.split(scales, 2, -1), np.split(offsets, 2, -1)
    packed = (
        first[0] | first[1] >> 4 << 6,
        second[0] | second[1] >> 4 << 6,
        first[1] & 15 | (second[1] & 15) << 4,
    )
    pairs = quants[..., ::2, :] | quants[..., 1::2, :] << 4
    halves = np.concatenate((d, m), -1).view(np.uint8)
    return np.concatenate((halves, *packed, pairs.reshape(*blocks.shape[:2], 128)), -1)


def _q6_k(blocks: NDArray[np.float32]) -> NDArray[np.uint8]:
    groups = blocks.reshape(*blocks.shape[:2], 16, 16)
    largest = np.abs(groups).max(-1)
    d = (largest.max(-1, keepdims=True) / 31 / 127).astype(np.float16)
    scales = _ratio(largest / 31, d.astype(np.float32)).clip(0, 127).astype(np.int8)
    step = (d * scales.astype(np.float32))[..., None]
    quants = (_ratio(groups, step).clip(-32, 31) + 32).astype(np.uint8)
    rows = quants.reshape(*blocks.shape[:2], 2, 4, 32)  # halves of a block, in four rows of 32
    low = rows[..., :2, :] & 15 | (rows[..., 2:, :] & 15) << 4
    high = (rows >> 4) << np.array([0, 2, 4, 6], np.uint8)[:, None]
    parts = (low, np.bitwise_or.reduce(high, -2), scales.view(np.uint8), d.view(np.uint8))
    return np.concatenate([part.reshape(*blocks.shape[:2], -1) for part in parts], -1)


def _steps(values: NDArray[np.float32], unit: NDArray[np.float16]) -> NDArray[np.uint8]:
    """Multiples of a unit, of 6 bits."""
    return _ratio(values, unit.astype(np.float32)).clip(0, 63).astype(np.uint8)


def _ratio(values: NDArray[np.float32], unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rounded; 0 where the unit is."""
    ratio: NDArray[np.float32] = np.rint(
        np.divide(values, unit, out=np.zeros_like(values), where=unit != 0)
    )
    return ratio
