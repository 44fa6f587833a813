"""The architecture of a model by its ``config.json``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.weights.architecture import LlamaArchitecture
from midfill.weights.errors import CorruptModelError
from midfill.weights.families import FAMILIES, GEMMA, GRANITE, STARCODER2
from midfill.weights.formats.config.keys import (
    ACTIVATION_NAMES,
    DEFAULTS,
    FAMILY_KEYS,
    TIED,
    check_known,
)
from midfill.weights.formats.config.rope import rope_keys, rope_scaling
from midfill.weights.formats.strict import MOST_LAYERS, check_heads, check_rope

if TYPE_CHECKING:
    from midfill.weights.families import Family
    from midfill.weights.formats.strict import Metadata

FULL, SLIDING = "full_attention", "sliding_attention"
MIXED_WINDOWS = frozenset({"qwen2", "qwen3", "smollm3"})
"""Families whose ``layer_types`` say which layers have a window."""


def read_architecture(config: Metadata) -> LlamaArchitecture:
    """The shape of the decoder that a ``config.json`` describes.

    Keys that nobody knows are logged, once for all.

    Raises:
        CorruptModelError: a key is missing, or of a value that no model has.
        UnsupportedModelError: a key is not implemented.
    """
    check_known(config)
    family = FAMILIES[config.text("model_type")]
    defaults = DEFAULTS[family.name]
    hidden_size = config.integer("hidden_size")
    heads = config.integer("num_attention_heads")
    layers = config.integer("num_hidden_layers")
    positions = config.integer("max_position_embeddings", defaults["max_position_embeddings"])
    rope = rope_keys(config)
    unrotated = _unrotated(config, family, min(layers, MOST_LAYERS))
    window, full_layers = _windows(config, min(layers, MOST_LAYERS), unrotated)
    architecture = LlamaArchitecture(
        num_hidden_layers=layers,
        hidden_size=hidden_size,
        intermediate_size=config.integer("intermediate_size"),
        num_attention_heads=heads,
        num_key_value_heads=config.integer(
            "num_key_value_heads", defaults.get("num_key_value_heads", heads)
        ),
        head_dim=config.integer("head_dim", defaults.get("head_dim", hidden_size // heads)),
        vocab_size=config.integer("vocab_size"),
        rope_theta=rope.number("rope_theta", defaults.get("rope_theta", 10000.0)),
        rms_norm_eps=(
            config.number("norm_epsilon", 1e-5)
            if family is STARCODER2
            else config.number("rms_norm_eps", 1e-6)
        ),
        max_position_embeddings=positions,
        tie_word_embeddings=config.flag("tie_word_embeddings", default=family.name in TIED),
        rope_scaling=rope_scaling(rope, positions),
        family=family.name,
        attention_bias=_has_biases(config, "attention_bias"),
        mlp_bias=_has_biases(config, "mlp_bias"),
        activation=_activation(config, family),
        sliding_window=window,
        full_attention_layers=full_layers,
        unrotated_layers=unrotated,
        **_multipliers(config, hidden_size),
    )
    check_heads(config.origin, architecture)
    check_rope(config.origin, architecture)
    return architecture


def _has_biases(config: Metadata, key: str) -> bool:
    """Whether there are biases of a kind that the family leaves open."""
    family = FAMILIES[config.text("model_type")]
    if family is STARCODER2:
        return config.flag("use_bias", default=True)
    has_choice = any(row.where == key for row in family.layer)
    if not has_choice:
        config.check_fixed({key: False})
    return has_choice and config.flag(key, default=False)


def _activation(config: Metadata, family: Family) -> str:
    names = dict(ACTIVATION_NAMES)
    if family is GEMMA:  # whose first folders say gelu and mean this one
        names |= {"gelu": "gelu_tanh"}
    usual = next(name for name, value in names.items() if value == family.activation)
    for key in ("hidden_activation", "hidden_act"):
        if key in config:
            config.check_choice(key, config.text(key), names.keys())
            usual = config.text(key)
    return names[usual]


def _windows(
    config: Metadata, layers: int, unrotated: tuple[int, ...]
) -> tuple[int, tuple[int, ...]]:
    """The sliding window, 0 if there is none, and the layers that see all nevertheless."""
    window, full = _usual_windows(config, layers, unrotated)
    kinds = [FULL if not window or index in full else SLIDING for index in range(layers)]
    if not window or config.text("model_type") not in MIXED_WINDOWS:
        config.check_fixed({"layer_types": kinds})
    elif "layer_types" in config:
        kinds = config.texts("layer_types")
        if len(kinds) < layers:
            raise CorruptModelError(
                f"{config.origin}: layer_types has {len(kinds)} kinds for {layers} layers"
            )
        for kind in kinds:
            config.check_choice("layer_types", kind, {FULL, SLIDING})
    return window, tuple(index for index in range(layers) if window and kinds[index] == FULL)


def _usual_windows(
    config: Metadata, layers: int, unrotated: tuple[int, ...]
) -> tuple[int, tuple[int, ...]]:
    """The same where ``layer_types`` is not there."""
    family = config.text("model_type")
    is_on = family in ("mistral", "starcoder2") or config.flag("use_sliding_window", default=False)
    has_default = family in ("mistral", "qwen2", "qwen3") and not config.is_null("sliding_window")
    window = config.integer("sliding_window", 4096 if has_default else 0, minimum=0) * is_on
    if family in ("qwen2", "qwen3"):
        first = config.integer("max_window_layers", 28, minimum=0)
        return window, tuple(range(min(first, layers)))
    if family == "smollm3":
        return window, tuple(index for index in range(layers) if index not in unrotated)
    return window, ()


def _unrotated(config: Metadata, family: Family, layers: int) -> tuple[int, ...]:
    """``no_rope_layers`` has a 1 for each layer that is rotated, and a 0 for the others."""
    if not family.unrotated_every:
        return ()
    if "no_rope_layers" in config:
        flags = config.integers("no_rope_layers")[:layers]
        return tuple(index for index, rotated in enumerate(flags) if not rotated)
    return family.unrotated_layers(
        layers, config.integer("no_rope_layer_interval", family.unrotated_every)
    )


def _multipliers(config: Metadata, hidden_size: int) -> dict[str, float]:
    family = FAMILIES[config.text("model_type")]
    if family is GRANITE:
        return {key: config.number(key, 1.0) for key in sorted(FAMILY_KEYS["granite"])}
    return {"embedding_multiplier": hidden_size**0.5} if family.scales_embedding else {}
