"""What a PEFT adapter says of itself: its ``adapter_config.json``, read strictly.

Keys, defaults and meaning: ``LoraConfig`` of PEFT 0.21. A key that is not in the tables below is
refused, since nobody knows what it changes; a null says nothing.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.strict import Metadata, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG = "adapter_config.json"
TENSORS = "adapter_model.safetensors"

KNOWN_KEYS = frozenset(
    {
        # read below
        "alpha_pattern",
        "base_model_name_or_path",
        "exclude_modules",
        "init_lora_weights",
        "layers_to_transform",
        "lora_alpha",
        "peft_type",
        "r",
        "rank_pattern",
        "target_modules",
        "trainable_token_indices",
        "use_rslora",
        # without effect once the training is over
        "auto_mapping",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "inference_mode",
        "loftq_config",
        "lora_dropout",
        "lora_ga_config",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
        "task_type",
    }
)

FIXED_KEYS: dict[str, object] = {
    "bias": "none",
    "fan_in_fan_out": False,
    "layers_pattern": "layers",
    "lora_bias": False,
    "use_dora": False,
    "use_qalora": False,
}
"""Keys that are understood at one value only: the one of plain LoRA."""

INITIALIZATIONS: tuple[object, ...] = (True, False, "gaussian", "orthogonal", "eva")
"""Those that leave the base as it is; the others take their start out of its matrices."""

ALL_LINEAR = "all-linear"


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Which modules an adapter changes, and how the parts of a change are put together.

    Modules go by their names in transformers' model: ``model.layers.0.self_attn.q_proj``.
    """

    origin: Path
    base: str
    """The model that it was trained on, as it was called there."""
    rank: int
    alpha: float
    rank_stabilized: bool
    ranks: Mapping[str, int]
    """Ranks of some modules, by a pattern that their name ends with."""
    alphas: Mapping[str, float]
    """The same."""
    targets: str | tuple[str, ...]
    """A pattern for whole names, or the ends of names."""
    excluded: str | tuple[str, ...]
    layers: frozenset[int] | None
    """None: all."""
    token_rows: Mapping[str, tuple[int, ...]]
    """The token ids that have rows of their own, by the module's last name."""

    def adapts(self, module: str) -> bool:
        """Whether a matrix of the model has a low-rank update."""
        if self.targets == ALL_LINEAR:
            found = module.startswith("model.layers.")
        else:
            found = _named(module, self.targets)
        return found and self._in_layers(module) and not _named(module, self.excluded)

    def rank_of(self, module: str) -> int:
        """Columns of its update's left factor, rows of its right one."""
        return next((self.ranks[key] for key in self.ranks if _ends_with(module, key)), self.rank)

    def scale_of(self, module: str) -> float:
        """What the product of the factors is multiplied with before it is added to the matrix.

        Source: Hu et al. 2021, section 4.1; Kalajdzievski 2023 for the rank-stabilized one.
        """
        alpha = next((self.alphas[key] for key in self.alphas if _ends_with(module, key)), None)
        rank = self.rank_of(module)
        below = math.sqrt(rank) if self.rank_stabilized else rank
        return (self.alpha if alpha is None else alpha) / below

    def _in_layers(self, module: str) -> bool:
        layer = re.match(r"model\.layers\.(\d+)\.", module)
        return self.layers is None or (layer is not None and int(layer[1]) in self.layers)


def read_config(folder: Path) -> AdapterConfig:
    """The configuration of the adapter in a folder.

    Raises:
        CorruptModelError: the file is missing or broken, or a key has a value of another kind.
        UnsupportedModelError: not LoRA, or a key that would change the result.
    """
    config = Metadata(folder / CONFIG, read_json(folder / CONFIG))
    config.check_choice("peft_type", config.text("peft_type"), {"LORA"})
    config.check_known(KNOWN_KEYS, FIXED_KEYS)
    _check_initialization(config)
    try:
        return _config(config)
    except re.error as error:
        raise CorruptModelError(f"{config.origin}: a pattern is broken: {error}") from error


def _config(config: Metadata) -> AdapterConfig:
    ranks = Metadata(config.origin, config.mapping("rank_pattern"))
    alphas = Metadata(config.origin, config.mapping("alpha_pattern"))
    layers = config.plain("layers_to_transform", default=[])
    adapter = AdapterConfig(
        origin=config.origin,
        base=config.text("base_model_name_or_path", "a model without a name"),
        rank=config.integer("r", 8),
        alpha=config.number("lora_alpha", 8),
        rank_stabilized=config.flag("use_rslora", default=False),
        ranks={key: ranks.integer(key) for key in ranks},
        alphas={key: alphas.number(key) for key in alphas},
        targets=_lower_shorthand(config.text_or_texts("target_modules")),
        excluded=config.text_or_texts("exclude_modules"),
        layers=None if layers == [] else _layers(config),
        token_rows=_token_rows(config),
    )
    for pattern in (*ranks, *alphas, adapter.targets, adapter.excluded):
        if isinstance(pattern, str):
            re.compile(pattern)
    return adapter


def _layers(config: Metadata) -> frozenset[int]:
    return frozenset(config.integer_or_integers("layers_to_transform", 0))


def _check_initialization(config: Metadata) -> None:
    value = config.plain("init_lora_weights", default=True)
    if value not in INITIALIZATIONS:
        known = ", ".join(map(str, INITIALIZATIONS))
        raise UnsupportedModelError(
            f"{config.origin}: init_lora_weights is {value!r}, which changes the base too; midfill "
            f"implements {known}: save the adapter with path_initial_model_for_weight_conversion"
        )


def _lower_shorthand(targets: str | tuple[str, ...]) -> str | tuple[str, ...]:
    shorthand = isinstance(targets, str) and targets.lower() == ALL_LINEAR
    return ALL_LINEAR if shorthand else targets


def _token_rows(config: Metadata) -> dict[str, tuple[int, ...]]:
    """``{"embed_tokens": [49152, 49153]}``, or the list alone."""
    key = "trainable_token_indices"
    if isinstance(config.plain(key, default=None), list):
        return {"embed_tokens": tuple(config.integers(key))}
    table = Metadata(config.origin, config.mapping(key))
    return {name.rpartition(".")[2]: tuple(table.integers(name)) for name in table}


def _named(module: str, names: str | tuple[str, ...]) -> bool:
    if isinstance(names, str):
        return re.fullmatch(names, module) is not None
    return any(module == name or module.endswith(f".{name}") for name in names)


def _ends_with(module: str, pattern: str) -> bool:
    return re.fullmatch(rf"(.*\.)?({pattern})", module) is not None
