"""What a training run leaves: a PEFT adapter folder, or whole weights in safetensors.

The adapter's files are PEFT's own (``adapter_config.json``, ``adapter_model.safetensors``),
so that PEFT reads them too; ``config.json`` and ``added_tokens.json`` are transformers' and say
what PEFT has no place for: the vocabulary's new size, the rope base, the context length.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file

from midfill.recipes.training.examples import FIM_TOKENS
from midfill.recipes.training.model import LINEARS, named_parts
from midfill.weights import registry
from midfill.weights.errors import UnsupportedModelError
from midfill.weights.formats.adapter_config import TENSORS
from midfill.weights.formats.safetensors import open_file

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.recipes.training.state import Training
    from midfill.weights.architecture import LlamaArchitecture

_PREFIX = "base_model.model."
_EMBEDDINGS = "model.embed_tokens.token_adapter.trainable_tokens_delta"
"""PEFT's name; the values are the rows themselves, not a difference."""


def write_model(training: Training, folder: Path) -> None:
    """Write what was trained: an adapter, or all weights."""
    write = write_adapter if training.config.rank else write_full
    write(training, folder)


def write_adapter(training: Training, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write the LoRA update of a training as a PEFT adapter folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model, config = training.model, training.config
    tensors = {f"{_PREFIX}{_EMBEDDINGS}": model.trained_embeddings.detach()}
    for names, part in named_parts(model):
        for name, a, b in zip(names, part.lora_a.detach(), part.lora_b, strict=True):
            tensors[f"{_PREFIX}{name}.lora_A.weight"] = a
            tensors[f"{_PREFIX}{name}.lora_B.weight"] = b.detach()
    whole = {name: tensor.to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / "adapter_model.safetensors", {"format": "pt"})
    first = model.architecture.vocab_size - len(FIM_TOKENS)
    added = {name: first + index for index, name in enumerate(FIM_TOKENS)}
    _write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": config.base,
            "r": config.rank,
            "lora_alpha": config.alpha,
            "lora_dropout": 0.0,
            "use_rslora": False,
            "bias": "none",
            "fan_in_fan_out": False,
            "inference_mode": True,
            "target_modules": [name.split(".")[1] for names in LINEARS for name in names],
            "trainable_token_indices": {"embed_tokens": list(added.values())},
        },
    )
    _write_json(folder / "config.json", llama_config(model.architecture))
    _write_json(folder / "added_tokens.json", added)


def load_adapter(training: Training, folder: Path) -> None:
    """Copy an adapter's factors and rows into the training's.

    Raises:
        UnsupportedModelError: it lacks some of them, or has others' shapes.
    """
    tensors = open_file(folder / TENSORS)

    def read(name: str, like: torch.Tensor) -> torch.Tensor:
        if name not in tensors or tuple(tensors[name].shape) != tuple(like.shape):
            raise UnsupportedModelError(
                f"{folder} has no {name} of shape {tuple(like.shape)}; training goes on with"
                " adapters of the same rank on all matrices that bring the infilling tokens, such"
                f" as {registry.default_name()!r}"
            )
        return tensors[name].read(torch.float32)

    model = training.model
    with torch.no_grad():
        rows = model.trained_embeddings
        rows.copy_(read(f"{_PREFIX}{_EMBEDDINGS}", rows))
        for names, part in named_parts(model):
            for name, a, b in zip(names, part.lora_a, part.lora_b, strict=True):
                a.copy_(read(f"{_PREFIX}{name}.lora_A.weight", a))
                b.copy_(read(f"{_PREFIX}{name}.lora_B.weight", b))


def write_full(training: Training, folder: Path) -> None:
    """Write all weights of a training under transformers' names, in bf16."""
    folder.mkdir(parents=True, exist_ok=True)
    model = training.model
    tensors = {
        "model.embed_tokens.weight": model.trained_embeddings,
        "model.norm.weight": model.norm,
    }
    for index, layer in enumerate(model.blocks()):
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{index}.{name}.weight"] = getattr(layer, name)
    for names, part in named_parts(model):
        for name, weight in zip(names, part.weight.split(part.rows), strict=True):
            tensors[f"{name}.weight"] = weight
    whole = {n: t.detach().to("cpu", torch.bfloat16).contiguous() for n, t in tensors.items()}
    save_file(whole, folder / "model.safetensors", {"format": "pt"})
    _write_json(folder / "config.json", llama_config(model.architecture))


def llama_config(architecture: LlamaArchitecture) -> dict[str, Any]:
    """The ``config.json`` of a Llama decoder, as transformers reads it."""
    a = architecture
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": a.hidden_size,
        "intermediate_size": a.intermediate_size,
        "num_hidden_layers": a.num_hidden_layers,
        "num_attention_heads": a.num_attention_heads,
        "num_key_value_heads": a.num_key_value_heads,
        "head_dim": a.head_dim,
        "vocab_size": a.vocab_size,
        "rms_norm_eps": a.rms_norm_eps,
        "rope_theta": a.rope_theta,
        "max_position_embeddings": a.max_position_embeddings,
        "tie_word_embeddings": a.tie_word_embeddings,
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "bfloat16",
    }


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
