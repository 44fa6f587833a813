"""Small random LoRA adapters, as PEFT writes them, for the tiny models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

from midfill.weights.families import expected_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from midfill.weights.architecture import LlamaArchitecture

RANK, ALPHA = 4, 8
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def adapter_config(**changes: object) -> dict[str, object]:
    """What PEFT writes, with these keys changed, or left out where they are ``...``."""
    config: dict[str, object] = {
        "auto_mapping": None,
        "base_model_name_or_path": "tiny-base",
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": ALPHA,
        "lora_dropout": 0.1,
        "modules_to_save": None,
        "peft_type": "LORA",
        "peft_version": "0.21.2",
        "r": RANK,
        "rank_pattern": {},
        "target_modules": list(TARGETS),
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": False,
    }
    return {key: value for key, value in (config | changes).items() if value is not ...}


def adapter_tensors(
    architecture: LlamaArchitecture,
    *,
    targets: tuple[str, ...] = TARGETS,
    rank: int = RANK,
    tokens: Mapping[str, int] = {},
    seed: int = 0,
) -> dict[str, NDArray[np.float32]]:
    """Factors for each target's matrices, and for embeddings (by module) so many rows."""
    shapes, generator = expected_shapes(architecture), np.random.default_rng(seed)
    wanted: dict[str, tuple[int, int]] = {}
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        if module.rpartition(".")[2] in targets:
            wanted[f"{module}.lora_A.weight"] = (rank, shape[1])
            wanted[f"{module}.lora_B.weight"] = (shape[0], rank)
    for module, rows in tokens.items():
        name = f"{module}.token_adapter.trainable_tokens_delta"
        wanted[name] = (rows, architecture.hidden_size)
    return {
        f"base_model.model.{name}": generator.standard_normal(shape).astype(np.float32) * 0.1
        for name, shape in wanted.items()
    }


def write_adapter(
    folder: Path,
    tensors: Mapping[str, NDArray[np.float32]],
    *,
    added_tokens: Mapping[str, int] = {},
    model_config: Mapping[str, object] = {},
    **changes: object,
) -> Path:
    """An adapter's folder, and the folder again.

    Args:
        folder: Made if it is not there.
        tensors: By their names in the file.
        added_tokens: The file of that name, where there are any.
        model_config: ``config.json``, where it has anything.
        changes: What differs in ``adapter_config.json``, see ``adapter_config``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file(dict(tensors), folder / "adapter_model.safetensors")
    files = {"adapter_config": adapter_config(**changes)}
    files |= {"added_tokens": dict(added_tokens)} if added_tokens else {}
    files |= {"config": dict(model_config)} if model_config else {}
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value), "utf-8")
    return folder


def model_config(architecture: LlamaArchitecture, **changes: object) -> dict[str, object]:
    """The ``config.json`` of an adapted model, with these keys changed."""
    a = architecture
    return {
        "model_type": "llama",
        "num_hidden_layers": a.num_hidden_layers,
        "hidden_size": a.hidden_size,
        "intermediate_size": a.intermediate_size,
        "num_attention_heads": a.num_attention_heads,
        "num_key_value_heads": a.num_key_value_heads,
        "head_dim": a.head_dim,
        "vocab_size": a.vocab_size,
        "rope_parameters": {"rope_type": "default", "rope_theta": a.rope_theta},
        "rms_norm_eps": a.rms_norm_eps,
        "max_position_embeddings": a.max_position_embeddings,
        "tie_word_embeddings": a.tie_word_embeddings,
    } | changes
