"""Rotary angles, compared with the paper's formula and with transformers' implementation."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_engine import CPU, SHAPE
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from midfill.engine.errors import UnsupportedModelError
from midfill.engine.model.rope import RotaryTable, inverse_frequencies, rotate
from midfill.weights.architecture import RopeScaling, yarn_attention_factor

if TYPE_CHECKING:
    from midfill.weights.architecture import LlamaArchitecture

LLAMA3 = RopeScaling(
    "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_context_length=64
)
LINEAR = RopeScaling("linear", factor=4.0)
YARN = RopeScaling(
    "yarn", 4.0, original_context_length=512, attention_factor=yarn_attention_factor(4.0)
)
YARN_KEYS = {"factor": 4.0, "original_max_position_embeddings": 512}
LONG_HEADS = replace(SHAPE, head_dim=64, hidden_size=256)
SCALINGS = [
    pytest.param(None, 1e4, {"rope_type": "default"}, id="llama-2"),
    pytest.param(None, 1e6, {"rope_type": "default"}, id="code-llama"),
    pytest.param(LINEAR, 1e4, {"rope_type": "linear", "factor": 4.0}, id="linear"),
    pytest.param(YARN, 1e4, {"rope_type": "yarn", **YARN_KEYS}, id="yarn"),
    pytest.param(
        replace(YARN, attention_factor=1.5, beta_fast=16.0, truncate=False),
        1e6,
        {
            "rope_type": "yarn",
            **YARN_KEYS,
            "attention_factor": 1.5,
            "beta_fast": 16.0,
            "truncate": False,
        },
        id="yarn with all keys",
    ),
    pytest.param(
        LLAMA3,
        5e5,
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        id="llama-3",
    ),
]


def reference(base: float, parameters: dict[str, Any]) -> LlamaRotaryEmbedding:
    """Transformers' table for heads of 64."""
    config = LlamaConfig(
        hidden_size=256,
        num_attention_heads=4,
        max_position_embeddings=2048,
        rope_parameters={"rope_theta": base} | parameters,
    )
    return LlamaRotaryEmbedding(config)


def architecture(base: float, scaling: RopeScaling | None) -> LlamaArchitecture:
    """Heads of 64 with such angles."""
    return replace(LONG_HEADS, rope_theta=base, rope_scaling=scaling)


@pytest.mark.parametrize(("scaling", "base", "parameters"), SCALINGS)
def test_frequencies_equal_those_of_transformers(
    scaling: RopeScaling | None, base: float, parameters: dict[str, Any]
) -> None:
    """They differ by a rounding of fp32, as the order of operations does."""
    ours = inverse_frequencies(architecture(base, scaling))
    torch.testing.assert_close(ours, reference(base, parameters).inv_freq, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("scaling", "base", "parameters"), SCALINGS)
def test_rotated_heads_equal_those_of_transformers(
    scaling: RopeScaling | None, base: float, parameters: dict[str, Any]
) -> None:
    """At positions in the middle of a text, each by its own angle."""
    heads = torch.randn(5, 3, 64, generator=torch.Generator().manual_seed(0))
    ours = rotate(heads, *RotaryTable(architecture(base, scaling), torch.float32, CPU).at(900, 905))
    cos, sin = reference(base, parameters)(heads, torch.arange(900, 905).unsqueeze(0))
    theirs, _ = apply_rotary_pos_emb(heads, heads, cos[0], sin[0], unsqueeze_dim=1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4)  # angles of 900 rad, in fp32


@pytest.mark.parametrize(
    ("positions", "factor"), [(512, 4.0), (400, 4.0), (2000, 4.0), (1300, 1.0)]
)
def test_a_dynamic_base_is_that_of_a_text_as_long_as_the_context(
    positions: int, factor: float
) -> None:
    """Transformers grows it for each text; within the original context it does not grow."""
    scaling = RopeScaling("dynamic", factor, original_context_length=512)
    shape = replace(architecture(1e4, scaling), max_position_embeddings=positions)
    theirs = LlamaRotaryEmbedding(
        LlamaConfig(
            hidden_size=256,
            num_attention_heads=4,
            max_position_embeddings=512,
            rope_parameters={"rope_theta": 1e4, "rope_type": "dynamic", "factor": factor},
        )
    )
    theirs(torch.zeros(1), torch.arange(positions).unsqueeze(0))
    ours = inverse_frequencies(shape)
    torch.testing.assert_close(ours, theirs.inv_freq, rtol=1e-6, atol=0)


def test_a_pair_is_turned_by_position_times_frequency() -> None:
    """The paper's formula, pair by pair, in double precision."""
    shape = replace(SHAPE, rope_theta=100.0)
    heads = torch.randn(4, 1, 8, generator=torch.Generator().manual_seed(1))
    ours = rotate(heads, *RotaryTable(shape, torch.float32, CPU).at(3, 7))
    for row, position in enumerate(range(3, 7)):
        for pair in range(4):
            angle = position * 100.0 ** (-2 * pair / 8)
            x, y = float(heads[row, 0, pair]), float(heads[row, 0, pair + 4])
            assert ours[row, 0, pair] == pytest.approx(
                x * math.cos(angle) - y * math.sin(angle), abs=1e-5
            )
            assert ours[row, 0, pair + 4] == pytest.approx(
                y * math.cos(angle) + x * math.sin(angle), abs=1e-5
            )


def test_the_table_grows_without_changing_what_it_held() -> None:
    """Past the length that the checkpoint states, too."""
    table = RotaryTable(replace(SHAPE, max_position_embeddings=16), torch.float32, CPU)
    before = [part.clone() for part in table.at(0, 16)]
    far_cos, far_sin = table.at(10, 5000)
    assert far_cos.shape == far_sin.shape == (4990, 1, 8)
    for old, new in zip(before, table.at(0, 16), strict=True):
        assert torch.equal(old, new)


def test_an_unknown_scaling_is_refused() -> None:
    """By name, with what is implemented."""
    shape = replace(SHAPE, rope_scaling=RopeScaling("longrope", factor=2.0))
    with pytest.raises(UnsupportedModelError, match=r"'longrope'.*must be dynamic, linear"):
        inverse_frequencies(shape)
