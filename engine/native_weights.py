"""A decoder's weights as the kernels read them: chosen formats, packed, with C's view of them.

Plain matrices are torch's own, shared and not copied. Quantized ones are packed beside them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from midfill.engine import quantization
from midfill.engine.kernel_calls import Arena, CDecoder, CLayer, CMatrix, dense
from midfill.engine.linear import DenseLinear

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from midfill.engine.linear import Linear
    from midfill.engine.model import LayerWeights, LlamaModel
    from midfill.engine.quantization import GroupedMatrix
    from midfill.weights.architecture import TensorSource

BITS = {"int8": 8, "int4": 4}


@dataclass
class NativeWeights:
    """What ``midfill_open`` is given, and all that has to stay in memory for it."""

    decoder: CDecoder
    layers: object
    arena: Arena
    vectors: list[torch.Tensor] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    """Weights of the layers in each format, by name."""

    @property
    def format(self) -> str:
        """The one of most weights of the layers."""
        return self.formats.most_common(1)[0][0]

    @property
    def nbytes(self) -> int:
        """Bytes of all that was packed for the kernels alone."""
        return self.arena.used_bytes + sum(vector.nbytes for vector in self.vectors)


def build_native_weights(
    model: LlamaModel, tensors: Mapping[str, TensorSource], wanted: str
) -> NativeWeights:
    """Weights for the kernels.

    Args:
        model: The decoder in torch; its plain matrices are shared.
        tensors: Those of its checkpoint.
        wanted: ``bf16`` or ``fp32`` (the model's own dtype): all as it is; ``int8``, ``int4``:
            quantized, the head of an int4 model to int8; ``auto``: GGUF's Q4_0, Q4_1 and Q8_0
            without loss, anything else to int8. GGUF blocks of a wanted kind are never requantized.
    """
    return _Builder(model, tensors, wanted).build()


class _Builder:
    def __init__(self, model: LlamaModel, tensors: Mapping[str, TensorSource], wanted: str) -> None:
        self._model, self._tensors, self._wanted = model, tensors, wanted
        count = model.architecture.num_hidden_layers
        self._layers = (CLayer * count)()
        self._weights = NativeWeights(CDecoder(), self._layers, Arena(_most_bytes(tensors)))

    def build(self) -> NativeWeights:
        a, weights, decoder = self._model.architecture, self._model.weights, self._weights.decoder
        for index, layer in enumerate(weights.layers):
            self._layers[index] = self._layer(f"model.layers.{index}.", layer)
        head = "model.embed_tokens" if a.tie_word_embeddings else "lm_head"
        decoder.layers, decoder.hidden = a.num_hidden_layers, a.hidden_size
        decoder.intermediate, decoder.head_dim = a.intermediate_size, a.head_dim
        decoder.query_heads, decoder.kv_heads = a.num_attention_heads, a.num_key_value_heads
        decoder.rms_norm_eps = a.rms_norm_eps
        decoder.lm_head = self._matrix([head], _weight(weights.lm_head), is_head=True)
        tied = a.tie_word_embeddings
        decoder.embed_tokens = decoder.lm_head if tied else dense(weights.embed_tokens)
        decoder.norm = self._vector("model.norm")
        decoder.layer = self._layers
        return self._weights

    def _layer(self, prefix: str, layer: LayerWeights) -> CLayer:
        attention, feed_forward = prefix + "self_attn.", prefix + "mlp."
        gate, up = _weight(layer.gate_up_proj).chunk(2)
        return CLayer(
            self._vector(prefix + "input_layernorm"),
            self._vector(prefix + "post_attention_layernorm"),
            self._matrix([f"{attention}{part}_proj" for part in "qkv"], _weight(layer.qkv_proj)),
            self._matrix([attention + "o_proj"], _weight(layer.o_proj)),
            self._matrix([feed_forward + "gate_proj"], gate),
            self._matrix([feed_forward + "up_proj"], up),
            self._matrix([feed_forward + "down_proj"], _weight(layer.down_proj)),
        )

    def _vector(self, name: str) -> int:
        vector = self._tensors[name + ".weight"].read(torch.float32)
        self._weights.vectors.append(vector)
        return vector.data_ptr()

    def _matrix(self, names: list[str], plain: torch.Tensor, *, is_head: bool = False) -> CMatrix:
        if self._wanted in ("bf16", "fp32"):
            self._weights.formats[self._wanted] += plain.numel() * (not is_head)
            return dense(plain)
        sources = [self._tensors[name + ".weight"] for name in names]
        bits = None if self._wanted == "auto" else 8 if is_head else BITS[self._wanted]
        matrix = _without_loss(sources, bits) or quantization.quantize(plain, bits or 8)
        self._weights.formats[f"int{matrix.bits}"] += plain.numel() * (not is_head)
        return self._weights.arena.put(matrix)


def _most_bytes(tensors: Mapping[str, TensorSource]) -> int:
    matrices = [source.shape for source in tensors.values() if len(source.shape) == 2]
    return sum(quantization.packed_bytes(rows, columns, 8) for rows, columns in matrices)


def _weight(linear: Linear) -> torch.Tensor:
    assert isinstance(linear, DenseLinear), linear
    return linear.weight


def _without_loss(sources: Sequence[TensorSource], bits: int | None) -> GroupedMatrix | None:
    """GGUF's own blocks, if all parts have blocks of the same (wanted) bits."""
    blocks = [source.blocks() for source in sources]
    parts = [quantization.from_blocks(*block) for block in blocks if block is not None]
    found = [part for part in parts if part is not None]
    kinds = {part.bits for part in found}
    if len(found) != len(sources) or len(kinds) > 1 or (bits is not None and kinds != {bits}):
        return None
    return quantization.stack(found)
