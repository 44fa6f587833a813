"""The Llama decoder (Touvron et al. 2023): RMSNorm, rotary grouped-query attention, SwiGLU.

Its relatives have some parts more or less, each None where a family has none: biases, normalized
queries and keys, LayerNorm (Ba et al. 2016: a norm with a bias), no gate. What is no tensor, such
as a sliding window, stands in the architecture.

A model is a function of token ids and a cache slot; the caller owns the slot. Names are those of
transformers' ``LlamaForCausalLM``; query, key and value matrices are fused into one, as are gate
and up.
Axes: T new tokens, S cached tokens, Hq query heads, Hkv key/value heads, D head width, V
    vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import (
    embedding,
    gelu,
    layer_norm,
    rms_norm,
    scaled_dot_product_attention,
    silu,
)

from midfill.engine.model.linear import DenseLinear
from midfill.engine.model.masks import visible
from midfill.engine.model.rope import RotaryTable, rotate
from midfill.weights.families import family_of

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
    """Added to queries, keys and values, ((Hq + 2 Hkv) * D,)."""
    o_bias: torch.Tensor | None = None
    gate_up_bias: torch.Tensor | None = None
    down_bias: torch.Tensor | None = None
    q_norm: torch.Tensor | None = None
    k_norm: torch.Tensor | None = None
    """One norm for all heads, (D,)."""
    input_layernorm_bias: torch.Tensor | None = None
    post_attention_layernorm_bias: torch.Tensor | None = None

    @property
    def parameters(self) -> int:
        """Weights in all its tensors."""
        parts = (getattr(self, field.name) for field in fields(self))
        return sum(
            part.numel() if isinstance(part, torch.Tensor) else part.parameters
            for part in parts
            if part is not None
        )


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """A whole decoder; ``lm_head`` may share its matrix with ``embed_tokens`` (V, hidden)."""

    embed_tokens: torch.Tensor
    layers: tuple[LayerWeights, ...]
    norm: torch.Tensor
    lm_head: Linear
    norm_bias: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the new tokens stand: rotary angles, each (T, 1, D), and masks, (T, S + T).

    Masks are 0 where a new token (row) may see a token (column), else -inf; None of a single token.
    """

    cos: torch.Tensor
    sin: torch.Tensor
    mask: torch.Tensor | None
    window_mask: torch.Tensor | None
    """The one of layers with a sliding window."""


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
        w, tied = self.weights, self.architecture.tie_word_embeddings
        norms = sum(part.numel() for part in (w.norm, w.norm_bias) if part is not None)
        tokens = w.embed_tokens.numel() + (not tied) * w.lm_head.parameters
        return sum(layer.parameters for layer in w.layers) + norms + tokens

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
        a, start, end = self.architecture, slot.length, slot.length + len(ids)
        slot.reserve(end)
        places = self._places(start, end, tree)
        x = embedding(torch.tensor(ids, device=self.device), self.weights.embed_tokens)
        if a.embedding_multiplier != 1:
            x = x * a.embedding_multiplier
        for index, layer in enumerate(self.weights.layers):
            normed = self._norm(x, layer.input_layernorm, layer.input_layernorm_bias)
            added = self._attend(index, normed, slot, places)
            x = torch.add(x, added, alpha=a.residual_multiplier)
            weight, bias = layer.post_attention_layernorm, layer.post_attention_layernorm_bias
            added = _feed_forward(layer, self._norm(x, weight, bias), a)
            x = torch.add(x, added, alpha=a.residual_multiplier)
        slot.append(ids)
        return self._norm(x, self.weights.norm, self.weights.norm_bias)

    @torch.inference_mode()
    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits in fp32, (T, V), of final hidden states (T, hidden)."""
        return self.weights.lm_head(hidden / self.architecture.logits_scaling).float()

    def _places(self, start: int, end: int, tree: TreePositions | None) -> _Places:
        cos, sin = self._rope.of(tree.positions) if tree else self._rope.at(start, end)
        if tree is None and end - start == 1:
            return _Places(cos, sin, None, None)

        def mask(window: int) -> torch.Tensor:
            seen = visible(start, end, tree, window, self.device)
            unseen = torch.full(seen.shape, float("-inf"), dtype=self.dtype, device=self.device)
            return unseen.masked_fill_(seen, 0)

        window, whole = self.architecture.sliding_window, mask(0)
        return _Places(cos, sin, whole, mask(window) if window else whole)

    def _norm(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        eps = self.architecture.rms_norm_eps
        if bias is not None:
            return layer_norm(x, weight.shape, weight, bias, eps)
        return rms_norm(x, weight.shape, weight, eps)

    def _attend(self, index: int, x: torch.Tensor, slot: Slot, places: _Places) -> torch.Tensor:
        """Normalized inputs to what attention adds to the residual stream, both (T, hidden)."""
        a, layer = self.architecture, self.weights.layers[index]
        heads = _with_bias(layer.qkv_proj(x), layer.qkv_bias).view(len(x), -1, a.head_dim)
        queries, new_keys, new_values = heads.split(
            (a.num_attention_heads, a.num_key_value_heads, a.num_key_value_heads), 1
        )
        if layer.q_norm is not None and layer.k_norm is not None:
            queries, new_keys = (
                self._norm(queries, layer.q_norm),
                self._norm(new_keys, layer.k_norm),
            )
        if index not in a.unrotated_layers:
            queries, new_keys = (rotate(h, places.cos, places.sin) for h in (queries, new_keys))
        keys, values = slot.write(index, new_keys, new_values)
        window = a.window_of(index)
        mask = places.window_mask if window else places.mask
        if window and mask is None:
            keys, values = keys[:, -window:], values[:, -window:]
        attended = _attended(queries, keys, values, mask, a.score_scale)
        return _with_bias(layer.o_proj(attended), layer.o_bias)


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
    family = family_of(architecture)
    tokens, head, *norms = family.outer_names("embed_tokens", "lm_head", "norm", "norm_bias")
    embed_tokens = read([tokens])
    lm_head = embed_tokens if architecture.tie_word_embeddings else read([head])
    layers = []
    for index in range(architecture.num_hidden_layers):
        layers.append(_read_layer(family.fused(index), read))
        on_progress((index + 1) / architecture.num_hidden_layers)
    norm, *bias = (read([name]) for name in norms)
    head_matrix = DenseLinear(lm_head)
    weights = ModelWeights(embed_tokens, tuple(layers), norm, head_matrix, *bias)
    return LlamaModel(architecture, weights)


def _read_layer(
    names: Mapping[str, Sequence[str]], read: Callable[[Sequence[str]], torch.Tensor]
) -> LayerWeights:
    tensors = {part: read(names_of_part) for part, names_of_part in names.items()}
    fields: dict[str, Any] = {
        part: DenseLinear(tensor) if tensor.ndim > 1 else tensor for part, tensor in tensors.items()
    }
    return LayerWeights(**fields)


def _attended(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """Attended values (T, Hq * D) of queries (T, Hq, D), keys and values (Hkv, S + T, D)."""
    if mask is None:
        return _attend_from_one(queries, keys, values, scale)
    out = scaled_dot_product_attention(
        queries.transpose(0, 1).unsqueeze(0),
        keys.unsqueeze(0),
        values.unsqueeze(0),
        attn_mask=mask,
        scale=scale,
        enable_gqa=queries.shape[1] != len(keys),
    )
    return out[0].transpose(0, 1).reshape(len(queries), -1)


def _attend_from_one(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float
) -> torch.Tensor:
    """A single token sees everything, so the heads of a group can stand where tokens do.

    Measured at 2,048 cached tokens in bf16: 0.2 ms a layer, against 1.2 ms with ``enable_gqa``.
    """
    grouped = queries.view(1, len(keys), -1, queries.shape[-1])
    out = scaled_dot_product_attention(grouped, keys.unsqueeze(0), values.unsqueeze(0), scale=scale)
    return out.reshape(1, -1)


def _with_bias(x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return x if bias is None else x + bias


def _feed_forward(layer: LayerWeights, x: torch.Tensor, a: LlamaArchitecture) -> torch.Tensor:
    """SwiGLU and GEGLU (Shazeer 2020), or without a gate."""
    inner = _with_bias(layer.gate_up_proj(x), layer.gate_up_bias)
    gate, *up = inner.split(a.intermediate_size, -1)
    active = silu(gate) if a.activation == "silu" else gelu(gate, approximate="tanh")
    if up:
        active = active * up[0]
    return _with_bias(layer.down_proj(active), layer.down_bias)
