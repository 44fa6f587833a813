"""A decoder's weights as the kernels read them: chosen formats, packed, with C's view of them."""

from __future__ import annotations

from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING, TypeVar

import torch

from midfill.engine.kernels import packed_cache, quantization
from midfill.engine.kernels.bindings import (
    Arena,
    CDecoder,
    CLayer,
    CMatrix,
    dense,
    release_freed,
)
from midfill.engine.kernels.packed_cache import PackedMatrix
from midfill.engine.kernels.quantization import Form, GroupedMatrix
from midfill.engine.model.linear import DenseLinear
from midfill.engine.model.loader import DTYPES, read_finite, refuse_values
from midfill.weights.architecture import ACTIVATIONS
from midfill.weights.families import expected_shapes, family_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from midfill.engine.kernels.packed_cache import Packed, Part
    from midfill.engine.model.linear import Linear
    from midfill.engine.model.llama import LlamaModel
    from midfill.weights.architecture import Checkpoint, LlamaArchitecture, TensorSource

_Part = TypeVar("_Part")
_Read = tuple[GroupedMatrix, ...] | torch.Tensor
"""A matrix in parts, one below the other, or whole and plain; or a vector."""

BITS = {"int8": 8, "int4": 4}
READERS = 2
"""Threads that read layers: one would leave the disk or the processor waiting for the other."""


@dataclass
class NativeWeights:
    """What ``midfill_open`` is given, and all that has to stay in memory for it."""

    decoder: CDecoder
    layers: object
    arena: Arena
    parameters: int
    """Weights in all matrices and norms, a tied head counted once."""
    kept: list[torch.Tensor] = field(default_factory=list)
    """Norms, and what is not packed."""
    formats: Counter[str] = field(default_factory=Counter)
    """Weights of the layers in each format, by name."""

    @property
    def format(self) -> str:
        """The one of most weights of the layers."""
        return self.formats.most_common(1)[0][0]

    @property
    def nbytes(self) -> int:
        """Bytes of what was packed."""
        return self.arena.used_bytes


def build_native_weights(
    checkpoint: Checkpoint,
    wanted: str,
    model: LlamaModel | None = None,
    on_progress: Callable[[float], None] = lambda _share: None,
) -> NativeWeights:
    """Weights for the kernels.

    Args:
        checkpoint: Where from: blocks are read without PyTorch's rounding.
        wanted: ``bf16`` or ``fp32`` (the model's own dtype): all as it is; ``int8``, ``int4``:
            quantized, the head of an int4 model to int8; ``auto``: GGUF's Q4_0, Q4_1, Q4_K,
            Q5_0 and Q8_0 without loss, each matrix by itself, anything else to int8. GGUF blocks of
            a wanted kind are never requantized.
        model: The same decoder in torch, whose plain matrices are then shared; None reads
            some layers at a time, so that no more of them are plain at once.
        on_progress: Called with the share done, 0 to 1, after each layer.
    """
    if model is not None:
        return _Builder(checkpoint, wanted, _of_model(model), on_progress).build()
    file = packed_cache.place(checkpoint, wanted)
    packed = packed_cache.load(file, _part_shapes(checkpoint.architecture)) if file else None
    builder = _Builder(checkpoint, wanted, _of_checkpoint(checkpoint.tensors), on_progress, packed)
    weights = builder.build()
    release_freed()
    if file and not packed:
        packed_cache.save(file, builder.placed, weights.arena.used)
    return weights


class _Builder:
    def __init__(
        self,
        checkpoint: Checkpoint,
        wanted: str,
        plain: Callable[[Sequence[str]], torch.Tensor],
        on_progress: Callable[[float], None],
        packed: Packed | None = None,
    ) -> None:
        self._architecture, self._tensors = checkpoint.architecture, checkpoint.tensors
        self._importance = checkpoint.importance
        self._family = family_of(self._architecture)
        self._wanted, self._plain, self._on_progress = wanted, plain, on_progress
        self._layers = (CLayer * self._architecture.num_hidden_layers)()
        arena = Arena(_most_bytes(self._tensors))
        parameters = sum(prod(source.shape) for source in self._tensors.values())
        self._weights = NativeWeights(CDecoder(), self._layers, arena, parameters)
        self._packed = packed
        self.placed: list[Part] = []
        """Every part that was put, in order."""

    def build(self) -> NativeWeights:
        a, weights, decoder = self._architecture, self._weights, self._weights.decoder
        if self._packed:
            weights.arena.fill(self._packed.arena)
        parts = iter(self._packed.parts if self._packed else self._read())
        for index in range(a.num_hidden_layers):
            names = self._family.parts(index)
            self._layers[index] = CLayer(
                **{part: self._put(next(parts)) for part in names},
                window=a.window_of(index),
                is_unrotated=index in a.unrotated_layers,
            )
            self._on_progress((index + 1) / a.num_hidden_layers)
        self._count(self.placed)
        decoder.layers, decoder.hidden = a.num_hidden_layers, a.hidden_size
        decoder.intermediate, decoder.head_dim = a.intermediate_size, a.head_dim
        decoder.query_heads, decoder.kv_heads = a.num_attention_heads, a.num_key_value_heads
        decoder.rms_norm_eps, decoder.score_scale = a.rms_norm_eps, a.score_scale
        decoder.embedding_multiplier = a.embedding_multiplier
        decoder.residual_multiplier = a.residual_multiplier
        decoder.activation = ACTIVATIONS.index(a.activation)
        tied = a.tie_word_embeddings
        decoder.lm_head = self._put(next(parts))
        decoder.embed_tokens = decoder.lm_head if tied else self._put(next(parts))
        decoder.norm, *bias = (self._put(part) for part in parts)
        decoder.norm_bias = bias[0] if bias else None
        decoder.layer = self._layers
        return weights

    def _read(self) -> Iterator[_Read]:
        """All parts out of the checkpoint, in the order of ``build``."""
        for layer in _read_ahead(self._read_layer, self._architecture.num_hidden_layers):
            yield from layer
        tied = self._architecture.tie_word_embeddings
        tokens, head, *norms = self._family.outer_names(
            "embed_tokens", "lm_head", "norm", "norm_bias"
        )
        yield self._read_matrix([tokens if tied else head], is_head=True)
        if not tied:
            yield self._read_embedding(tokens)
        yield from map(self._read_vector, norms)

    def _read_layer(self, index: int) -> list[_Read]:
        """A layer's parts, in the order of ``CLayer``."""
        return [
            self._read_matrix(names)
            if len(self._tensors[names[0]].shape) > 1
            else torch.cat([self._read_vector(name) for name in names])
            for names in self._family.parts(index).values()
        ]

    def _read_vector(self, name: str) -> torch.Tensor:
        return read_finite(name, self._tensors[name], torch.float32)

    def _read_embedding(self, name: str) -> _Read:
        """Only single rows are read of it, so it is not worth quantizing."""
        if self._wanted not in DTYPES and (blocks := _without_loss(self._tensors[name], None)):
            return (_finite(name, blocks),)
        plain = self._plain([name])
        return plain if self._wanted == "fp32" else plain.bfloat16()

    def _read_matrix(self, names: list[str], *, is_head: bool = False) -> _Read:
        if self._wanted in DTYPES:
            return self._plain(names)
        bits = None if self._wanted == "auto" else 8 if is_head else BITS[self._wanted]
        runs = _stacked([self._read_grouped(name, bits) for name in names])
        if any(run.rows % quantization.PANEL for run in runs[:-1]):
            runs = _stacked([self._quantize(name, bits) for name in names])
        return runs

    def _read_grouped(self, name: str, bits: int | None) -> GroupedMatrix:
        blocks = _without_loss(self._tensors[name], bits)
        return _finite(name, blocks) if blocks else self._quantize(name, bits)

    def _quantize(self, name: str, bits: int | None) -> GroupedMatrix:
        """A matrix in so many bits, in eight for None; by the importance of inputs, if measured."""
        source = self._importance.get(name)
        measured = None if source is None else source.read(torch.float32)
        return _finite(name, quantization.quantize(self._plain([name]), bits or 8, measured))

    def _put(self, part: _Read | PackedMatrix) -> CMatrix | int:
        """What C is told of a matrix, or of a vector."""
        arena = self._weights.arena
        placed = arena.put(*part) if isinstance(part, tuple) else part
        self.placed.append(placed)
        if isinstance(placed, PackedMatrix):
            return arena.matrix(placed)
        self._weights.kept.append(placed)
        return placed.data_ptr() if placed.ndim == 1 else dense(placed)

    def _count(self, parts: Sequence[Part]) -> None:
        formats = self._weights.formats
        for whole in parts:
            if isinstance(whole, PackedMatrix):
                for part in whole.parts:
                    formats[f"int{part.form.bits}"] += part.rows * part.columns
            elif whole.ndim > 1:
                formats[self._wanted] += whole.numel()


def _part_shapes(architecture: LlamaArchitecture) -> list[tuple[int, ...]]:
    """The shapes of all parts, in the order of ``_Builder.build``."""
    family, shapes = family_of(architecture), expected_shapes(architecture)
    parts = [
        (sum(shapes[name][0] for name in names), *shapes[names[0]][1:])
        for index in range(architecture.num_hidden_layers)
        for names in family.parts(index).values()
    ]
    tokens, *norms = (shapes[n] for n in family.outer_names("embed_tokens", "norm", "norm_bias"))
    return [*parts, *[tokens] * (2 - architecture.tie_word_embeddings), *norms]


def _read_ahead(read: Callable[[int], _Part], count: int) -> Iterator[_Part]:
    """What ``read`` gives for 0, 1, ..., in this order; the next few are read meanwhile."""
    with ThreadPoolExecutor(READERS) as pool:
        pending = deque(pool.submit(read, index) for index in range(min(READERS, count)))
        for index in range(READERS, count + READERS):
            part = pending.popleft().result()
            if index < count:
                pending.append(pool.submit(read, index))
            yield part


def _of_checkpoint(
    tensors: Mapping[str, TensorSource],
) -> Callable[[Sequence[str]], torch.Tensor]:
    """What reads matrices of these names, one below the other, in fp32."""

    def read(names: Sequence[str]) -> torch.Tensor:
        parts = [read_finite(name, tensors[name], torch.float32) for name in names]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    return read


def _of_model(model: LlamaModel) -> Callable[[Sequence[str]], torch.Tensor]:
    """What finds the same in a model, which has matrices fused."""
    weights, shapes = model.weights, expected_shapes(model.architecture)
    family = family_of(model.architecture)
    tokens, head = family.outer_name("embed_tokens"), family.outer_name("lm_head")
    found: dict[tuple[str, ...], torch.Tensor] = {
        (tokens,): weights.embed_tokens,
        (head,): _weight(weights.lm_head),
    }
    for index, layer in enumerate(weights.layers):
        parts = family.parts(index).values()
        for fused, names in family.fused(index).items():
            inside = [part for part in parts if part[0] in names]
            if len(shapes[names[0]]) > 1:
                rows = [[shapes[name][0] for name in part] for part in inside]
                pieces = _weight(getattr(layer, fused)).split([sum(each) for each in rows])
                for part, piece, each in zip(inside, pieces, rows, strict=True):
                    found |= zip(((name,) for name in part), piece.split(each), strict=True)
                    found[tuple(part)] = piece
    return lambda names: found[tuple(names)]


def _most_bytes(tensors: Mapping[str, TensorSource]) -> int:
    matrices = [source.shape for source in tensors.values() if len(source.shape) == 2]
    most = Form(8, has_offsets=False)
    return sum(quantization.packed_bytes(rows, columns, most) for rows, columns in matrices)


def _weight(linear: Linear) -> torch.Tensor:
    assert isinstance(linear, DenseLinear), linear
    return linear.weight


def _without_loss(source: TensorSource, bits: int | None) -> GroupedMatrix | None:
    """GGUF's own blocks, if it has such, of the wanted bits."""
    blocks = source.blocks()
    found = None if blocks is None else quantization.from_blocks(*blocks)
    return found if found is not None and bits in (None, found.form.bits) else None


def _stacked(matrices: Sequence[GroupedMatrix]) -> tuple[GroupedMatrix, ...]:
    """Those beside each other that can be one matrix, made one."""
    alike = groupby(matrices, lambda matrix: (matrix.form.bits, matrix.form.is_nested))
    return tuple(quantization.stack(list(run)) for _, run in alike)


def _finite(name: str, matrix: GroupedMatrix) -> GroupedMatrix:
    if not matrix.is_finite:
        refuse_values(name)
    return matrix
