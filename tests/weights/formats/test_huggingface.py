"""Hugging Face folders that transformers wrote, read back exactly or refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_models import write_llama_folder
from tiny_tokenizers import tiny_byte_level_vocabulary, tiny_tokenizer_json

from midfill.weights.architecture import LlamaArchitecture, RopeScaling, SentencePieceModel
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.config.architecture import read_architecture
from midfill.weights.formats.huggingface import read_checkpoint
from midfill.weights.formats.strict import Metadata

if TYPE_CHECKING:
    from pathlib import Path

YARN = {"rope_type": "yarn", "factor": 4.0}
LINEAR = {"rope_type": "linear", "factor": 4.0}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}


@pytest.fixture(scope="module")
def written_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in several shards, with a stand-in for its tokenizer."""
    folder = tmp_path_factory.mktemp("llama") / "tiny-llama"
    write_llama_folder(folder)
    (folder / "tokenizer.model").write_bytes(b"pieces")
    return folder


@pytest.fixture
def folder(written_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(written_folder, tmp_path / "copy")


def change_config(folder: Path, **changes: object) -> None:
    """Set keys of config.json, or remove those that are set to ``...``."""
    file = folder / "config.json"
    config = json.loads(file.read_text()) | changes
    kept = {key: value for key, value in config.items() if value is not ...}
    file.write_text(json.dumps(kept))


def test_the_architecture_is_what_transformers_wrote(written_folder: Path) -> None:
    """Grouped heads, the RoPE base of Code Llama, an untied head."""
    checkpoint = read_checkpoint(written_folder, "tiny")
    assert checkpoint.architecture == LlamaArchitecture(
        num_hidden_layers=2,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=320,
        rope_theta=1e6,
        rms_norm_eps=1e-6,
        max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    assert (checkpoint.name, checkpoint.path, checkpoint.dialect) == ("tiny", written_folder, None)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shards", ["20KB", "1GB"])
@pytest.mark.parametrize("tied", [False, True])
def test_every_tensor_equals_the_model_that_was_saved(
    tmp_path: Path, dtype: str, shards: str, *, tied: bool
) -> None:
    """In one file or in shards, tied or not, from each dtype to each."""
    model = write_llama_folder(
        tmp_path, dtype=dtype, max_shard_size=shards, tie_word_embeddings=tied
    )
    (tmp_path / "tokenizer.model").write_bytes(b"")
    checkpoint = read_checkpoint(tmp_path, "tiny")
    saved = model.state_dict()
    assert saved.keys() - checkpoint.tensors.keys() == ({"lm_head.weight"} if tied else set())
    assert checkpoint.architecture.tie_word_embeddings is tied
    for name, tensor in checkpoint.tensors.items():
        for read_as in (torch.float32, torch.bfloat16):
            read = tensor.read(read_as)
            assert torch.equal(read, saved[name].to(read_as))
            assert read.is_contiguous()
        assert tensor.shape == tuple(saved[name].shape)
        assert tensor.blocks() is None


def test_a_head_width_of_its_own_is_read(tmp_path: Path) -> None:
    """It need not be the width of the model divided by the heads."""
    write_llama_folder(tmp_path, head_dim=16)
    (tmp_path / "tokenizer.model").write_bytes(b"")
    assert read_checkpoint(tmp_path, "tiny").architecture.head_dim == 16


@pytest.mark.parametrize(
    ("changes", "theta", "scaling"),
    [
        ({"rope_theta": 5e5}, 5e5, None),
        ({}, 1e4, None),
        ({"rope_theta": 1e6, "rope_scaling": None}, 1e6, None),
        ({"rope_scaling": {"type": "linear", "factor": 4}}, 1e4, RopeScaling("linear", 4.0)),
        ({"rope_scaling": LINEAR, "rope_theta": 1e6}, 1e6, RopeScaling("linear", 4.0)),
        ({"rope_parameters": {**LINEAR, "rope_theta": 7.0}}, 7.0, RopeScaling("linear", 4.0)),
        ({"rope_parameters": {**LINEAR, "factor": 1.0}}, 1e4, None),
        ({"rope_parameters": {"rope_type": "default", "factor": 1.0}}, 1e4, None),
        ({"rope_scaling": LLAMA3}, 1e4, RopeScaling("llama3", 8.0, 1.0, 4.0, 128)),
    ],
)
def test_rope_is_read_as_both_versions_of_transformers_write_it(
    folder: Path, changes: dict[str, Any], theta: float, scaling: RopeScaling | None
) -> None:
    """Version 4 has two places for it, version 5 one."""
    change_config(folder, **({"rope_parameters": ...} | changes))
    architecture = read_checkpoint(folder, "tiny").architecture
    assert (architecture.rope_theta, architecture.rope_scaling) == (theta, scaling)


def test_absent_keys_take_the_defaults_of_transformers(folder: Path) -> None:
    """Files leave out what is as usual."""
    absent = ("rms_norm_eps", "max_position_embeddings", "head_dim", "tie_word_embeddings")
    change_config(folder, **dict.fromkeys((*absent, "bos_token_id", "eos_token_id"), ...))
    checkpoint = read_checkpoint(folder, "tiny")
    assert checkpoint.architecture.max_position_embeddings == 2048
    assert checkpoint.architecture.rms_norm_eps == 1e-6
    assert checkpoint.tokenizer == SentencePieceModel(b"pieces", 1, frozenset({2}))


def test_absent_key_value_heads_are_as_many_as_query_heads(tmp_path: Path) -> None:
    """That is: no grouping."""
    write_llama_folder(tmp_path, num_key_value_heads=4)
    (tmp_path / "tokenizer.model").write_bytes(b"")
    change_config(tmp_path, num_key_value_heads=...)
    assert read_checkpoint(tmp_path, "tiny").architecture.num_key_value_heads == 4


def test_notes_of_transformers_and_nulls_are_no_keys(folder: Path) -> None:
    """They are left alone, whatever they are called."""
    change_config(folder, _name_or_path="x", sliding_window=None)
    read_checkpoint(folder, "tiny")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "falcon"}, "model_type is 'falcon'; midfill implements gemma, .*llama"),
        ({"model_type": "qwen2", "attention_bias": True}, "attention_bias is True; .* False only"),
        ({"model_type": "mistral", "mlp_bias": True}, "mlp_bias is True"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; midfill implements gelu_pytorch_tanh, si"),
        ({"sliding_window": 4096}, "sliding_window is 4096; midfill implements None only"),
        ({"residual_multiplier": 0.2}, "residual_multiplier is 0.2; midfill implements 1.0 only"),
        ({"num_local_experts": 8}, "num_local_experts is 8"),
        ({"model_type": "starcoder2", "norm_type": "rms_norm"}, "norm_type is 'rms_norm'"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types is"),
        (
            {"model_type": "qwen3", "use_sliding_window": True, "layer_types": ["chunked"] * 2},
            "layer_types is 'chunked'; midfill implements full_attention, sliding_attention",
        ),
        ({"quantization_config": {"bits": 4}}, "quantization_config is"),
        ({"rope_scaling": {"type": "longrope", "factor": 4.0}}, "'longrope'; .* linear, llama3"),
        ({"rope_scaling": {**LINEAR, "beta_fast": 3}}, "beta_fast is 3; midfill does not"),
        ({"rope_scaling": {"type": "default", "factor": 2.0}}, "factor is 2.0; .* 1.0 only"),
    ],
)
def test_what_could_change_the_result_is_refused(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    """By the name of the key."""
    if "rope_scaling" in changes:
        changes = {"rope_parameters": ...} | changes
    change_config(folder, **changes)
    with pytest.raises(UnsupportedModelError, match=message):
        read_checkpoint(folder, "tiny")


def test_keys_that_nobody_knows_are_ignored_with_one_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The checkpoint has their names, for whoever wants to see them."""
    change_config(folder, unsloth_version="2", auto_map={"AutoModel": "code.Model"}, _note=1)
    checkpoint = read_checkpoint(folder, "tiny")
    assert checkpoint.ignored == ("auto_map", "unsloth_version")
    (record,) = caplog.records
    assert "ignored: auto_map, unsloth_version" in record.message


def test_a_tied_head_that_is_stored_too_is_ignored(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As transformers does, which ties the embedding to it."""
    change_config(folder, tie_word_embeddings=True)
    checkpoint = read_checkpoint(folder, "tiny")
    assert checkpoint.ignored == ("lm_head.weight",)
    assert "lm_head.weight" not in checkpoint.tensors
    assert "stores a head, which is ignored" in caplog.text


@pytest.mark.parametrize(
    ("changes", "window", "full"),
    [
        ({"model_type": "mistral"}, 4096, ()),
        ({"model_type": "mistral", "sliding_window": None}, 0, ()),
        ({"model_type": "mistral", "sliding_window": 7}, 7, ()),
        ({"model_type": "qwen2", "sliding_window": 7}, 0, ()),
        (
            {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 1},
            4096,
            (0,),
        ),
        (
            {
                "model_type": "qwen2", "use_sliding_window": True, "sliding_window": 7,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            7,
            (1,),
        ),
        ({"model_type": "starcoder2"}, 0, ()),
        ({"model_type": "smollm3", "sliding_window": 7}, 0, ()),
        (
            {
                "model_type": "smollm3", "use_sliding_window": True, "sliding_window": 7,
                "no_rope_layers": [1, 0],
            },
            7,
            (0,),
        ),
    ],
)  # fmt: skip
def test_windows_are_read_as_transformers_reads_them(
    folder: Path, changes: dict[str, Any], window: int, full: tuple[int, ...]
) -> None:
    """An absent window is the family's usual one, null is none."""
    change_config(folder, **changes)
    file = folder / "config.json"
    architecture = read_architecture(Metadata(file, json.loads(file.read_text())))
    assert (architecture.sliding_window, architecture.full_attention_layers) == (window, full)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": ...}, "hidden_size is missing"),
        ({"rope_parameters": YARN | {"rope_theta": 1.0}}, "yarn needs a base over 1"),
        (
            {"rope_parameters": YARN | {"beta_fast": 1e308}},
            "betas up to the original context of 512",
        ),
        (
            {"model_type": "qwen3", "use_sliding_window": True, "layer_types": []},
            "layer_types has 0 kinds for 2 layers",
        ),
        ({"num_key_value_heads": 3}, "4 query heads cannot share 3"),
        ({"num_hidden_layers": 1}, "beyond its architecture: model.layers.1"),
        ({"vocab_size": 321}, "embed_tokens.weight has the shape"),
        ({"rope_theta": 1e4}, "rope_theta is both 10000.0 and 1000000.0"),
        ({"eos_token_id": "</s>"}, "eos_token_id is '</s>'"),
        ({"rope_parameters": LINEAR | {"factor": 0}}, "factor is 0"),
    ],
)
def test_what_does_not_fit_together_is_corrupt(
    folder: Path, changes: dict[str, Any], message: str
) -> None:
    """Config against config, and config against tensors."""
    change_config(folder, **changes)
    with pytest.raises(CorruptModelError, match=message):
        read_checkpoint(folder, "tiny")


def test_a_folder_without_a_config_is_corrupt(tmp_path: Path) -> None:
    """The message says which file."""
    with pytest.raises(CorruptModelError, match=r"config.json is missing"):
        read_checkpoint(tmp_path, "tiny")


def test_several_ends_of_text_are_read(folder: Path) -> None:
    """Llama 3 has a list of them."""
    change_config(folder, eos_token_id=[2, 3], bos_token_id=0)
    tokenizer = read_checkpoint(folder, "tiny").tokenizer
    assert tokenizer == SentencePieceModel(b"pieces", 0, frozenset({2, 3}))


def test_a_tokenizer_json_serves_where_there_is_no_sentencepiece_model(folder: Path) -> None:
    """This one adds no BOS; the end of text is the config's."""
    (folder / "tokenizer.model").unlink()
    (folder / "tokenizer.json").write_text(tiny_tokenizer_json(), "utf-8")
    tokenizer = read_checkpoint(folder, "tiny").tokenizer
    assert tokenizer == replace(tiny_byte_level_vocabulary(), eos_ids=frozenset({2}))


def test_a_folder_without_a_tokenizer_is_corrupt(folder: Path) -> None:
    """Weights without a tokenizer are no model."""
    (folder / "tokenizer.model").unlink()
    with pytest.raises(CorruptModelError, match=r"neither tokenizer.model nor tokenizer.json"):
        read_checkpoint(folder, "tiny")
