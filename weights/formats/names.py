"""Tensor names as tables: what each format calls the tensors of a Llama decoder.

The left side is the file's name, the right side transformers' ``LlamaForCausalLM``; ``{n}`` is the
layer. Source of the GGUF names: the ``gguf`` package, ``constants.TENSOR_NAMES``.
"""

from __future__ import annotations

import re

GGUF_TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}

GGUF_LAYER_TENSORS = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}

GGUF_LAYER = re.compile(r"blk\.(?P<n>0|[1-9][0-9]*)\.(?P<tensor>.+)")
HUGGINGFACE_LAYER = re.compile(r"model\.layers\.(?P<n>[0-9]+)\.(?P<tensor>.+)")

HUGGINGFACE_HARMLESS = re.compile(r"model\.layers\.[0-9]+\.self_attn\.rotary_emb\.inv_freq")
"""Buffers that old versions of transformers saved; they follow from ``rope_theta``."""


def gguf_from_canonical(name: str) -> str:
    """What GGUF calls a tensor of the Llama architecture."""
    layer = HUGGINGFACE_LAYER.fullmatch(name)
    if layer is None:
        return _TO_GGUF[name]
    return f"blk.{layer['n']}.{_LAYER_TO_GGUF[layer['tensor']]}"


def canonical_from_gguf(name: str) -> str | None:
    """Transformers' name of a GGUF tensor, or None where the Llama architecture has no such."""
    layer = GGUF_LAYER.fullmatch(name)
    if layer is None:
        return GGUF_TENSORS.get(name)
    tensor = GGUF_LAYER_TENSORS.get(layer["tensor"])
    return None if tensor is None else f"model.layers.{layer['n']}.{tensor}"


_TO_GGUF = {canonical: name for name, canonical in GGUF_TENSORS.items()}
_LAYER_TO_GGUF = {canonical: name for name, canonical in GGUF_LAYER_TENSORS.items()}
