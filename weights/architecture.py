"""What a checkpoint is, as plain values: architecture, tokenizer data, tensors by name.

Tensors go by the names of transformers' ``LlamaForCausalLM``
(``model.layers.0.self_attn.q_proj.weight``), whatever the file calls them, and query and key rows
are in its order (rotate-half), whatever the file's is. A norm's weight is what is multiplied with,
also where files have it less one (Gemma).
"""

from __future__ import annotations

import math
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

    ``kind`` is ``linear`` (Chen et al. 2023, positions divided by ``factor``), ``dynamic`` (a base
    that grows with the context beyond the original one), ``llama3`` (per-wavelength interpolation)
    or ``yarn`` (Peng et al. 2023, https://arxiv.org/abs/2309.00071): transformers'
    ``ROPE_INIT_FUNCTIONS``. It is ``divided`` where a GGUF file has only what the frequencies are
    divided by, as those of Llama 3.
    """

    kind: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_context_length: int = 0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float = 1.0
    """What rotated queries and keys are multiplied with."""
    divisors: tuple[float, ...] = ()
    """A number for each of the D/2 frequencies."""
    truncate: bool = True
    """Whether the dimensions between which yarn interpolates are whole numbers."""


def yarn_attention_factor(factor: float, mscale: float = 1.0) -> float:
    """Yarn's ``attention_factor`` of a factor, where a file does not say (Peng et al. 2023)."""
    return 0.1 * mscale * math.log(factor) + 1.0 if factor > 1 else 1.0


@dataclass(frozen=True, slots=True)
class LlamaArchitecture:
    """The shape of a Llama decoder (Touvron et al. 2023), in the words of its ``config.json``.

    It has a field for each key that changes the arithmetic, whatever the family. Which matrices,
    norms and biases there are says the family's table.
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
    attention_bias: bool = False
    mlp_bias: bool = False
    """Whether the matrices have biases, in families that leave it open."""
    activation: str = "silu"
    """The feed-forward layer's, one of ACTIVATIONS."""
    sliding_window: int = 0
    """Tokens that a token sees, itself included; 0: all."""
    full_attention_layers: tuple[int, ...] = ()
    """Layers that see all tokens nevertheless."""
    unrotated_layers: tuple[int, ...] = ()
    """Layers whose queries and keys have no position (Kazemnejad et al. 2023)."""
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    """What is multiplied: all that layers add to the residual stream."""
    attention_multiplier: float = 0.0
    """What scores are multiplied with before the softmax; 0: ``head_dim ** -0.5``."""
    logits_scaling: float = 1.0
    """What logits are divided by."""

    @property
    def query_width(self) -> int:
        """Values of a token's queries."""
        return self.num_attention_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Values of a token's keys, and as many of its values."""
        return self.num_key_value_heads * self.head_dim

    @property
    def score_scale(self) -> float:
        """What scores are multiplied with before the softmax."""
        return self.attention_multiplier or self.head_dim**-0.5

    def window_of(self, layer: int) -> int:
        """Tokens that a token sees in a layer, itself included; 0: all."""
        return 0 if layer in self.full_attention_layers else self.sliding_window


ACTIVATIONS = ("silu", "gelu_tanh")
"""SiLU, and GELU in its approximation by tanh (Hendrycks and Gimpel 2016)."""


@dataclass(frozen=True, slots=True)
class BytePairVocabulary:
    """A byte-level BPE tokenizer, as data.

    ``tokens`` are in the GPT-2 byte-to-unicode alphabet and indexed by id; ``merges`` in order of
    rank; ``special`` are the ids of control tokens (never produced from user text);
    ``pre_tokenizer`` is one of ``weights.formats.tokenizer.splits``.
    """

    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    special: frozenset[int]
    pre_tokenizer: str
    bos_id: int | None
    eos_ids: frozenset[int]
    whole_characters: frozenset[int] = frozenset()
    """Ids whose token is a character as it is, found in a text before it is split (DeepSeek)."""


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """A SentencePiece tokenizer: the serialized ``tokenizer.model`` and the ids that end a text."""

    serialized: bytes
    bos_id: int | None
    eos_ids: frozenset[int]
    merges: tuple[tuple[str, str], ...] | None = None
    """Pairs of pieces in order of rank, from a ``tokenizer.json``; None: by the pieces' scores."""
    dummy_before_blank: bool = True
    """Whether a text that begins with a space gets a dummy space, too, where others do."""


TokenizerData = BytePairVocabulary | SentencePieceModel


class TensorSource(Protocol):
    """One tensor of a checkpoint, still on disk until it is read."""

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
    ignored: tuple[str, ...] = ()
    """Keys of its configuration that nobody here knows."""
