"""Small random models of each family, by transformers, in folders and in GGUF.

GGUF is written as llama.cpp's converter does it: with the gguf package, its tables of names and its
writer's keys, and nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gguf
import torch
from tiny_tokenizers import tiny_byte_level_vocabulary, tiny_tokenizer_json
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
    Starcoder2Config,
)

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedConfig, PreTrainedModel

VOCABULARY = tiny_byte_level_vocabulary("qwen2")
LAYERS = 4
IDS = [(7919 * i + 13) % len(VOCABULARY.tokens) for i in range(90)]
"""More than each window and each original context."""

GGUF_NAMES = {"mistral": "llama"}
"""``general.architecture``, where it is not the name of the family."""
ROTATING_NEIGHBOURS = frozenset({"llama", "granite", "smollm3"})
"""Architectures whose query and key rows llama.cpp's converter permutes."""


@dataclass(frozen=True)
class Case:
    """A configuration, and whether GGUF can say it."""

    kind: type[PreTrainedConfig]
    changes: dict[str, Any] = field(default_factory=dict)
    in_gguf: bool = True

    def config(self) -> PreTrainedConfig:
        """Four layers of 64, two heads of queries for each of keys."""
        sizes: dict[str, Any] = {
            "vocab_size": len(VOCABULARY.tokens),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": 0,
        }
        return self.kind(**(sizes | self.changes))


def rope(kind: str, **changes: object) -> dict[str, Any]:
    """Angles with base 10,000."""
    return {"rope_parameters": {"rope_theta": 1e4, "rope_type": kind, **changes}}


_YARN = {"factor": 4.0, "original_max_position_embeddings": 32}
_MIXED = {"use_sliding_window": True, "sliding_window": 20}

CASES = {
    "llama": Case(LlamaConfig),
    "llama, biased": Case(LlamaConfig, {"attention_bias": True, "mlp_bias": True}),
    "llama, tied": Case(LlamaConfig, {"tie_word_embeddings": True}),
    "llama, gelu": Case(LlamaConfig, {"hidden_act": "gelu_pytorch_tanh"}, in_gguf=False),
    "llama, dynamic": Case(LlamaConfig, rope("dynamic", factor=4.0), in_gguf=False),
    "llama, yarn": Case(LlamaConfig, rope("yarn", **_YARN)),
    "llama, yarn with all keys": Case(
        LlamaConfig,
        rope("yarn", **_YARN, mscale=0.7, mscale_all_dim=1.0, beta_fast=16, truncate=False),
        in_gguf=False,
    ),
    "deepseek-coder": Case(LlamaConfig, rope("linear", factor=4.0)),
    "mistral": Case(MistralConfig, {"sliding_window": 20}),
    "mistral, no window": Case(MistralConfig, {"sliding_window": None, "head_dim": 32}),
    "qwen2": Case(Qwen2Config),
    "qwen2, yarn": Case(Qwen2Config, rope("yarn", **_YARN)),
    "qwen2, windows": Case(Qwen2Config, _MIXED | {"max_window_layers": 2}, in_gguf=False),
    "qwen3": Case(Qwen3Config, {"head_dim": 32}),
    "qwen3, biased": Case(Qwen3Config, {"attention_bias": True, "tie_word_embeddings": True}),
    "qwen3, windows": Case(Qwen3Config, _MIXED | {"max_window_layers": 3}, in_gguf=False),
    "starcoder2": Case(Starcoder2Config, {"sliding_window": 20}),
    "starcoder2, plain": Case(Starcoder2Config, {"use_bias": False, "tie_word_embeddings": False}),
    "gemma": Case(GemmaConfig, {"head_dim": 32}),
    "granite": Case(
        GraniteConfig,
        {
            "embedding_multiplier": 12.0,
            "residual_multiplier": 0.22,
            "attention_multiplier": 0.1,
            "logits_scaling": 8.0,
            "attention_bias": True,
            "mlp_bias": True,
        },
    ),
    "granite, defaults": Case(GraniteConfig, {"num_attention_heads": 8}),
    "smollm3": Case(SmolLM3Config),
    "smollm3, windows": Case(
        SmolLM3Config, _MIXED | {"no_rope_layers": [1, 0, 1, 0]}, in_gguf=False
    ),
}
"""Each family, and each of its choices."""


def random_model(case: Case) -> PreTrainedModel:
    """The model, with values that matter in norms and biases, too.

    Embeddings are large beside what layers add, so that roundings do not grow from layer to layer.
    """
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(case.config()).float().eval()
    offset = 0.0 if case.kind is GemmaConfig else 1.0
    for name, parameter in model.named_parameters():
        mean = offset if name.endswith("norm.weight") else 0.0
        std = 0.2 if parameter.ndim == 1 else 0.4 if "embed_tokens" in name else 0.08
        torch.nn.init.normal_(parameter, mean=mean, std=std)
    return model


def write_folder(model: PreTrainedModel, folder: Path) -> None:
    """As transformers writes it, with a tokenizer."""
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(tiny_tokenizer_json("qwen2"), "utf-8")


def write_family_gguf(model: PreTrainedModel, file: Path) -> None:
    """As llama.cpp's converter writes it, in F32."""
    config = model.config
    name = GGUF_NAMES.get(config.model_type, config.model_type)
    writer = gguf.GGUFWriter(file, name)
    _add_sizes(writer, config)
    _add_special_keys(writer, config)
    _add_vocabulary(writer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[name.upper()], LAYERS)
    tied = config.tie_word_embeddings
    for key, tensor in model.state_dict().items():
        if key == "lm_head.weight" and tied:
            continue
        value = _permuted(name, config, key, tensor)
        if name == "gemma" and key.endswith("norm.weight"):
            value = value + 1
        writer.add_tensor(names.get_name(key, (".weight", ".bias")), value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_sizes(writer: gguf.GGUFWriter, config: Any) -> None:
    usual = config.hidden_size // config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or usual
    writer.add_block_count(LAYERS)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)


def _add_special_keys(writer: gguf.GGUFWriter, config: Any) -> None:
    if config.model_type == "starcoder2":
        writer.add_layer_norm_eps(config.norm_epsilon)
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if config.model_type in ("mistral", "starcoder2") and config.sliding_window:
        writer.add_sliding_window(config.sliding_window)
    if config.model_type == "granite":
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    angles = config.rope_parameters
    if angles["rope_type"] != "default":
        writer.add_rope_scaling_type(gguf.RopeScalingType(angles["rope_type"]))
        writer.add_rope_scaling_factor(angles["factor"])
    if angles["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(angles["original_max_position_embeddings"])


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(VOCABULARY.tokens))
    types = [3 if token in VOCABULARY.special else 1 for token in range(len(VOCABULARY.tokens))]
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(merge) for merge in VOCABULARY.merges])
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)


def _permuted(name: str, config: Any, key: str, tensor: torch.Tensor) -> torch.Tensor:
    heads = {
        "q_proj": config.num_attention_heads,
        "k_proj": config.num_key_value_heads,
    }.get(key.split(".")[-2])
    if heads is None or name not in ROTATING_NEIGHBOURS:
        return tensor
    halves = tensor.reshape(heads, 2, len(tensor) // heads // 2, *tensor.shape[1:])
    return halves.swapaxes(1, 2).reshape(tensor.shape).contiguous()
