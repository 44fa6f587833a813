"""Models in native kernels, and what they are compared with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from tiny_engine import CPU, FP32, SHAPE, ArraySource

from midfill.engine.backend import kernels_read_prompts
from midfill.engine.kernels import quantization
from midfill.engine.kernels.bindings import load
from midfill.engine.kernels.model import NativeModel
from midfill.engine.kernels.weights import NativeWeights, build_native_weights
from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.loader import DTYPES, Placement, load_model
from midfill.weights.architecture import RopeScaling

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Sequence

    from midfill.engine.model.decoder import Decoder
    from midfill.engine.model.llama import LlamaModel
    from midfill.weights.architecture import Checkpoint, LlamaArchitecture


TOLERANCE = {"fp32": 1e-4, "bf16": 0.1, "int8": 0.1, "int4": 0.1}
"""Largest difference of a logit, in standard deviations of all logits. fp32 only adds in another
order. bf16 rounds keys and values to 8 bits (0.4 %), and PyTorch's long passes everything; int8
and int4 round activations (to 0.4 % of the largest of 32). A wrong weight, position or head gives
1 and more."""


SHAPES = {
    "tiny": SHAPE,
    "one head for all": replace(
        SHAPE, hidden_size=48, intermediate_size=80, num_attention_heads=3, num_key_value_heads=1,
        head_dim=16, vocab_size=100, tie_word_embeddings=True,
    ),
    "wide heads": replace(
        SHAPE, hidden_size=72, intermediate_size=100, num_attention_heads=2, num_key_value_heads=2,
        head_dim=128,
    ),
    "odd heads": replace(SHAPE, num_attention_heads=5, num_key_value_heads=1, head_dim=20),
    "one wide key for many": replace(
        SHAPE, num_attention_heads=8, num_key_value_heads=1, head_dim=64
    ),
    "a bias on queries, keys and values": replace(SHAPE, head_dim=40, family="qwen2"),
    "no gate, biases, a window": replace(
        SHAPE, family="starcoder2", activation="gelu_tanh", attention_bias=True, mlp_bias=True,
        sliding_window=100, tie_word_embeddings=True,
    ),
    "normalized heads, one layer without positions, one without a window": replace(
        SHAPE, family="qwen3", head_dim=32, unrotated_layers=(0,), sliding_window=40,
        full_attention_layers=(1,),
    ),
    "multipliers, biases, very wide heads": replace(
        SHAPE, head_dim=256, activation="gelu_tanh", attention_bias=True, mlp_bias=True,
        embedding_multiplier=6.0, residual_multiplier=0.5, attention_multiplier=0.1,
        logits_scaling=8.0,
    ),
    "stretched": replace(SHAPE, head_dim=64, rope_scaling=RopeScaling("linear", 4.0)),
    "llama3": replace(
        SHAPE, head_dim=32, rope_theta=500000.0, rope_scaling=RopeScaling("llama3", 8.0, 1, 4, 64)
    ),
}  # fmt: skip


def rounded_to(checkpoint: Checkpoint, wanted: str) -> Checkpoint:
    """The same model with the values that its matrices have in a format."""

    def rounded(name: str, weight: torch.Tensor) -> torch.Tensor:
        if wanted == "fp32" or weight.ndim == 1:
            return weight
        head = "model.embed_tokens" if checkpoint.architecture.tie_word_embeddings else "lm_head"
        if wanted == "bf16" or ("embed_tokens" in name and "embed_tokens" not in head):
            return weight.bfloat16().float()
        bits = 4 if wanted == "int4" and head not in name else 8
        return torch.from_numpy(quantization.dequantize(quantization.quantize(weight, bits)))

    tensors = {
        name: ArraySource(rounded(name, source.read(torch.float32)).numpy())
        for name, source in checkpoint.tensors.items()
    }
    return replace(checkpoint, tensors=tensors)


def native(
    checkpoint: Checkpoint,
    wanted: str,
    threads: int = 2,
    library: ctypes.CDLL | None = None,
    long_passes: bool | None = None,
    weights: NativeWeights | None = None,
) -> NativeModel:
    """The model with kernels; long passes in PyTorch where the runtime would have them there.

    Weights that are given are those that it would be made with, and are not changed.
    """
    library = library or load()
    if long_passes is None:
        long_passes = not kernels_read_prompts(library, wanted, checkpoint.architecture)
    model = in_pytorch(checkpoint, wanted) if long_passes else None
    weights = weights or native_weights(checkpoint, wanted, model)
    return NativeModel(
        *(checkpoint.architecture, dtype_of(wanted), weights, threads, library), long_passes=model
    )


def native_weights(
    checkpoint: Checkpoint, wanted: str, model: LlamaModel | None = None
) -> NativeWeights:
    """Weights for the kernels; dense ones are those of a model in PyTorch, of this one if given."""
    if model is None and wanted in DTYPES:
        model = in_pytorch(checkpoint, wanted)
    return build_native_weights(checkpoint, wanted, model)


def in_pytorch(checkpoint: Checkpoint, wanted: str) -> LlamaModel:
    """The model in PyTorch as the runtime has it beside kernels of a format."""
    placement = Placement(CPU, dtype_of(wanted), wanted, "")
    return load_model(rounded_to(checkpoint, wanted), placement, lambda _share: None)


def dtype_of(wanted: str) -> torch.dtype:
    """Type of keys and values beside weights in a format."""
    return torch.float32 if wanted == "fp32" else torch.bfloat16


def reference(checkpoint: Checkpoint, wanted: str) -> LlamaModel:
    """The model in PyTorch in fp32, its matrices rounded to the format first."""
    return load_model(rounded_to(checkpoint, wanted), FP32, lambda _share: None)


def run(model: Decoder, ids: Sequence[int], *sizes: int, slot: Slot | None = None) -> torch.Tensor:
    """Logits of all tokens, run in pieces of these sizes, and the rest at once."""
    slot = slot or Slot(model.architecture, model.dtype, model.device)
    rows, ids = [], list(ids)
    for size in (*sizes, len(ids) - sum(sizes)):
        if size:
            rows.append(model.logits(model.forward(ids[:size], slot)))
        ids = ids[size:]
    return torch.cat(rows)


def some_ids(architecture: LlamaArchitecture, count: int) -> list[int]:
    """Tokens in no order."""
    return [(7919 * i + 13) % architecture.vocab_size for i in range(count)]


def assert_close(ours: torch.Tensor, theirs: torch.Tensor, wanted: str) -> None:
    """Within the format's tolerance."""
    difference = (ours - theirs).abs().max() / theirs.std()
    assert difference < TOLERANCE[wanted], float(difference)
