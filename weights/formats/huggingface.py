"""Hugging Face folders of Llama models: ``config.json``, safetensors, a tokenizer.

Keys and defaults: transformers' ``LlamaConfig``, versions 4 and 5. A key that is not in the tables
below is refused, since nobody knows what it changes; a null says nothing, and a leading underscore
marks transformers' own notes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.weights.architecture import (
    Checkpoint,
    LlamaArchitecture,
    RopeScaling,
    SentencePieceModel,
    TokenizerData,
)
from midfill.weights.errors import CorruptModelError
from midfill.weights.families import FAMILIES
from midfill.weights.formats.safetensors import open_tensors
from midfill.weights.formats.strict import (
    MOST_LAYERS,
    Metadata,
    check_heads,
    check_ids,
    check_tensors,
    read_json,
)
from midfill.weights.formats.tokenizer_json import read_vocabulary

if TYPE_CHECKING:
    from pathlib import Path

KNOWN_KEYS = frozenset(
    {
        # read below
        "bos_token_id",
        "eos_token_id",
        "head_dim",
        "hidden_size",
        "intermediate_size",
        "max_position_embeddings",
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
    "attention_bias": False,
    "hidden_act": "silu",
    "is_decoder": False,
    "is_encoder_decoder": False,
    "mlp_bias": False,
    "partial_rotary_factor": 1.0,
    "rope_interleaved": False,
}
"""Keys that are understood at one value only: the one that changes nothing."""

FAMILY_KEYS: dict[str, dict[str, object]] = {
    "qwen2": {"use_sliding_window": False, "use_mrope": False},
}
"""The same for keys of single families."""

FAMILY_HARMLESS = {"qwen2": frozenset({"sliding_window", "max_window_layers"})}
"""Keys of single families without effect: those of the window say nothing while it is off."""

ROPE_KEYS = {
    "default": frozenset[str](),
    "linear": frozenset({"factor"}),
    "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor"}),
}
"""What each kind of rotary embedding reads, beside the keys that all may have."""

SHARED_ROPE_KEYS = frozenset({"rope_type", "rope_theta", "original_max_position_embeddings"})


def read_checkpoint(folder: Path, name: str) -> Checkpoint:
    """The folder, opened: config and tokenizer checked, tensors still on disk.

    Raises:
        CorruptModelError: a file is missing or broken, or they do not fit together.
        UnsupportedModelError: it needs something that midfill does not implement.
    """
    config = Metadata(folder / "config.json", read_json(folder / "config.json"))
    architecture = read_architecture(config)
    tensors = open_tensors(folder)
    check_tensors(folder, architecture, {name: tensor.shape for name, tensor in tensors.items()})
    files = tuple(sorted({tensor.file for tensor in tensors.values()}))
    tokenizer = _tokenizer(folder, config)
    check_ids(folder, tokenizer, architecture.vocab_size)
    return Checkpoint(name, folder, architecture, tokenizer, tensors, files=files)


def _check_known(config: Metadata) -> None:
    config.check_choice("model_type", config.text("model_type"), FAMILIES.keys())
    notes = {key for key in config if key.startswith("_")}
    family = FAMILY_KEYS.get(config.text("model_type"), {})
    layers = config.integer("num_hidden_layers")
    kinds = {"layer_types": ["full_attention"] * min(layers, MOST_LAYERS)}
    harmless = FAMILY_HARMLESS.get(config.text("model_type"), frozenset())
    config.check_known(KNOWN_KEYS | harmless | notes, FIXED_KEYS | family | kinds)


def read_architecture(config: Metadata) -> LlamaArchitecture:
    """The shape of the decoder that a ``config.json`` describes.

    Raises:
        CorruptModelError: a key is missing, or of a value that no model has.
        UnsupportedModelError: a key is not implemented.
    """
    _check_known(config)
    hidden_size = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    rope = _rope(config)
    architecture = LlamaArchitecture(
        num_hidden_layers=config.integer("num_hidden_layers"),
        hidden_size=hidden_size,
        intermediate_size=config.integer("intermediate_size"),
        num_attention_heads=heads,
        num_key_value_heads=config.integer("num_key_value_heads", heads),
        head_dim=config.integer("head_dim", hidden_size // heads),
        vocab_size=config.integer("vocab_size"),
        rope_theta=rope.number("rope_theta", 10000.0),
        rms_norm_eps=config.number("rms_norm_eps", 1e-6),
        max_position_embeddings=config.integer("max_position_embeddings", 2048),
        tie_word_embeddings=config.flag("tie_word_embeddings", default=False),
        rope_scaling=_rope_scaling(rope),
        family=config.text("model_type"),
    )
    check_heads(config.origin, architecture)
    return architecture


def _rope(config: Metadata) -> Metadata:
    """The rotary embedding's keys, from wherever they stand.

    transformers 4: ``"rope_theta": 1e6, "rope_scaling": {"type": "linear", "factor": 4.0}``
    transformers 5: ``"rope_parameters": {"rope_theta": 1e6, "rope_type": "linear", ...}``
    """
    places: list[dict[str, object]] = [
        {"rope_theta": config.number("rope_theta")} if "rope_theta" in config else {},
        dict(config.mapping("rope_scaling")),
        dict(config.mapping("rope_parameters")),
    ]
    merged: dict[str, object] = {}
    for place in places:
        if "type" in place:
            place.setdefault("rope_type", place.pop("type"))
        for key, value in place.items():
            if merged.setdefault(key, value) != value:
                raise CorruptModelError(
                    f"{config.origin}: {key} is both {merged[key]!r} and {value!r}"
                )
    return Metadata(config.origin, merged)


def _rope_scaling(rope: Metadata) -> RopeScaling | None:
    kind = rope.text("rope_type", "default")
    rope.check_choice("rope_type", kind, ROPE_KEYS.keys())
    rope.check_known(SHARED_ROPE_KEYS | ROPE_KEYS[kind], {"factor": 1.0})
    if kind == "default":
        return None
    if kind == "linear":
        factor = rope.number("factor")
        return None if factor == 1.0 else RopeScaling("linear", factor)
    return RopeScaling(
        kind="llama3",
        factor=rope.number("factor"),
        low_freq_factor=rope.number("low_freq_factor"),
        high_freq_factor=rope.number("high_freq_factor"),
        original_context_length=rope.integer("original_max_position_embeddings"),
    )


def _tokenizer(folder: Path, config: Metadata) -> TokenizerData:
    """SentencePiece's own file where there is one, since the json is converted from it."""
    eos_ids = frozenset(config.integer_or_integers("eos_token_id", 2))
    if (folder / "tokenizer.model").is_file():
        serialized = (folder / "tokenizer.model").read_bytes()
        return SentencePieceModel(serialized, config.integer("bos_token_id", 1, minimum=0), eos_ids)
    file = folder / "tokenizer.json"
    if file.is_file():
        return read_vocabulary(file, config, eos_ids)
    raise CorruptModelError(f"{folder} has neither tokenizer.model nor tokenizer.json")
