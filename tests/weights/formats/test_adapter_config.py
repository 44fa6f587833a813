"""An adapter's configuration: what is adapted and how, or a refusal that names the key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tiny_adapters import adapter_config

from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.adapter_config import read_config

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.formats.adapter_config import AdapterConfig

QUERY, DOWN = "model.layers.0.self_attn.q_proj", "model.layers.11.mlp.down_proj"
EVERYTHING = (QUERY, DOWN, "lm_head", "model.embed_tokens", "model.norm")


def read(folder: Path, **changes: object) -> AdapterConfig:
    """The configuration with these keys changed."""
    (folder / "adapter_config.json").write_text(json.dumps(adapter_config(**changes)), "utf-8")
    return read_config(folder)


@pytest.mark.parametrize(
    ("changes", "adapted"),
    [
        ({"target_modules": ["q_proj", "down_proj"]}, {QUERY, DOWN}),
        ({"target_modules": [QUERY]}, {QUERY}),
        ({"target_modules": ["proj"]}, set()),
        ({"target_modules": "all-linear"}, {QUERY, DOWN}),
        ({"target_modules": "All-Linear"}, {QUERY, DOWN}),
        ({"target_modules": r".*\.(q_proj|lm_head)"}, {QUERY}),
        ({"target_modules": r".*(q_proj|lm_head)"}, {QUERY, "lm_head"}),
        ({"target_modules": "q_proj"}, set()),
        ({"target_modules": "all-linear", "exclude_modules": ["mlp.down_proj"]}, {QUERY}),
        ({"target_modules": "all-linear", "exclude_modules": r".*q_proj"}, {DOWN}),
        ({"layers_to_transform": [0, 1]}, {QUERY}),
        ({"layers_to_transform": 11}, {DOWN}),
        ({"layers_to_transform": []}, {QUERY, DOWN}),
        ({"layers_to_transform": [3]}, set()),
    ],
)
def test_modules_are_adapted_that_peft_would_adapt(
    tmp_path: Path, changes: dict[str, Any], adapted: set[str]
) -> None:
    """By the ends of their names, by a pattern for whole names, by layer."""
    config = read(tmp_path, **changes)
    assert {module for module in EVERYTHING if config.adapts(module)} == adapted


@pytest.mark.parametrize(
    ("changes", "rank", "scale"),
    [
        ({}, 4, 2.0),
        ({"use_rslora": True}, 4, 4.0),
        ({"rank_pattern": {"q_proj": 2}}, 2, 4.0),
        ({"rank_pattern": {"v_proj": 2}}, 4, 2.0),
        ({"rank_pattern": {"proj": 2}}, 4, 2.0),
        ({"rank_pattern": {r"^model\.layers\.0\..*": 1}, "use_rslora": True}, 1, 8.0),
        ({"alpha_pattern": {"layers.0.self_attn.q_proj": 1.5}}, 4, 0.375),
    ],
)
def test_rank_and_scale_follow_the_patterns(
    tmp_path: Path, changes: dict[str, Any], rank: int, scale: float
) -> None:
    """A pattern must match a name's end at a dot."""
    config = read(tmp_path, **changes)
    assert (config.rank_of(QUERY), config.scale_of(QUERY)) == (rank, scale)


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        (..., {}),
        ([7, 9], {"embed_tokens": (7, 9)}),
        ({"embed_tokens": [7], "lm_head": [8]}, {"embed_tokens": (7,), "lm_head": (8,)}),
        ({"model.embed_tokens": [7]}, {"embed_tokens": (7,)}),
    ],
)
def test_tokens_with_rows_of_their_own_are_listed_by_module(
    tmp_path: Path, value: object, rows: dict[str, tuple[int, ...]]
) -> None:
    """A bare list means the embedding."""
    assert read(tmp_path, trainable_token_indices=value).token_rows == rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "ADALORA"}, "peft_type is 'ADALORA'; midfill implements LORA"),
        ({"use_dora": True}, "use_dora is True; midfill implements False only"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is True"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is .*does not implement this key"),
        ({"target_parameters": ["weight"]}, "target_parameters is"),
        ({"layer_replication": [[0, 2]]}, "layer_replication is"),
        ({"layers_pattern": "blocks"}, "layers_pattern is 'blocks'"),
        ({"use_new_trick": False}, "use_new_trick is False"),
        ({"init_lora_weights": "pissa_niter_4"}, "'pissa_niter_4', which changes the base"),
        ({"init_lora_weights": "olora"}, "path_initial_model_for_weight_conversion"),
    ],
)
def test_what_could_change_the_result_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Also keys that nobody here has heard of."""
    with pytest.raises(UnsupportedModelError, match=message):
        read(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": ...}, "peft_type is missing"),
        ({"r": 0}, "r is 0; it must be an integer of at least 1"),
        ({"lora_alpha": "8"}, "lora_alpha is '8'"),
        ({"rank_pattern": {"q_proj": 0.5}}, "q_proj is 0.5"),
        ({"target_modules": 3}, "target_modules is 3; it must be a list of strings"),
        ({"target_modules": "(q_proj"}, "a pattern is broken"),
        ({"trainable_token_indices": {"embed_tokens": ["a"]}}, "embed_tokens is"),
    ],
)
def test_values_of_another_kind_are_corrupt(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """The message names the key."""
    with pytest.raises(CorruptModelError, match=message):
        read(tmp_path, **changes)


def test_nulls_and_notes_on_the_training_are_ignored(tmp_path: Path) -> None:
    """PEFT writes a key for everything that it knows."""
    read(tmp_path, revision="main", use_bdlora=None, megatron_core="megatron.core")


def test_a_folder_without_a_configuration_is_corrupt(tmp_path: Path) -> None:
    """Factors alone do not say how they are scaled."""
    with pytest.raises(CorruptModelError, match=r"adapter_config.json is missing"):
        read_config(tmp_path)
