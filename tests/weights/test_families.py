"""The table of tensors agrees with what others call them, and with itself."""

from __future__ import annotations

from dataclasses import replace

import gguf
import pytest
from tiny_models import TINY_ARCHITECTURE

from midfill.weights.families import FAMILIES, LLAMA, Family, expected_shapes


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_every_tensor_has_the_name_that_the_gguf_package_gives_it(family: Family) -> None:
    """Its table is made for all architectures."""
    kind = gguf.MODEL_ARCH[family.name.upper()]
    names = gguf.get_tensor_name_map(kind, TINY_ARCHITECTURE.num_hidden_layers)
    for name in expected_shapes(replace(TINY_ARCHITECTURE, family=family.name)):
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
    """Biases, other spellings, other places."""
    assert LLAMA.from_gguf(name) is None


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_parts_and_fused_matrices_hold_each_tensor_of_a_layer_once(family: Family) -> None:
    """The kernels' parts are finer: each lies in one fused matrix, in order."""
    shapes = expected_shapes(replace(TINY_ARCHITECTURE, family=family.name))
    names = [name for name in shapes if ".layers.1." in name]
    parts, fused = family.parts(1), family.fused(1)
    for groups in (parts, fused):
        assert sorted(name for group in groups.values() for name in group) == sorted(names)
    for group in fused.values():
        inside = [part for part in parts.values() if part[0] in group]
        assert [name for part in inside for name in part] == group
