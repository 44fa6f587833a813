"""The keys of ``config.json``, in tables: read, without effect, understood at one value only.

Keys and defaults: transformers' ``LlamaConfig`` and those of the other families, versions 4 and 5.
A null says nothing, and a leading underscore marks transformers' own notes.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from midfill.weights.families import FAMILIES

if TYPE_CHECKING:
    from midfill.weights.formats.strict import Metadata

log = logging.getLogger(__name__)

KNOWN_KEYS = frozenset(
    {
        # read below
        "attention_bias",
        "bos_token_id",
        "eos_token_id",
        "head_dim",
        "hidden_act",
        "hidden_size",
        "intermediate_size",
        "layer_types",
        "max_position_embeddings",
        "mlp_bias",
        "model_type",
        "num_attention_heads",
        "num_hidden_layers",
        "num_key_value_heads",
        "rms_norm_eps",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
        "tie_word_embeddings",
        "vocab_size",
        # without effect on what the model computes
        "architectures",
        "attention_dropout",
        "dtype",
        "id2label",
        "initializer_range",
        "is_llama_config",
        "label2id",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "pretraining_tp",
        "problem_type",
        "return_dict",
        "torch_dtype",
        "transformers.js_config",
        "transformers_version",
        "unk_token_id",
        "use_cache",
    }
)

FIXED_KEYS: dict[str, object] = {
    "alibi": False,
    "attention_chunk_size": None,
    "attention_multiplier": None,
    "attn_logit_softcapping": None,
    "clip_qkv": None,
    "embedding_multiplier": 1.0,
    "final_logit_softcapping": None,
    "hidden_activation": None,
    "is_decoder": False,
    "is_encoder_decoder": False,
    "logit_scale": None,
    "logits_scaling": 1.0,
    "moe_intermediate_size": None,
    "n_routed_experts": None,
    "no_rope_layers": None,
    "norm_epsilon": None,
    "num_experts": None,
    "num_local_experts": None,
    "partial_rotary_factor": 1.0,
    "qk_layernorm": False,
    "quantization_config": None,
    "query_pre_attn_scalar": None,
    "residual_multiplier": 1.0,
    "rope_interleaved": False,
    "sliding_window": None,
    "use_bias": None,
    "use_bidirectional_attention": False,
    "use_mrope": False,
    "use_qk_norm": False,
    "use_sliding_window": False,
}
"""Keys that are understood at one value only, the one that changes nothing; None: at none. A family
that reads one of them has it in FAMILY_KEYS."""

_WINDOW_KEYS = frozenset({"max_window_layers", "sliding_window", "use_sliding_window"})

FAMILY_KEYS = {
    "mistral": frozenset({"sliding_window"}),
    "qwen2": _WINDOW_KEYS,
    "qwen3": _WINDOW_KEYS,
    "starcoder2": frozenset(
        {"embedding_dropout", "norm_epsilon", "residual_dropout", "sliding_window", "use_bias"}
    ),
    "gemma": frozenset({"hidden_activation"}),
    "granite": frozenset(
        {"attention_multiplier", "embedding_multiplier", "logits_scaling", "residual_multiplier"}
    ),
    "smollm3": _WINDOW_KEYS | {"no_rope_layer_interval", "no_rope_layers"},
}
"""Further keys of single families."""

FAMILY_FIXED: dict[str, dict[str, object]] = {
    "starcoder2": {"mlp_type": "default", "norm_type": "layer_norm"},
}
"""As FIXED_KEYS, of single families."""

DEFAULTS: dict[str, dict[str, int]] = {
    "llama": {"max_position_embeddings": 2048},
    "mistral": {"num_key_value_heads": 8, "max_position_embeddings": 131072},
    "qwen2": {"num_key_value_heads": 32, "max_position_embeddings": 32768},
    "qwen3": {"num_key_value_heads": 32, "max_position_embeddings": 32768, "head_dim": 128},
    "starcoder2": {"num_key_value_heads": 2, "max_position_embeddings": 4096},
    "gemma": {"num_key_value_heads": 16, "max_position_embeddings": 8192, "head_dim": 256},
    "granite": {"max_position_embeddings": 2048},
    "smollm3": {
        "num_key_value_heads": 4, "max_position_embeddings": 32768, "rope_theta": 2_000_000,
    },
}  # fmt: skip
"""What absent keys are in transformers, beside those that all families share."""

TIED = frozenset({"starcoder2", "gemma", "smollm3"})
"""Families whose head is the embedding where nothing is said."""

ACTIVATION_NAMES = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh"}
"""Activations by their name in transformers."""


def check_known(config: Metadata) -> None:
    """Refuse keys that change the arithmetic and are not implemented; log unknown ones, at once.

    Raises:
        UnsupportedModelError: naming the key and its value.
    """
    config.check_choice("model_type", config.text("model_type"), FAMILIES.keys())
    fixed, known = _fixed(config), _known(config)
    config.check_fixed({key: value for key, value in fixed.items() if key not in known})
    if ignored := unknown_keys(config):
        log.warning("%s has keys that are ignored: %s", config.origin, ", ".join(ignored))


def unknown_keys(config: Metadata) -> tuple[str, ...]:
    """Keys that are in no table."""
    known = _known(config) | _fixed(config).keys()
    return tuple(sorted(key for key in config if key not in known and key[:1] != "_"))


def _known(config: Metadata) -> frozenset[str]:
    return KNOWN_KEYS | FAMILY_KEYS.get(config.text("model_type"), frozenset())


def _fixed(config: Metadata) -> dict[str, object]:
    return FIXED_KEYS | FAMILY_FIXED.get(config.text("model_type"), {})
