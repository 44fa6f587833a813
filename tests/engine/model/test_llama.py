"""The decoder against a slow, obvious reference, and against itself run in other ways."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_engine import FP32, SHAPE, new_slot, tiny_checkpoint, tiny_model

from midfill.engine.model.loader import load_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.model.llama import LlamaModel
    from midfill.weights.architecture import Checkpoint, LlamaArchitecture

SMALL = replace(SHAPE, vocab_size=64)
SHAPES = {
    "grouped heads": SMALL,
    "a head of keys for each of queries": replace(SMALL, num_key_value_heads=4),
    "one head of keys": replace(SMALL, num_key_value_heads=1),
    "tied": replace(SMALL, tie_word_embeddings=True),
    "heads wider than the model": replace(SMALL, head_dim=16),
}
TOLERANCE = 1e-5
"""Logits are about 1; fp32 sums of up to 64 terms in another order differ by some 1e-7 each."""

token_ids = st.lists(st.integers(0, SMALL.vocab_size - 1), min_size=1, max_size=40)


def reference_logits(checkpoint: Checkpoint, ids: Sequence[int]) -> torch.Tensor:
    """Logits (T, V) by the papers' formulas, one token, one head at a time, in fp64."""
    a = checkpoint.architecture
    weights = {name: source.read(torch.float64) for name, source in checkpoint.tensors.items()}
    states = [weights["model.embed_tokens.weight"][i] for i in ids]
    for layer in range(a.num_hidden_layers):
        w = {
            name.removeprefix(f"model.layers.{layer}.").removesuffix(".weight"): weight
            for name, weight in weights.items()
            if name.startswith(f"model.layers.{layer}.")
        }
        normed = [norm(x, w["input_layernorm"], a.rms_norm_eps) for x in states]
        states = [x + y for x, y in zip(states, attention(a, w, normed), strict=True)]
        normed = [norm(x, w["post_attention_layernorm"], a.rms_norm_eps) for x in states]
        states = [x + swiglu(w, y) for x, y in zip(states, normed, strict=True)]
    head = weights["model.embed_tokens.weight" if a.tie_word_embeddings else "lm_head.weight"]
    return torch.stack(
        [head @ norm(x, weights["model.norm.weight"], a.rms_norm_eps) for x in states]
    )


def norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """RMSNorm (Zhang and Sennrich 2019)."""
    return weight * x / math.sqrt(float((x * x).mean()) + eps)


def swiglu(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """Shazeer 2020, with Swish_1."""
    gate, up = w["mlp.gate_proj"] @ x, w["mlp.up_proj"] @ x
    return w["mlp.down_proj"] @ (gate / (1 + torch.exp(-gate)) * up)


def attention(
    a: LlamaArchitecture, w: dict[str, torch.Tensor], normed: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Ainslie et al. 2023: each head of keys and values serves a group of query heads."""

    def heads(name: str) -> list[list[torch.Tensor]]:
        return [list((w[f"self_attn.{name}"] @ x).split(a.head_dim)) for x in normed]

    def turned(vectors: list[list[torch.Tensor]]) -> list[list[torch.Tensor]]:
        return [[turn(a, v, position) for v in row] for position, row in enumerate(vectors)]

    queries, keys, values = turned(heads("q_proj")), turned(heads("k_proj")), heads("v_proj")
    group = a.num_attention_heads // a.num_key_value_heads
    out = []
    for position, row in enumerate(queries):
        attended = []
        for head, query in enumerate(row):
            seen = range(position + 1)
            scores = [float(query @ keys[s][head // group]) / math.sqrt(a.head_dim) for s in seen]
            total = sum(math.exp(score) for score in scores)
            attended.append(
                sum(math.exp(scores[s]) / total * values[s][head // group] for s in seen)
            )
        out.append(w["self_attn.o_proj"] @ torch.cat(attended))
    return out


def turn(a: LlamaArchitecture, vector: torch.Tensor, position: int) -> torch.Tensor:
    """Su et al. 2021; pair i is coordinates i and i + D/2."""
    turned, half = vector.clone(), a.head_dim // 2
    for i in range(half):
        angle = position * a.rope_theta ** (-2 * i / a.head_dim)
        x, y = vector[i], vector[i + half]
        turned[i] = x * math.cos(angle) - y * math.sin(angle)
        turned[i + half] = y * math.cos(angle) + x * math.sin(angle)
    return turned


def logits(
    model: LlamaModel, ids: Sequence[int], slot: Slot | None = None, chunk: int = 0
) -> torch.Tensor:
    """Logits of all tokens behind the slot's, (T, V), in chunks."""
    slot = slot or new_slot(model.architecture)
    chunk = chunk or len(ids)
    parts = [model.forward(ids[at : at + chunk], slot) for at in range(0, len(ids), chunk)]
    return model.logits(torch.cat(parts))


def assert_equal(ours: torch.Tensor, expected: torch.Tensor) -> None:
    """Within fp32's rounding."""
    torch.testing.assert_close(ours, expected.float(), rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def model() -> LlamaModel:
    """With grouped heads."""
    return tiny_model(SMALL)


@pytest.mark.parametrize("name", SHAPES)
def test_logits_equal_those_of_the_papers(name: str) -> None:
    """For each way in which heads are shared."""
    checkpoint = tiny_checkpoint(SHAPES[name])
    ids = [5, 63, 0, 17, 17, 42, 8, 1, 33]
    ours = logits(load_model(checkpoint, FP32, lambda _share: None), ids)
    assert ours.dtype is torch.float32
    assert_equal(ours, reference_logits(checkpoint, ids))


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_a_prompt_in_chunks_equals_the_whole(model: LlamaModel, chunk: int) -> None:
    """Whatever their size: 150 tokens end in the middle of one."""
    ids = torch.randint(0, 64, (150,), generator=torch.Generator().manual_seed(2)).tolist()
    assert_equal(logits(model, ids, chunk=chunk), logits(model, ids))


@given(cached=token_ids, new=token_ids)
@settings(deadline=None, max_examples=30)
def test_cached_equals_uncached(model: LlamaModel, cached: list[int], new: list[int]) -> None:
    """The new tokens see the cached ones as if they came together."""
    slot = new_slot(SMALL)
    model.forward(cached, slot)
    assert_equal(logits(model, new, slot), logits(model, cached + new)[len(cached) :])
    assert slot.ids.tolist() == cached + new


@given(ids=token_ids, others=token_ids, data=st.data())
@settings(deadline=None, max_examples=30)
def test_nothing_is_left_of_what_was_cut_back(
    model: LlamaModel, ids: list[int], others: list[int], data: st.DataObject
) -> None:
    """After the cut, other tokens get the logits that they get in a fresh slot."""
    kept = data.draw(st.integers(0, len(ids)))
    slot = new_slot(SMALL)
    model.forward(ids, slot)
    slot.cut(kept)
    assert_equal(logits(model, others, slot), logits(model, ids[:kept] + others)[kept:])


def test_no_token_sees_a_later_one(model: LlamaModel) -> None:
    """Another end leaves the logits before it as they were."""
    assert_equal(logits(model, [1, 2, 3, 4])[:3], logits(model, [1, 2, 3, 60])[:3])


def test_a_wrong_model_would_be_noticed(model: LlamaModel) -> None:
    """The tolerance is far below what one token more in front changes."""
    assert (logits(model, [9, 1, 2])[1:] - logits(model, [1, 2])).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_are_those_of_the_checkpoint(name: str) -> None:
    """A tied head counts once."""
    checkpoint = tiny_checkpoint(SHAPES[name])
    expected = sum(math.prod(source.shape) for source in checkpoint.tensors.values())
    assert load_model(checkpoint, FP32, lambda _share: None).parameters == expected


def test_bf16_is_near_fp32() -> None:
    """Eight bits of mantissa through two layers: within a few hundredths of logits of about 1."""
    half = replace(FP32, dtype=torch.bfloat16, dtype_name="bf16")
    model = load_model(tiny_checkpoint(SMALL), half, lambda _share: None)
    assert (model.dtype, model.device.type) == (torch.bfloat16, "cpu")
    slot = new_slot(SMALL)
    slot._kv = slot._kv.bfloat16()
    ids = [5, 63, 0, 17, 42]
    difference = logits(model, ids, slot) - logits(tiny_model(SMALL), ids)
    assert difference.abs().max() < 0.05
