"""The metadata of a GGUF file: its keys as tables, read strictly.

Key names: ``gguf.constants.Keys``; defaults where a key is absent: llama.cpp's. A key that begins
with a dot is a family's: ``.block_count`` stands for ``llama.block_count``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from midfill.weights.architecture import (
    LlamaArchitecture,
    RopeScaling,
    yarn_attention_factor,
)
from midfill.weights.families import GGUF_FAMILIES, GRANITE, STARCODER2, Family
from midfill.weights.formats.strict import MOST_LAYERS, Metadata, check_heads, check_rope
from midfill.weights.formats.tokenizer.splits import PRE_TOKENIZERS

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

DUMMY_SPACE = "tokenizer.ggml.add_space_prefix"

KNOWN_KEYS = frozenset(
    {
        # read below
        ".attention.head_count",
        ".attention.head_count_kv",
        ".attention.key_length",
        ".attention.layer_norm_rms_epsilon",
        ".attention.sliding_window",
        ".block_count",
        ".context_length",
        ".embedding_length",
        ".feed_forward_length",
        ".rope.freq_base",
        ".rope.scaling.attn_factor",
        ".rope.scaling.factor",
        ".rope.scaling.original_context_length",
        ".rope.scaling.type",
        ".rope.scaling.yarn_beta_fast",
        ".rope.scaling.yarn_beta_slow",
        ".vocab_size",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eom_token_id",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.merges",
        "tokenizer.ggml.model",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.token_type",
        "tokenizer.ggml.tokens",
        # without effect on a model with byte-level BPE
        ".rope.scaling.finetuned",
        ".tensor_data_layout",
        "tokenizer.ggml.cls_token_id",
        "tokenizer.ggml.fim_mid_token_id",
        "tokenizer.ggml.fim_pad_token_id",
        "tokenizer.ggml.fim_pre_token_id",
        "tokenizer.ggml.fim_rep_token_id",
        "tokenizer.ggml.fim_sep_token_id",
        "tokenizer.ggml.fim_suf_token_id",
        "tokenizer.ggml.mask_token_id",
        "tokenizer.ggml.middle_token_id",
        "tokenizer.ggml.padding_token_id",
        "tokenizer.ggml.prefix_token_id",
        "tokenizer.ggml.scores",
        "tokenizer.ggml.seperator_token_id",
        "tokenizer.ggml.suffix_token_id",
        "tokenizer.ggml.unknown_token_id",
    }
)

MULTIPLIERS = {
    ".attention.scale": "attention_multiplier",
    ".embedding_scale": "embedding_multiplier",
    ".logit_scale": "logits_scaling",
    ".residual_scale": "residual_multiplier",
}
"""Granite's keys, and what they are in the architecture."""

FAMILY_KEYS = {
    STARCODER2.name: frozenset({".attention.layer_norm_epsilon"}),
    GRANITE.name: frozenset(MULTIPLIERS),
}
"""Further keys of single families."""

SAME_RULES = {
    "deepseek-r1-qwen": "qwen2",
    "llama-v3": "llama-bpe",
    "llama3": "llama-bpe",
    "refact": "smollm",
    "starcoder": "smollm",
}
"""Further names that llama.cpp has for rules of PRE_TOKENIZERS."""

FIXED_KEYS: dict[str, object] = {
    ".attention.causal": True,
    ".expert_count": 0,
    ".expert_used_count": 0,
    ".rope.scaling.yarn_ext_factor": 1.0,
    "tokenizer.ggml.add_eos_token": False,
    "tokenizer.ggml.add_sep_token": False,
    DUMMY_SPACE: False,
    "tokenizer.ggml.remove_extra_whitespaces": False,
}
"""Keys that are understood at one value only: the one that changes nothing."""


def check_kind(metadata: Metadata, parts: int = 1) -> None:
    """Refuse what is not one whole model of a known family with a tokenizer of a known kind.

    Args:
        metadata: Of the file, or of the first part.
        parts: How many files there are.

    Raises:
        UnsupportedModelError: naming the key, its value and what is implemented.
    """
    architecture = metadata.text("general.architecture")
    metadata.check_choice("general.architecture", architecture, GGUF_FAMILIES.keys())
    metadata.check_choice("general.type", metadata.text("general.type", "model"), {"model"})
    metadata.check_choice(
        "split.count", metadata.integer("split.count", 1, minimum=0), {0, 1, parts}
    )
    version = metadata.integer("general.quantization_version", 2)
    metadata.check_choice("general.quantization_version", version, {2})
    model = metadata.text("tokenizer.ggml.model")
    advice = " (byte-level BPE and SentencePiece)"
    metadata.check_choice("tokenizer.ggml.model", model, {"gpt2", "llama"}, advice)
    if model == "gpt2":
        rule = metadata.text("tokenizer.ggml.pre", "default")
        metadata.check_choice("tokenizer.ggml.pre", rule, PRE_TOKENIZERS | SAME_RULES.keys())


def read_architecture(metadata: Metadata, stored: AbstractSet[str]) -> LlamaArchitecture:
    """The shape of the decoder, after a look at every key that could change its result.

    Args:
        metadata: Of the file.
        stored: The names of its tensors, which say whether there are biases and a head.

    Raises:
        CorruptModelError: a key is missing, or of a value that no model has.
        UnsupportedModelError: a key is not implemented.
    """
    kind = GGUF_FAMILIES[metadata.text("general.architecture")]
    family = kind.gguf
    layers = metadata.integer(f"{family}.block_count")
    norm = "norm" if kind is STARCODER2 else "norm_rms"
    hidden_size = metadata.integer(f"{family}.embedding_length")
    heads = metadata.integer(f"{family}.attention.head_count")
    tokens = len(metadata.texts("tokenizer.ggml.tokens"))
    architecture = LlamaArchitecture(
        num_hidden_layers=layers,
        hidden_size=hidden_size,
        intermediate_size=metadata.integer(f"{family}.feed_forward_length"),
        num_attention_heads=heads,
        num_key_value_heads=metadata.integer(f"{family}.attention.head_count_kv", heads),
        head_dim=metadata.integer(f"{family}.attention.key_length", hidden_size // heads),
        vocab_size=metadata.integer(f"{family}.vocab_size", tokens),
        rope_theta=metadata.number(f"{family}.rope.freq_base", 10000.0),
        rms_norm_eps=metadata.number(f"{family}.attention.layer_{norm}_epsilon"),
        max_position_embeddings=metadata.integer(f"{family}.context_length"),
        tie_word_embeddings="output.weight" not in stored,
        rope_scaling=_rope_scaling(metadata, family),
        family=kind.name,
        attention_bias="blk.0.attn_output.bias" in stored,
        mlp_bias="blk.0.ffn_down.bias" in stored,
        activation=kind.activation,
        sliding_window=metadata.integer(f"{family}.attention.sliding_window", 0, minimum=0),
        unrotated_layers=kind.unrotated_layers(min(layers, MOST_LAYERS)),
    )
    architecture = replace(architecture, **_multipliers(metadata, kind, hidden_size))
    check_heads(metadata.origin, architecture)
    check_rope(metadata.origin, architecture)
    head_dim = architecture.head_dim
    widths = {
        f"{family}.rope.dimension_count": head_dim,
        f"{family}.attention.value_length": head_dim,
    }
    known = {_full(key, family) for key in KNOWN_KEYS | FAMILY_KEYS.get(kind.name, frozenset())}
    fixed = {_full(key, family): value for key, value in FIXED_KEYS.items()} | widths
    metadata.check_known(known, fixed, prefixes=(f"{family}.", "tokenizer.ggml."))
    return architecture


def _full(key: str, family: str) -> str:
    return family + key if key.startswith(".") else key


def _multipliers(metadata: Metadata, family: Family, hidden_size: int) -> dict[str, Any]:
    if family is GRANITE:
        found = {field: family.gguf + key for key, field in MULTIPLIERS.items()}
        return {field: metadata.number(key) for field, key in found.items() if key in metadata}
    return {"embedding_multiplier": hidden_size**0.5} if family.scales_embedding else {}


def _rope_scaling(metadata: Metadata, family: str) -> RopeScaling | None:
    """As llama.cpp reads it: the type is linear where only a factor is given."""
    scaling = f"{family}.rope.scaling"
    kind = metadata.text(f"{scaling}.type", "linear")
    metadata.check_choice(f"{scaling}.type", kind, {"none", "linear", "yarn"})
    factor = metadata.number(f"{scaling}.factor", 1.0)
    if kind != "yarn":
        metadata.check_fixed({f"{scaling}.attn_factor": 1.0})
        return None if kind == "none" or factor == 1.0 else RopeScaling("linear", factor)
    trained = metadata.integer(f"{family}.context_length")
    return RopeScaling(
        "yarn",
        factor,
        original_context_length=metadata.integer(f"{scaling}.original_context_length", trained),
        beta_fast=metadata.number(f"{scaling}.yarn_beta_fast", 32.0),
        beta_slow=metadata.number(f"{scaling}.yarn_beta_slow", 1.0),
        attention_factor=yarn_attention_factor(factor)
        * metadata.number(f"{scaling}.attn_factor", 1.0),
    )
