"""Patterns of names."""

from __future__ import annotations

from midfill.weights.formats.names import HUGGINGFACE_HARMLESS


def test_only_the_rotary_buffer_is_harmless() -> None:
    """No pattern so wide that it hides a weight."""
    assert HUGGINGFACE_HARMLESS.fullmatch("model.layers.31.self_attn.rotary_emb.inv_freq")
    assert not HUGGINGFACE_HARMLESS.fullmatch("model.layers.31.self_attn.q_proj.weight")
