"""The rotary embedding's part of ``config.json``."""

from __future__ import annotations

from midfill.weights.architecture import RopeScaling, yarn_attention_factor
from midfill.weights.errors import CorruptModelError
from midfill.weights.formats.strict import Metadata

ROPE_KEYS = {
    "default": frozenset[str](),
    "dynamic": frozenset({"factor"}),
    "linear": frozenset({"factor"}),
    "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor"}),
    "yarn": frozenset({"attention_factor", "beta_fast", "beta_slow", "factor", "finetuned"})
    | {"mscale", "mscale_all_dim", "truncate"},
}
"""What each kind of rotary embedding reads, beside the keys that all may have."""

SHARED_ROPE_KEYS = frozenset({"rope_type", "rope_theta", "original_max_position_embeddings"})


def rope_keys(config: Metadata) -> Metadata:
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


def rope_scaling(rope: Metadata, positions: int) -> RopeScaling | None:
    """How angles are stretched, in a model for so many positions; None: they are not.

    Raises:
        UnsupportedModelError: a kind, or a key of it, is not implemented.
    """
    kind = rope.text("rope_type", "default")
    rope.check_choice("rope_type", kind, ROPE_KEYS.keys())
    rope.check_known(
        SHARED_ROPE_KEYS | ROPE_KEYS[kind], {"factor": 1.0, "partial_rotary_factor": 1.0}
    )
    if kind == "default":
        return None
    factor = rope.number("factor")
    if kind == "linear":
        return None if factor == 1.0 else RopeScaling("linear", factor)
    if kind == "dynamic":
        return RopeScaling("dynamic", factor, original_context_length=positions)
    original = rope.integer("original_max_position_embeddings", positions)
    if kind == "yarn":
        return RopeScaling(
            "yarn",
            factor,
            original_context_length=original,
            beta_fast=rope.number("beta_fast", 32.0),
            beta_slow=rope.number("beta_slow", 1.0),
            attention_factor=_attention_factor(rope, factor),
            truncate=rope.flag("truncate", default=True),
        )
    return RopeScaling(
        kind="llama3",
        factor=factor,
        low_freq_factor=rope.number("low_freq_factor"),
        high_freq_factor=rope.number("high_freq_factor"),
        original_context_length=original,
    )


def _attention_factor(rope: Metadata, factor: float) -> float:
    """Yarn's temperature, or DeepSeek's quotient of two."""
    if "attention_factor" in rope:
        return rope.number("attention_factor")
    if "mscale" in rope and "mscale_all_dim" in rope:
        above, below = rope.number("mscale"), rope.number("mscale_all_dim")
        return yarn_attention_factor(factor, above) / yarn_attention_factor(factor, below)
    return yarn_attention_factor(factor)
