"""A checkpoint of any format as a Hugging Face folder, for transformers.

::

    config.json               LlamaConfig or a relative's, in the form that versions 4 and 5 read
    generation_config.json    greedy, and the tokens that end a generation
    model.safetensors         all tensors, in transformers' names
    tokenizer.json            and tokenizer_config.json; or tokenizer.model
    README.md                 the model card
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from midfill.weights.architecture import BytePairVocabulary
from midfill.weights.errors import UnsupportedModelError
from midfill.weights.families import FAMILIES, GRANITE, MISTRAL, SMOLLM3, STARCODER2
from midfill.weights.formats.config.architecture import FULL, MIXED_WINDOWS, SLIDING
from midfill.weights.formats.config.keys import ACTIVATION_NAMES, FAMILY_KEYS
from midfill.weights.formats.huggingface import shifted_norms
from midfill.weights.formats.safetensors import SINGLE
from midfill.weights.formats.tokenizer.byte_level import added_token, to_json
from midfill.weights.formats.tokenizer.roles import end_ids

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import torch

    from midfill.weights.architecture import Checkpoint, LlamaArchitecture, TokenizerData


CLASS_NAMES = {"smollm3": "SmolLM3"}
"""Names of families in transformers' classes, where they are not merely capitalized."""


def write_checkpoint(
    checkpoint: Checkpoint,
    folder: Path,
    dtype: torch.dtype,
    card: str,
    on_progress: Callable[[int, int], None],
) -> None:
    """Write the whole model; all of it is in memory once.

    Args:
        checkpoint: Any.
        folder: Is there; files in it are overwritten.
        dtype: Of all tensors.
        card: The text of the model card.
        on_progress: Called after each tensor with the bytes read and those in all.
    """
    a = checkpoint.architecture
    sources = shifted_norms(checkpoint.tensors, -FAMILIES[a.family].norm_offset)
    total = sum(math.prod(source.shape) for source in sources.values()) * dtype.itemsize
    tensors, done = {}, 0
    for name, source in sources.items():
        tensors[name] = source.read(dtype)
        done += tensors[name].nbytes
        on_progress(done, total)
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})
    ends = _ends(checkpoint.tokenizer)
    bos = checkpoint.tokenizer.bos_id
    start = ends[0] if bos is None else bos
    config = _config(a) | {
        "torch_dtype": str(dtype).removeprefix("torch."),
        "bos_token_id": start,
        "eos_token_id": ends,
    }
    generation = {"bos_token_id": start, "eos_token_id": ends, "do_sample": False}
    _write_json(folder / "config.json", config)
    _write_json(folder / "generation_config.json", generation)
    _write_tokenizer(folder, checkpoint.tokenizer, a)
    (folder / "README.md").write_text(card, "utf-8")


def _ends(tokenizer: TokenizerData) -> list[int]:
    if isinstance(tokenizer, BytePairVocabulary):
        return end_ids(tokenizer)
    return sorted(tokenizer.eos_ids)


def _config(a: LlamaArchitecture) -> dict[str, object]:
    epsilon = "norm_epsilon" if a.family == STARCODER2.name else "rms_norm_eps"
    return {
        "architectures": [f"{CLASS_NAMES.get(a.family, a.family.capitalize())}ForCausalLM"],
        "model_type": a.family,
        "num_hidden_layers": a.num_hidden_layers,
        "hidden_size": a.hidden_size,
        "intermediate_size": a.intermediate_size,
        "num_attention_heads": a.num_attention_heads,
        "num_key_value_heads": a.num_key_value_heads,
        "head_dim": a.head_dim,
        "vocab_size": a.vocab_size,
        "hidden_act": next(k for k, name in ACTIVATION_NAMES.items() if name == a.activation),
        epsilon: a.rms_norm_eps,
        "max_position_embeddings": a.max_position_embeddings,
        "tie_word_embeddings": a.tie_word_embeddings,
        "rope_theta": a.rope_theta,
        "rope_scaling": _rope_scaling(a),
        **_family_keys(a),
    }


def _family_keys(a: LlamaArchitecture) -> dict[str, object]:
    """What not all families have."""
    keys: dict[str, object] = {}
    if a.family == STARCODER2.name:
        keys["use_bias"] = a.attention_bias
    else:
        choices = {row.where for row in FAMILIES[a.family].layer if row.where}
        keys |= {choice: getattr(a, choice) for choice in sorted(choices)}
    if a.family == GRANITE.name:
        keys |= {key: getattr(a, key) for key in FAMILY_KEYS[a.family]}
        keys["attention_multiplier"] = a.score_scale
    if a.family == SMOLLM3.name:
        layers = range(a.num_hidden_layers)
        keys["no_rope_layers"] = [int(index not in a.unrotated_layers) for index in layers]
        keys["pad_token_id"] = None  # or it is one of its own vocabulary
    return keys | _window_keys(a)


def _window_keys(a: LlamaArchitecture) -> dict[str, object]:
    window: dict[str, object] = {"sliding_window": a.sliding_window or None}
    if a.family not in MIXED_WINDOWS:
        return window if a.family in (MISTRAL.name, STARCODER2.name) else {}
    kinds = [SLIDING if a.window_of(n) else FULL for n in range(a.num_hidden_layers)]
    return window | {"use_sliding_window": bool(a.sliding_window), "layer_types": kinds}


def _rope_scaling(a: LlamaArchitecture) -> dict[str, object] | None:
    scaling = a.rope_scaling
    if scaling is None:
        return None
    if scaling.kind == "divided":
        raise UnsupportedModelError(
            "the file has only the divisors of its rotary angles, not the rule that config.json"
            " asks for: export the model's Hugging Face folder"
        )
    plain: dict[str, object] = {"rope_type": scaling.kind, "factor": scaling.factor}
    if scaling.kind in ("linear", "dynamic"):
        return plain
    plain["original_max_position_embeddings"] = scaling.original_context_length
    if scaling.kind == "yarn":
        names = ("beta_fast", "beta_slow", "attention_factor", "truncate")
        return plain | {name: getattr(scaling, name) for name in names}
    return plain | {
        "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor,
    }


def _write_tokenizer(folder: Path, tokenizer: TokenizerData, a: LlamaArchitecture) -> None:
    if not isinstance(tokenizer, BytePairVocabulary):
        (folder / "tokenizer.model").write_bytes(tokenizer.serialized)
        _write_json(folder / "tokenizer_config.json", {"tokenizer_class": "LlamaTokenizer"})
        return
    special = sorted(token_id for token_id in tokenizer.special if tokenizer.tokens[token_id])
    end = tokenizer.tokens[min(tokenizer.eos_ids)]
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": tokenizer.bos_id is not None,
        "added_tokens_decoder": {
            str(token_id): added_token(tokenizer.tokens[token_id]) for token_id in special
        },
        "bos_token": end if tokenizer.bos_id is None else tokenizer.tokens[tokenizer.bos_id],
        "eos_token": end,
        "clean_up_tokenization_spaces": False,
        "model_max_length": a.max_position_embeddings,
    }
    _write_json(folder / "tokenizer.json", to_json(tokenizer))
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
