"""What the machine can do at most: how fast it reads memory and multiplies matrices.

No decoder is faster: a decoded token reads all weights and the cache, and a prompt's tokens each
take two operations for each weight (the roofline model, Williams et al. 2009).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.weights.architecture import LlamaArchitecture

_READ_BYTES = 1 << 29
"""Bytes; far more than any cache holds."""
_SIDE = 2048
"""Rows and columns of the square matrices."""
_REPEATS = 3
GIGA = 1e9


@dataclass(frozen=True, slots=True)
class MachineLimits:
    """Rates of the machine with so many threads."""

    bytes_per_second: float
    bf16_per_second: float
    """Operations: a multiplication and an addition are two."""
    int8_per_second: float | None
    """The same with bytes; None where PyTorch has no such product."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one token's pass, or a prompt, takes at least."""

    operations: float
    bytes: float

    @property
    def intensity(self) -> float:
        """Operations for each byte."""
        return self.operations / self.bytes


def measure_limits(threads: int) -> MachineLimits:
    """The best of a few tries of each, about two seconds of work."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return MachineLimits(
            _READ_BYTES / _best_seconds(_reading()),
            2 * _SIDE**3 / _best_seconds(_bf16_product()),
            _int8_rate(),
        )
    finally:
        torch.set_num_threads(before)


def decode_work(
    architecture: LlamaArchitecture, parameters: int, weight_bytes: float, positions: int
) -> Work:
    """One token behind so many cached ones; keys and values in bf16."""
    return Work(
        2 * parameters + _attention(architecture, positions),
        weight_bytes + positions * _cache_bytes(architecture),
    )


def prefill_work(
    architecture: LlamaArchitecture, parameters: int, weight_bytes: float, tokens: int
) -> Work:
    """A whole prompt, read at once; only its last token needs the head."""
    head = architecture.vocab_size * architecture.hidden_size
    layers = 2 * (parameters - head) * tokens + _attention(architecture, tokens) * tokens / 2
    return Work(layers + 2 * head, weight_bytes + tokens * _cache_bytes(architecture))


def seconds_at_least(work: Work, limits: MachineLimits, *, is_int8: bool) -> float:
    """How long the work takes on an ideal machine with these limits."""
    rate = limits.bf16_per_second
    if is_int8 and limits.int8_per_second is not None:
        rate = max(rate, limits.int8_per_second)
    return max(work.operations / rate, work.bytes / limits.bytes_per_second)


def _attention(architecture: LlamaArchitecture, positions: int) -> float:
    """Operations of one query with all keys and values."""
    heads = architecture.num_hidden_layers * architecture.num_attention_heads
    return 4 * heads * architecture.head_dim * positions


def _cache_bytes(architecture: LlamaArchitecture) -> int:
    """Bytes of one position's keys and values, in bf16."""
    heads = architecture.num_hidden_layers * architecture.num_key_value_heads
    return 2 * heads * architecture.head_dim * 2


def _reading() -> Callable[[], object]:
    data = torch.ones(_READ_BYTES // 4)
    return lambda: data.sum()


def _bf16_product() -> Callable[[], object]:
    a, b = (torch.randn(_SIDE, _SIDE).bfloat16() for _ in range(2))
    return lambda: a @ b


def _int8_rate() -> float | None:
    a, b = (torch.randint(-8, 8, (_SIDE, _SIDE), dtype=torch.int8) for _ in range(2))
    try:
        return 2 * _SIDE**3 / _best_seconds(lambda: torch._int_mm(a, b))
    except (AttributeError, RuntimeError):
        return None


def _best_seconds(work: Callable[[], object]) -> float:
    work()  # the first time prepares
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
