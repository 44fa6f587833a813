"""The work of a pass, by hand, and what limits it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_models import TINY_ARCHITECTURE

from midfill.recipes.benchmarks import limits as machine_limits
from midfill.recipes.benchmarks.limits import (
    MachineLimits,
    Work,
    decode_work,
    measure_limits,
    prefill_work,
    seconds_at_least,
)

ARCHITECTURE = replace(
    TINY_ARCHITECTURE,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    hidden_size=32,
    vocab_size=100,
)
LIMITS = MachineLimits(bytes_per_second=100.0, bf16_per_second=1000.0, int8_per_second=4000.0)


def test_a_decoded_token_reads_all_weights_and_the_cache() -> None:
    """Two operations a weight; four for each query element and position."""
    work = decode_work(ARCHITECTURE, parameters=5000, weight_bytes=10000, positions=10)
    assert work.operations == 2 * 5000 + 4 * (2 * 4 * 8) * 10
    assert work.bytes == 10000 + 10 * (2 * 2 * 2 * 8 * 2)


def test_a_prompt_reads_the_weights_once_and_needs_one_head() -> None:
    """On average a token looks at half of the others."""
    work = prefill_work(ARCHITECTURE, parameters=5000, weight_bytes=10000, tokens=10)
    head = 100 * 32
    attention = 4 * (2 * 4 * 8) * 10 * 10 / 2
    assert work.operations == 2 * (5000 - head) * 10 + attention + 2 * head
    assert work.intensity == work.operations / work.bytes


@pytest.mark.parametrize(
    ("work", "is_int8", "seconds"),
    [
        (Work(operations=1000, bytes=500), False, 5.0),
        (Work(operations=8000, bytes=100), False, 8.0),
        (Work(operations=8000, bytes=100), True, 2.0),
    ],
)
def test_the_slower_of_memory_and_arithmetic_decides(
    work: Work, is_int8: bool, seconds: float
) -> None:
    """Bytes are multiplied faster."""
    assert seconds_at_least(work, LIMITS, is_int8=is_int8) == seconds


def test_without_products_of_bytes_those_of_bf16_are_the_limit() -> None:
    """As on processors that lack them."""
    limits = replace(LIMITS, int8_per_second=None)
    assert seconds_at_least(Work(8000, 100), limits, is_int8=True) == 8.0


def test_the_limits_of_this_machine_are_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured on little; how large they are is not tested."""
    monkeypatch.setattr(machine_limits, "_READ_BYTES", 1 << 20)
    monkeypatch.setattr(machine_limits, "_SIDE", 64)
    limits = measure_limits(1)
    assert limits.bytes_per_second > 0
    assert limits.bf16_per_second > 0
