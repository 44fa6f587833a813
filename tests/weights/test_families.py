"""The table of tensors agrees with what others call them, and with itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import gguf
import pytest
from tiny_models import TINY_ARCHITECTURE

from midfill.weights.families import (
    FAMILIES,
    GEMMA,
    LLAMA,
    SMOLLM3,
    Family,
    expected_shapes,
    family_of,
)

if TYPE_CHECKING:
    from midfill.weights.architecture import LlamaArchitecture


def whole(family: Family) -> LlamaArchitecture:
    """A model with all that the family may have."""
    return replace(TINY_ARCHITECTURE, family=family.name, attention_bias=True, mlp_bias=True)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_every_tensor_has_the_name_that_the_gguf_package_gives_it(family: Family) -> None:
    """Its table is made for all architectures."""
    kind = gguf.MODEL_ARCH[family.gguf.upper()]
    names = gguf.get_tensor_name_map(kind, TINY_ARCHITECTURE.num_hidden_layers)
    # Gemma's head is its embedding, which is all that the package knows of it
    for name in expected_shapes(replace(whole(family), tie_word_embeddings=family is GEMMA)):
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert family.from_gguf(stored) == name
        assert family.to_gguf(name) == stored


@pytest.mark.parametrize(
    "name",
    [
        "blk.0.attn_q.bias",
        "blk.0.attn_q.bias.weight",
        "blk.00.attn_q.weight",
        "blk.x.attn_q.weight",
        "attn_q.weight",
    ],
)
def test_a_name_outside_the_table_has_no_translation(name: str) -> None:
    """Biases of a model without them, other spellings, other places."""
    assert family_of(TINY_ARCHITECTURE).from_gguf(name) is None


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_parts_and_fused_matrices_hold_each_tensor_of_a_layer_once(family: Family) -> None:
    """The kernels' parts are finer: each lies in one fused matrix, in order."""
    shapes = expected_shapes(whole(family))
    names = [name for name in shapes if ".layers.1." in name]
    parts, fused = family.parts(1), family.fused(1)
    for groups in (parts, fused):
        assert sorted(name for group in groups.values() for name in group) == sorted(names)
    for group in fused.values():
        inside = [part for part in parts.values() if part[0] in group]
        assert [name for part in inside for name in part] == group


def test_a_tensor_of_some_models_is_in_those_only() -> None:
    """LLaMA has biases only where the configuration says so."""
    plain = expected_shapes(TINY_ARCHITECTURE)
    biased = expected_shapes(replace(TINY_ARCHITECTURE, attention_bias=True))
    added = {name.removeprefix("model.layers.0.") for name in biased.keys() - plain.keys()}
    assert {f"self_attn.{part}_proj.bias" for part in "qkvo"} <= added
    assert not any("mlp" in name for name in added)


@pytest.mark.parametrize(
    ("layers", "every", "expected"), [(9, 4, (3, 7)), (3, 4, ()), (4, 1, (0, 1, 2, 3))]
)
def test_every_so_many_layers_one_has_no_positions(
    layers: int, every: int, expected: tuple[int, ...]
) -> None:
    """The last one of each group; a family without such layers has none."""
    assert SMOLLM3.unrotated_layers(layers, every) == expected
    assert LLAMA.unrotated_layers(layers) == ()
