"""Families of models, a row each: what files call them, and one table of their tensors.

Loaders, writers, the PyTorch model, the kernels' structures and training all read the table. Names
are those of transformers' ``LlamaForCausalLM``, with ``.weight`` behind them in files; GGUF names
are those of the ``gguf`` package, ``constants.TENSOR_NAMES``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midfill.weights.architecture import LlamaArchitecture

_WEIGHT, _BIAS = ".weight", ".bias"
_LAYER_NAME = re.compile(r"model\.layers\.(?P<n>0|[1-9][0-9]*)\.(?P<tensor>.+)")
_GGUF_LAYER_NAME = re.compile(r"blk\.(?P<n>0|[1-9][0-9]*)\.(?P<tensor>.+)")


@dataclass(frozen=True, slots=True)
class TensorRow:
    """One row: a tensor of the model, or of each layer."""

    name: str
    gguf: str
    shape: tuple[str, ...]
    """Attributes of the architecture, rows first; a norm and a bias have one."""
    part: str
    """The matrix or norm of the kernels' structures that it is, or is the rows of."""
    fused: str
    """The same in the PyTorch model, where matrices with the same inputs are one."""

    @property
    def is_matrix(self) -> bool:
        """Whether it has rows; otherwise it is a norm or a bias."""
        return len(self.shape) > 1

    def shape_in(self, architecture: LlamaArchitecture) -> tuple[int, ...]:
        """Its shape in a model."""
        return tuple(getattr(architecture, size) for size in self.shape)


@dataclass(frozen=True, slots=True)
class Family:
    """One family: its tensors around the layers, and those of each layer, in C's order."""

    name: str
    """``model_type`` of its config.json, and ``general.architecture`` of its GGUF files."""
    outer: tuple[TensorRow, ...]
    layer: tuple[TensorRow, ...]
    rotates_neighbours: bool = False
    """Whether its GGUF files have the rows of queries and keys in llama.cpp's order for that."""

    def shapes(self, architecture: LlamaArchitecture) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor that a checkpoint holds, by its full name; no more, no fewer."""
        outer = [
            t for t in self.outer if t.part != "lm_head" or not architecture.tie_word_embeddings
        ]
        shapes = {t.name + _WEIGHT: t.shape_in(architecture) for t in outer}
        for index in range(architecture.num_hidden_layers):
            shapes |= {layer_name(index, t.name): t.shape_in(architecture) for t in self.layer}
        return shapes

    def outer_name(self, part: str) -> str:
        """The full name of a tensor around the layers: of ``norm``, ``model.norm.weight``."""
        return next(t.name for t in self.outer if t.part == part) + _WEIGHT

    def parts(self, index: int) -> dict[str, list[str]]:
        """The full names of a layer's tensors, by the kernels' part, in C's order."""
        return _grouped((t.part, layer_name(index, t.name)) for t in self.layer)

    def fused(self, index: int) -> dict[str, list[str]]:
        """The full names of a layer's tensors, by what they are in the PyTorch model."""
        return _grouped((t.fused, layer_name(index, t.name)) for t in self.layer)

    def inputs(self) -> dict[str, list[str]]:
        """Names of a layer's matrices without layer and ending, by what they are fused to."""
        return _grouped((t.fused, t.name) for t in self.layer if t.is_matrix)

    def to_gguf(self, name: str) -> str:
        """What GGUF calls a tensor."""
        layer = _LAYER_NAME.fullmatch(name)
        if layer is None:
            return self._outer_names()[name]
        gguf = next(t.gguf for t in self.layer if _file_name(t.name) == layer["tensor"])
        return f"blk.{layer['n']}.{_file_name(gguf)}"

    def from_gguf(self, gguf: str) -> str | None:
        """The name of a GGUF tensor; None where the family has no such tensor."""
        layer = _GGUF_LAYER_NAME.fullmatch(gguf)
        if layer is None:
            return {there: here for here, there in self._outer_names().items()}.get(gguf)
        names = (t.name for t in self.layer if _file_name(t.gguf) == layer["tensor"])
        return next((layer_name(int(layer["n"]), name) for name in names), None)

    def _outer_names(self) -> dict[str, str]:
        return {t.name + _WEIGHT: t.gguf + _WEIGHT for t in self.outer}


def layer_name(index: int, name: str) -> str:
    """The full name of a layer's tensor."""
    return f"model.layers.{index}.{_file_name(name)}"


def _file_name(name: str) -> str:
    """The name as files have it: that of a matrix or norm goes on with ``.weight``."""
    return name if name.endswith(_BIAS) else name + _WEIGHT


def _grouped(pairs: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for group, name in pairs:
        groups.setdefault(group, []).append(name)
    return groups


def _row(
    name: str, gguf: str, shape: tuple[str, ...], *, part: str = "", fused: str = ""
) -> TensorRow:
    part = part or name.rpartition(".")[2]
    return TensorRow(name, gguf, shape, part, fused or part)


_NORM = ("hidden_size",)
_TOKENS = ("vocab_size", "hidden_size")
_QUERIES, _KEYS = ("query_width", "hidden_size"), ("kv_width", "hidden_size")
_UP, _DOWN = ("intermediate_size", "hidden_size"), ("hidden_size", "intermediate_size")

LLAMA = Family(
    name="llama",
    outer=(
        _row("model.embed_tokens", "token_embd", _TOKENS),
        _row("model.norm", "output_norm", _NORM),
        _row("lm_head", "output", _TOKENS),
    ),
    layer=(
        _row("input_layernorm", "attn_norm", _NORM),
        _row("post_attention_layernorm", "ffn_norm", _NORM),
        _row("self_attn.q_proj", "attn_q", _QUERIES, part="qkv_proj"),
        _row("self_attn.k_proj", "attn_k", _KEYS, part="qkv_proj"),
        _row("self_attn.v_proj", "attn_v", _KEYS, part="qkv_proj"),
        _row("self_attn.o_proj", "attn_output", _QUERIES[::-1]),
        _row("mlp.gate_proj", "ffn_gate", _UP, fused="gate_up_proj"),
        _row("mlp.up_proj", "ffn_up", _UP, fused="gate_up_proj"),
        _row("mlp.down_proj", "ffn_down", _DOWN),
    ),
    rotates_neighbours=True,
)
"""Llama (Touvron et al. 2023), Code Llama and their relatives."""

QWEN2 = Family(
    name="qwen2",
    outer=LLAMA.outer,
    layer=(
        *LLAMA.layer,
        _row("self_attn.q_proj.bias", "attn_q.bias", ("query_width",), part="qkv_bias"),
        _row("self_attn.k_proj.bias", "attn_k.bias", ("kv_width",), part="qkv_bias"),
        _row("self_attn.v_proj.bias", "attn_v.bias", ("kv_width",), part="qkv_bias"),
    ),
)
"""Qwen2 and Qwen2.5 (Yang et al. 2024), Qwen2.5-Coder included: a bias on queries, keys, values."""

FAMILIES = {family.name: family for family in (LLAMA, QWEN2)}


def expected_shapes(architecture: LlamaArchitecture) -> dict[str, tuple[int, ...]]:
    """The tensors that a checkpoint of this architecture holds, no more and no fewer."""
    return FAMILIES[architecture.family].shapes(architecture)
