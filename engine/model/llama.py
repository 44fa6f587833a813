"""The Llama decoder (Touvron et al. 2023): RMSNorm, rotary grouped-query attention, SwiGLU.

Qwen2 is the same with a bias on queries, keys and values.

A model is a function of token ids and a cache slot; the caller owns the slot. Names are those of
transformers' ``LlamaForCausalLM``; query, key and value matrices are fused into one, as are gate
and up.
Axes: T new tokens, S cached tokens, Hq query heads, Hkv key/value heads, D head width, V
    vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import embedding, rms_norm, scaled_dot_product_attention, silu

from midfill.engine.model.linear import DenseLinear
from midfill.engine.model.rope import RotaryTable, rotate
from midfill.weights.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from midfill.engine.model.decoder import TreePositions
    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.model.linear import Linear
    from midfill.engine.scheduling.cancel import CancelFlag
    from midfill.weights.architecture import LlamaArchitecture


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One decoder layer."""

    input_layernorm: torch.Tensor
    qkv_proj: Linear
    o_proj: Linear
    post_attention_layernorm: torch.Tensor
    gate_up_proj: Linear
    down_proj: Linear
    qkv_bias: torch.Tensor | None = None
    """Added to queries, keys and values, ((Hq + 2 Hkv) * D,); None: the family has none."""


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """A whole decoder; ``lm_head`` may share its matrix with ``embed_tokens`` (V, hidden)."""

    embed_tokens: torch.Tensor
    layers: tuple[LayerWeights, ...]
    norm: torch.Tensor
    lm_head: Linear


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the new tokens stand: rotary angles, each (T, 1, D), and mask (T, S + T)."""

    cos: torch.Tensor
    sin: torch.Tensor
    mask: torch.Tensor | None


class LlamaModel:
    """Weights and rotary table, ready to run on one device in one dtype."""

    def __init__(self, architecture: LlamaArchitecture, weights: ModelWeights) -> None:
        self.architecture = architecture
        self.weights = weights
        self._rope = RotaryTable(
            architecture, weights.embed_tokens.dtype, weights.embed_tokens.device
        )

    @property
    def dtype(self) -> torch.dtype:
        """The format of activations, keys and values."""
        return self.weights.embed_tokens.dtype

    @property
    def device(self) -> torch.device:
        """Where everything lives."""
        return self.weights.embed_tokens.device

    @property
    def parameters(self) -> int:
        """Weights in all matrices and norms, a tied head counted once."""
        layers, head = self.weights.layers, self.weights.lm_head
        linear = sum(
            matrix.parameters
            for layer in layers
            for matrix in (layer.qkv_proj, layer.o_proj, layer.gate_up_proj, layer.down_proj)
        )
        norms = (2 * len(layers) + 1) * self.weights.norm.numel()
        norms += sum(layer.qkv_bias.numel() for layer in layers if layer.qkv_bias is not None)
        tied = self.architecture.tie_word_embeddings
        return linear + norms + self.weights.embed_tokens.numel() + (not tied) * head.parameters

    @torch.inference_mode()
    def forward(
        self,
        ids: Sequence[int],
        slot: Slot,
        _cancel: CancelFlag | None = None,
        tree: TreePositions | None = None,
    ) -> torch.Tensor:
        """Run T new tokens behind a slot's S cached ones, and cache them; nothing stops it.

        Returns:
            The final hidden states, (T, hidden).
        """
        start, end = slot.length, slot.length + len(ids)
        slot.reserve(end)
        cos, sin = self._rope.of(tree.positions) if tree else self._rope.at(start, end)
        places = _Places(cos, sin, _mask(start, end, tree, self.dtype, self.device))
        x = embedding(torch.tensor(ids, device=self.device), self.weights.embed_tokens)
        for index, layer in enumerate(self.weights.layers):
            heads = layer.qkv_proj(self._norm(x, layer.input_layernorm))
            if layer.qkv_bias is not None:
                heads = heads + layer.qkv_bias
            x = x + layer.o_proj(self._attend(index, heads, slot, places))
            x = x + _feed_forward(layer, self._norm(x, layer.post_attention_layernorm))
        slot.append(ids)
        return self._norm(x, self.weights.norm)

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits in fp32, (T, V), of final hidden states (T, hidden)."""
        return self.weights.lm_head(hidden).float()

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return rms_norm(x, weight.shape, weight, self.architecture.rms_norm_eps)

    def _attend(self, index: int, heads: torch.Tensor, slot: Slot, places: _Places) -> torch.Tensor:
        """Queries, keys and values (T, (Hq + 2 Hkv) * D) to attended values (T, Hq * D)."""
        a, new = self.architecture, len(heads)
        query_heads, kv_heads = a.num_attention_heads, a.num_key_value_heads
        heads = heads.view(new, query_heads + 2 * kv_heads, a.head_dim)
        rotated = rotate(heads[:, : query_heads + kv_heads], places.cos, places.sin)
        keys, values = slot.write(
            index, rotated[:, query_heads:], heads[:, query_heads + kv_heads :]
        )
        queries = rotated[:, :query_heads]
        if places.mask is None:
            return _attend_from_one(queries, keys, values)
        out = scaled_dot_product_attention(
            queries.transpose(0, 1).unsqueeze(0),
            keys.unsqueeze(0),
            values.unsqueeze(0),
            attn_mask=places.mask,
            enable_gqa=query_heads != kv_heads,
        )
        return out[0].transpose(0, 1).reshape(new, -1)


def read_llama(
    architecture: LlamaArchitecture,
    read: Callable[[Sequence[str]], torch.Tensor],
    on_progress: Callable[[float], None],
) -> LlamaModel:
    """The model of a checkpoint, its matrices fused.

    Args:
        architecture: Its shape.
        read: Gives the tensors of these names, one below the other.
        on_progress: Called with the share done, 0 to 1, after each layer.
    """
    family = FAMILIES[architecture.family]
    tokens, norm, head = (family.outer_name(part) for part in ("embed_tokens", "norm", "lm_head"))
    embed_tokens = read([tokens])
    lm_head = embed_tokens if architecture.tie_word_embeddings else read([head])
    layers = []
    for index in range(architecture.num_hidden_layers):
        layers.append(_read_layer(family.fused(index), read))
        on_progress((index + 1) / architecture.num_hidden_layers)
    weights = ModelWeights(embed_tokens, tuple(layers), read([norm]), DenseLinear(lm_head))
    return LlamaModel(architecture, weights)


def _read_layer(
    names: Mapping[str, Sequence[str]], read: Callable[[Sequence[str]], torch.Tensor]
) -> LayerWeights:
    tensors = {part: read(names_of_part) for part, names_of_part in names.items()}
    fields: dict[str, Any] = {
        part: DenseLinear(tensor) if tensor.ndim > 1 else tensor for part, tensor in tensors.items()
    }
    return LayerWeights(**fields)


def _attend_from_one(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """A single token sees everything, so the heads of a group can stand where tokens do.

    Measured at 2,048 cached tokens in bf16: 0.2 ms a layer, against 1.2 ms with ``enable_gqa``.
    """
    grouped = queries.view(1, len(keys), -1, queries.shape[-1])
    out = scaled_dot_product_attention(grouped, keys.unsqueeze(0), values.unsqueeze(0))
    return out.reshape(1, -1)


def _feed_forward(layer: LayerWeights, x: torch.Tensor) -> torch.Tensor:
    """SwiGLU (Shazeer 2020)."""
    gate, up = layer.gate_up_proj(x).chunk(2, -1)
    return layer.down_proj(silu(gate) * up)


def _mask(
    start: int,
    end: int,
    tree: TreePositions | None,
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor | None:
    """0 where a new token (row) may see a token (column), else -inf, (T, S + T); None: 0 only."""
    if tree is None and end - start == 1:
        return None
    unseen = torch.full((end - start, end), float("-inf"), dtype=dtype, device=device)
    if tree is None:
        return unseen.triu_(start + 1)
    unseen[:, : tree.trunk] = 0
    unseen[:, tree.trunk :].masked_fill_(torch.from_numpy(tree.seen).to(device), 0)
    return unseen
