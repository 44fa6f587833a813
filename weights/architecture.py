"""What a checkpoint is, as plain values: architecture, tokenizer data, tensors by name.

Tensors go by the names of transformers' ``LlamaForCausalLM``
(``model.layers.0.self_attn.q_proj.weight``), whatever the file calls them, and query and key rows
are in its order (rotate-half), whatever the file's is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """How rotary angles are stretched for contexts beyond the trained one.

    ``kind`` is ``linear`` (Chen et al. 2023, positions divided by ``factor``) or ``llama3``
    (per-wavelength interpolation, as in transformers' ``ROPE_INIT_FUNCTIONS["llama3"]``).
    """

    kind: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context_length: int = 0


@dataclass(frozen=True, slots=True)
class LlamaArchitecture:
    """The shape of a Llama decoder (Touvron et al. 2023), in the words of its ``config.json``.

    It has a field for each key that changes the arithmetic.
    """

    num_hidden_layers: int
    hidden_size: int
    intermediate_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    rope_theta: float
    rms_norm_eps: float
    max_position_embeddings: int
    tie_word_embeddings: bool
    rope_scaling: RopeScaling | None = None
    family: str = "llama"
    """Its row in ``weights.families``."""

    @property
    def query_width(self) -> int:
        """Values of a token's queries."""
        return self.num_attention_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Values of a token's keys, and as many of its values."""
        return self.num_key_value_heads * self.head_dim


PRE_TOKENIZERS = frozenset({"gpt-2", "smollm", "qwen2"})
"""The rules that midfill implements for splitting text before merging, by llama.cpp's names."""
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The words of ``qwen2``, as its ``tokenizer.json`` has them."""


@dataclass(frozen=True, slots=True)
class BytePairVocabulary:
    """A byte-level BPE tokenizer, as data.

    ``tokens`` are in the GPT-2 byte-to-unicode alphabet and indexed by id; ``merges`` in order of
    rank; ``special`` are the ids of control tokens (never produced from user text);
    ``pre_tokenizer`` is one of PRE_TOKENIZERS.
    """

    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    special: frozenset[int]
    pre_tokenizer: str
    bos_id: int | None
    eos_ids: frozenset[int]


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """A SentencePiece tokenizer: the serialized ``tokenizer.model`` and the ids that end a text."""

    serialized: bytes
    bos_id: int | None
    eos_ids: frozenset[int]


TokenizerData = BytePairVocabulary | SentencePieceModel


class TensorSource(Protocol):
    """One tensor of a checkpoint, still on disk (memory-mapped) until it is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first, as torch has it: ``(out_features, in_features)`` for a matrix."""
        ...

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """A new contiguous CPU tensor of that dtype, dequantized where the file is quantized."""
        ...

    def blocks(self) -> tuple[str, NDArray[np.uint8]] | None:
        """The quantization's name (``Q4_1``) and its raw blocks, for kernels; None if plain."""
        ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An opened model: nothing big has been read yet.

    ``dialect`` is the registry's or None: then the engine chooses by the vocabulary. ``path`` is
    the file or folder.
    """

    name: str
    path: Path
    architecture: LlamaArchitecture
    tokenizer: TokenizerData
    tensors: Mapping[str, TensorSource]
    dialect: str | None = None
    files: tuple[Path, ...] = ()
    """All that the tensors are read from; none for tensors in memory."""
    importance: Mapping[str, TensorSource] = field(default_factory=dict)
    """Mean squares of the inputs of matrices that were measured, in any unit, (in_features,)."""
