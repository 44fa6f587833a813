"""Families of models, a row each: what files call them, and one table of their tensors.

Loaders, writers, the PyTorch model, the kernels' structures and training all read the table. Names
are those of transformers' ``LlamaForCausalLM``, with ``.weight`` behind them in files; GGUF names
are those of the ``gguf`` package, ``constants.TENSOR_NAMES``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
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
    where: str = ""
    """The attribute of architectures that have it; empty: all have."""

    @property
    def is_matrix(self) -> bool:
        """Whether it has rows; otherwise it is a norm or a bias."""
        return len(self.shape) > 1

    def shape_in(self, architecture: LlamaArchitecture) -> tuple[int, ...]:
        """Its shape in a model."""
        return tuple(getattr(architecture, size) for size in self.shape)

    def is_in(self, architecture: LlamaArchitecture) -> bool:
        """Whether a model has it."""
        return not self.where or bool(getattr(architecture, self.where))


@dataclass(frozen=True, slots=True)
class Family:
    """One family: its tensors around the layers, and those of each layer, in C's order."""

    name: str
    """``model_type`` of its config.json."""
    outer: tuple[TensorRow, ...]
    layer: tuple[TensorRow, ...]
    gguf: str
    """``general.architecture`` of its GGUF files."""
    rotates_neighbours: bool = False
    """Whether its GGUF files have the rows of queries and keys in llama.cpp's order for that."""
    activation: str = "silu"
    """The one of its GGUF files, which do not say."""
    norm_offset: float = 0.0
    """What its folders leave out of each norm's weight; GGUF files do not."""
    scales_embedding: bool = False
    """Whether embeddings are multiplied with the root of their width."""
    unrotated_every: int = 0
    """Each so many layers one has no positions, where the file does not say; 0: none."""

    def shapes(self, architecture: LlamaArchitecture) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor that a checkpoint holds, by its full name; no more, no fewer."""
        outer = [
            t for t in self.outer if t.part != "lm_head" or not architecture.tie_word_embeddings
        ]
        shapes = {_file_name(t.name): t.shape_in(architecture) for t in outer}
        for index in range(architecture.num_hidden_layers):
            shapes |= {layer_name(index, t.name): t.shape_in(architecture) for t in self.layer}
        return shapes

    def unrotated_layers(self, layers: int, every: int = 0) -> tuple[int, ...]:
        """The layers without positions: the last of each so many, by default the family's."""
        every = every or self.unrotated_every
        return tuple(range(every - 1, layers, every)) if every else ()

    def outer_name(self, part: str) -> str:
        """The full name of a tensor around the layers: of ``norm``, ``model.norm.weight``."""
        return self.outer_names(part)[0]

    def outer_names(self, *parts: str) -> list[str]:
        """The full names of those of such tensors around the layers that the family has."""
        found = {t.part: _file_name(t.name) for t in self.outer}
        return [found[part] for part in parts if part in found]

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
        return {_file_name(t.name): _file_name(t.gguf) for t in self.outer}


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
    name: str,
    gguf: str,
    shape: tuple[str, ...],
    *,
    part: str = "",
    fused: str = "",
    where: str = "",
) -> TensorRow:
    part = part or name.rpartition(".")[2]
    return TensorRow(name, gguf, shape, part, fused or part, where)


def _bias(name: str, gguf: str, width: str, *, part: str, where: str = "") -> TensorRow:
    return _row(f"{name}.bias", f"{gguf}.bias", (width,), part=part, where=where)


def _mlp_bias(name: str, gguf: str, *, part: str) -> TensorRow:
    if part == "down_bias":
        return _bias(name, gguf, "hidden_size", part=part, where="mlp_bias")
    row = _bias(name, gguf, "intermediate_size", part=part, where="mlp_bias")
    return replace(row, fused="gate_up_bias")


_NORM, _HEAD_NORM = ("hidden_size",), ("head_dim",)
_TOKENS = ("vocab_size", "hidden_size")
_QUERIES, _KEYS = ("query_width", "hidden_size"), ("kv_width", "hidden_size")
_UP, _DOWN = ("intermediate_size", "hidden_size"), ("hidden_size", "intermediate_size")
_NORMS = (
    _row("input_layernorm", "attn_norm", _NORM),
    _row("post_attention_layernorm", "ffn_norm", _NORM),
)
_ATTENTION = (
    _row("self_attn.q_proj", "attn_q", _QUERIES, part="qkv_proj"),
    _row("self_attn.k_proj", "attn_k", _KEYS, part="qkv_proj"),
    _row("self_attn.v_proj", "attn_v", _KEYS, part="qkv_proj"),
    _row("self_attn.o_proj", "attn_output", _QUERIES[::-1]),
)


def _attention_biases(where: str = "") -> tuple[TensorRow, ...]:
    return (
        _bias("self_attn.q_proj", "attn_q", "query_width", part="qkv_bias", where=where),
        _bias("self_attn.k_proj", "attn_k", "kv_width", part="qkv_bias", where=where),
        _bias("self_attn.v_proj", "attn_v", "kv_width", part="qkv_bias", where=where),
        _bias("self_attn.o_proj", "attn_output", "hidden_size", part="o_bias", where=where),
    )


def _without(rows: tuple[TensorRow, ...], *where: str) -> tuple[TensorRow, ...]:
    return tuple(row for row in rows if row.where not in where)


LLAMA = Family(
    name="llama",
    outer=(
        _row("model.embed_tokens", "token_embd", _TOKENS),
        _row("model.norm", "output_norm", _NORM),
        _row("lm_head", "output", _TOKENS),
    ),
    layer=(
        *_NORMS,
        *_ATTENTION,
        _row("mlp.gate_proj", "ffn_gate", _UP, fused="gate_up_proj"),
        _row("mlp.up_proj", "ffn_up", _UP, fused="gate_up_proj"),
        _row("mlp.down_proj", "ffn_down", _DOWN),
        *_attention_biases("attention_bias"),
        _mlp_bias("mlp.gate_proj", "ffn_gate", part="gate_bias"),
        _mlp_bias("mlp.up_proj", "ffn_up", part="up_bias"),
        _mlp_bias("mlp.down_proj", "ffn_down", part="down_bias"),
    ),
    gguf="llama",
    rotates_neighbours=True,
)
"""Llama (Touvron et al. 2023), Code Llama, DeepSeek-Coder and their relatives."""

MISTRAL = replace(LLAMA, name="mistral", layer=_without(LLAMA.layer, "attention_bias", "mlp_bias"))
"""Mistral (Jiang et al. 2023) and Codestral: Llama, with a sliding window in the first version."""

QWEN2 = Family(
    name="qwen2",
    outer=LLAMA.outer,
    layer=(*MISTRAL.layer, *_attention_biases()[:3]),
    gguf="qwen2",
)
"""Qwen2 and Qwen2.5 (Yang et al. 2024), Qwen2.5-Coder included: a bias on queries, keys, values."""

QWEN3 = Family(
    name="qwen3",
    outer=LLAMA.outer,
    layer=(
        *_without(LLAMA.layer, "mlp_bias"),
        _row("self_attn.q_norm", "attn_q_norm", _HEAD_NORM),
        _row("self_attn.k_norm", "attn_k_norm", _HEAD_NORM),
    ),
    gguf="qwen3",
)
"""Qwen3 (Yang et al. 2025): queries and keys are normalized, head by head."""

STARCODER2 = Family(
    name="starcoder2",
    outer=(*LLAMA.outer, _bias("model.norm", "output_norm", "hidden_size", part="norm_bias")),
    layer=(
        *_NORMS,
        *_ATTENTION,
        _row("mlp.c_fc", "ffn_up", _UP, part="gate_proj", fused="gate_up_proj"),
        _row("mlp.c_proj", "ffn_down", _DOWN, part="down_proj"),
        *_attention_biases("attention_bias"),
        _mlp_bias("mlp.c_fc", "ffn_up", part="gate_bias"),
        _mlp_bias("mlp.c_proj", "ffn_down", part="down_bias"),
        *(_bias(row.name, row.gguf, "hidden_size", part=f"{row.part}_bias") for row in _NORMS),
    ),
    gguf="starcoder2",
    activation="gelu_tanh",
)
"""StarCoder2 (Lozhkov et al. 2024): LayerNorm, and a feed-forward layer without a gate."""

GEMMA = replace(
    LLAMA,
    name="gemma",
    layer=_without(LLAMA.layer, "mlp_bias"),
    gguf="gemma",
    rotates_neighbours=False,
    activation="gelu_tanh",
    norm_offset=1.0,
    scales_embedding=True,
)
"""Gemma (Mesnard et al. 2024) and CodeGemma."""

GRANITE = replace(LLAMA, name="granite", gguf="granite")
"""Granite (Mishra et al. 2024): Llama with multipliers."""

SMOLLM3 = replace(LLAMA, name="smollm3", gguf="smollm3", unrotated_every=4)
"""SmolLM3 (Bakouch et al. 2025): some layers without positions."""

_ALL = (LLAMA, MISTRAL, QWEN2, QWEN3, STARCODER2, GEMMA, GRANITE, SMOLLM3)
FAMILIES = {family.name: family for family in _ALL}
GGUF_FAMILIES = {family.gguf: family for family in reversed(_ALL)}
"""Families by ``general.architecture``; of several it is the first: a Mistral is a Llama there."""


def family_of(architecture: LlamaArchitecture) -> Family:
    """The family of a model, with those tensors only that the model has."""
    return _with_rows_of(FAMILIES[architecture.family], architecture)


@lru_cache(maxsize=32)
def _with_rows_of(family: Family, architecture: LlamaArchitecture) -> Family:
    layer = tuple(row for row in family.layer if row.is_in(architecture))
    return replace(family, layer=layer)


def expected_shapes(architecture: LlamaArchitecture) -> dict[str, tuple[int, ...]]:
    """The tensors that a checkpoint of this architecture holds, no more and no fewer."""
    return family_of(architecture).shapes(architecture)
