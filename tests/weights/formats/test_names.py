"""The name tables agree with the gguf package's own."""

from __future__ import annotations

import gguf
import pytest
from tiny_models import TINY_ARCHITECTURE

from midfill.weights.families import expected_shapes
from midfill.weights.families import LLAMA
from midfill.weights.formats.names import HUGGINGFACE_HARMLESS


def test_every_tensor_of_the_architecture_has_the_name_that_the_gguf_package_gives_it() -> None:
    """Its table is made for all architectures; ours for one."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, TINY_ARCHITECTURE.num_hidden_layers)
    for name in expected_shapes(TINY_ARCHITECTURE):
        stored = names.get_name(name, try_suffixes=(".weight",))
        assert LLAMA.from_gguf(stored) == name


@pytest.mark.parametrize(
    "name", ["blk.0.attn_q.bias", "blk.00.attn_q.weight", "blk.x.attn_q.weight", "attn_q.weight"]
)
def test_a_name_outside_the_tables_has_no_translation(name: str) -> None:
    """Biases, other spellings, other places."""
    assert LLAMA.from_gguf(name) is None


def test_only_the_rotary_buffer_is_harmless() -> None:
    """No pattern so wide that it hides a weight."""
    assert HUGGINGFACE_HARMLESS.fullmatch("model.layers.31.self_attn.rotary_emb.inv_freq")
    assert not HUGGINGFACE_HARMLESS.fullmatch("model.layers.31.self_attn.q_proj.weight")
