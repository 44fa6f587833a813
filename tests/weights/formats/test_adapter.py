"""Adapters laid over checkpoints: merged as by hand, tokens added, misfits refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_adapters import adapter_tensors, model_config, write_adapter
from tiny_engine import SHAPE, tiny_checkpoint
from tiny_models import write_gguf
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill.weights.architecture import RopeScaling, SentencePieceModel
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.adapter import apply

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.architecture import Checkpoint

TIED = replace(SHAPE, vocab_size=1200, tie_word_embeddings=True)
"""A row for each token, and none to spare."""
NEW = {"<new_one>": 1200, "<new_two>": 1201}
WIDER = replace(TIED, vocab_size=1202)
FP32 = torch.float32

UP = "model.layers.1.mlp.up_proj"
EMBEDDING = "model.embed_tokens.weight"


def write_with_tokens(folder: Path, **changes: Any) -> Path:
    """An adapter for TIED with two new tokens."""
    tensors = adapter_tensors(TIED, tokens={"model.embed_tokens": 2})
    indices = {"embed_tokens": [1201, 1200]}
    options: dict[str, Any] = {"trainable_token_indices": indices, "added_tokens": NEW} | changes
    return write_adapter(folder, tensors, **options)


@pytest.fixture
def base() -> Checkpoint:
    """Tied, in memory."""
    return tiny_checkpoint(TIED, dialect="left-to-right")


def test_a_matrix_is_merged_as_by_hand(tmp_path: Path, base: Checkpoint) -> None:
    """``W + alpha / rank * B @ A``."""
    tensors = adapter_tensors(TIED)
    merged = apply(base, write_adapter(tmp_path / "mine", tensors)).tensors[f"{UP}.weight"]
    left = torch.tensor(tensors[f"base_model.model.{UP}.lora_B.weight"])
    right = torch.tensor(tensors[f"base_model.model.{UP}.lora_A.weight"])
    by_hand = base.tensors[f"{UP}.weight"].read(FP32) + 8 / 4 * left @ right
    torch.testing.assert_close(merged.read(FP32), by_hand)
    assert merged.read(torch.bfloat16).dtype == torch.bfloat16
    assert (merged.shape, merged.blocks()) == ((64, 32), None)


def test_what_the_adapter_leaves_alone_stays_as_it_is(tmp_path: Path) -> None:
    """Quantized blocks too, so that they run without loss."""
    write_gguf(tmp_path / "base.gguf")
    base = open_checkpoint(str(tmp_path / "base.gguf"))
    tensors = adapter_tensors(base.architecture, targets=("q_proj",))
    folder = write_adapter(tmp_path / "mine", tensors, target_modules=["q_proj"])
    adapted = apply(base, folder).tensors
    assert {name for name in adapted if adapted[name] is not base.tensors[name]} == {
        f"model.layers.{layer}.self_attn.q_proj.weight" for layer in range(2)
    }


def test_the_base_is_not_changed_by_reading_the_sum(tmp_path: Path, base: Checkpoint) -> None:
    """A second read gives the same."""
    merged = apply(base, write_adapter(tmp_path / "mine", adapter_tensors(TIED)))
    first = merged.tensors[f"{UP}.weight"].read(FP32)
    assert torch.equal(merged.tensors[f"{UP}.weight"].read(FP32), first)


def test_new_tokens_are_control_tokens_with_rows_of_their_own(
    tmp_path: Path, base: Checkpoint
) -> None:
    """The rows are in the order of the configuration, which need not be that of the ids."""
    adapted = apply(base, write_with_tokens(tmp_path / "mine"))
    assert adapted.architecture == WIDER
    assert adapted.tokenizer == replace(
        tiny_byte_level_vocabulary(),
        tokens=(*tiny_byte_level_vocabulary().tokens, *NEW),
        special=tiny_byte_level_vocabulary().special | {1200, 1201},
    )
    rows = adapter_tensors(TIED, tokens={"model.embed_tokens": 2})
    delta = rows["base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"]
    embedding = adapted.tensors[EMBEDDING]
    values = embedding.read(FP32)
    assert (embedding.shape, embedding.blocks()) == ((1202, 32), None)
    assert torch.equal(values[:1200], base.tensors[EMBEDDING].read(FP32))
    assert torch.equal(values[[1201, 1200]], torch.tensor(delta))


def test_with_new_tokens_the_dialect_is_open_again(tmp_path: Path, base: Checkpoint) -> None:
    """They may be infilling markers; without any, the base's dialect holds."""
    plain = write_adapter(tmp_path / "plain", adapter_tensors(TIED))
    assert apply(base, plain).dialect == "left-to-right"
    assert apply(base, write_with_tokens(tmp_path / "mine")).dialect is None


def test_known_tokens_may_get_new_rows(tmp_path: Path, base: Checkpoint) -> None:
    """Nothing grows then; a list alone means the embedding."""
    tensors = adapter_tensors(TIED, tokens={"model.embed_tokens": 1})
    folder = write_adapter(tmp_path / "mine", tensors, trainable_token_indices=[5])
    values = apply(base, folder).tensors[EMBEDDING].read(FP32)
    changed = (values != base.tensors[EMBEDDING].read(FP32)).any(-1).nonzero().flatten().tolist()
    assert changed == [5]


def test_an_untied_head_gets_rows_too(tmp_path: Path) -> None:
    """Each table has its own."""
    untied = replace(TIED, tie_word_embeddings=False)
    tensors = adapter_tensors(untied, tokens={"model.embed_tokens": 2, "lm_head": 2})
    indices = {"embed_tokens": [1200, 1201], "lm_head": [1200, 1201]}
    folder = write_adapter(
        tmp_path / "mine", tensors, trainable_token_indices=indices, added_tokens=NEW
    )
    adapted = apply(tiny_checkpoint(untied), folder).tensors
    assert adapted[EMBEDDING].shape == adapted["lm_head.weight"].shape == (1202, 32)
    assert not torch.equal(
        adapted[EMBEDDING].read(FP32)[1200:], adapted["lm_head.weight"].read(FP32)[1200:]
    )


def test_an_untied_head_may_have_an_update(tmp_path: Path) -> None:
    """As a matrix like any other."""
    untied = replace(TIED, tie_word_embeddings=False)
    tensors = adapter_tensors(untied, targets=("lm_head",))
    folder = write_adapter(tmp_path / "mine", tensors, target_modules=["lm_head"])
    base = tiny_checkpoint(untied)
    head = apply(base, folder).tensors["lm_head.weight"].read(FP32)
    assert not torch.allclose(head, base.tensors["lm_head.weight"].read(FP32))


def test_adapters_may_be_laid_one_over_the_other(tmp_path: Path, base: Checkpoint) -> None:
    """One's own over that of the default model, for example."""
    first = apply(base, write_with_tokens(tmp_path / "first"))
    tensors = adapter_tensors(WIDER, seed=1)
    both = apply(first, write_adapter(tmp_path / "second", tensors))
    assert both.name == "tiny+first+second"
    assert both.architecture == WIDER
    left = torch.tensor(tensors[f"base_model.model.{UP}.lora_B.weight"])
    right = torch.tensor(tensors[f"base_model.model.{UP}.lora_A.weight"])
    by_hand = first.tensors[f"{UP}.weight"].read(FP32) + 2 * left @ right
    torch.testing.assert_close(both.tensors[f"{UP}.weight"].read(FP32), by_hand)


def test_the_rotary_base_and_the_length_may_be_the_adapters(
    tmp_path: Path, base: Checkpoint
) -> None:
    """Fine-tuning for long contexts changes them."""
    rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e6}
    config = model_config(TIED, rope_parameters=rope, max_position_embeddings=16384)
    folder = write_adapter(tmp_path / "mine", adapter_tensors(TIED), model_config=config)
    assert apply(base, folder).architecture == replace(
        TIED,
        rope_theta=5e6,
        max_position_embeddings=16384,
        rope_scaling=RopeScaling("linear", 2.0),
    )


def test_numbers_that_gguf_has_rounded_are_the_same(tmp_path: Path, base: Checkpoint) -> None:
    """It stores them in fp32."""
    rounded = replace(base, architecture=replace(TIED, rms_norm_eps=9.999999747378752e-06))
    config = model_config(TIED, rms_norm_eps=1e-5)
    folder = write_adapter(tmp_path / "mine", adapter_tensors(TIED), model_config=config)
    assert apply(rounded, folder).architecture == rounded.architecture


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 64}, "hidden_size is 64, and in the model 'tiny' it is 32"),
        ({"rms_norm_eps": 1e-6}, "rms_norm_eps is 1e-06"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"vocab_size": 1100}, "vocab_size is 1100; the model 'tiny' has 1200 rows"),
        ({"vocab_size": 1201}, r"must have each new token \(1200 to 1200\).*missing: \[1200\]"),
    ],
)
def test_any_other_change_of_the_model_is_refused(
    tmp_path: Path, base: Checkpoint, changes: dict[str, Any], message: str
) -> None:
    """It would be another model."""
    config = model_config(TIED, **changes)
    folder = write_adapter(tmp_path / "mine", adapter_tensors(TIED), model_config=config)
    with pytest.raises(CorruptModelError, match=message):
        apply(base, folder)


def test_the_wrong_base_is_met_with_both_shapes_and_both_names(
    tmp_path: Path, base: Checkpoint
) -> None:
    """All that is needed to find the right one."""
    narrow = adapter_tensors(replace(TIED, intermediate_size=48))
    folder = write_adapter(tmp_path / "mine", narrow)
    expected = (
        r"mlp.down_proj.lora_A.weight has the shape \(4, 48\), not \(4, 64\); "
        "the adapter was made for 'tiny-base', and the model is 'tiny'"
    )
    with pytest.raises(CorruptModelError, match=expected):
        apply(base, folder)


def test_missing_and_left_over_tensors_are_corrupt(tmp_path: Path, base: Checkpoint) -> None:
    """Every factor that is promised, and nothing else."""
    tensors = adapter_tensors(TIED)
    name = f"base_model.model.{UP}.lora_A.weight"
    missing = {key: value for key, value in tensors.items() if key != name}
    with pytest.raises(CorruptModelError, match=f"lacks the tensors: {UP}.lora_A.weight; the"):
        apply(base, write_adapter(tmp_path / "missing", missing))
    left_over = tensors | {"base_model.model.lm_head.weight": tensors[name]}
    with pytest.raises(CorruptModelError, match=r"has tensors beyond .*: lm_head.weight; the"):
        apply(base, write_adapter(tmp_path / "left", left_over))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_modules": ["lm_head"]}, "target_modules has lm_head; midfill implements"),
        ({"target_modules": ["embed_tokens"]}, "target_modules has model.embed_tokens"),
        ({"trainable_token_indices": {"lm_head": [1]}}, "has lm_head; this model has embed_tokens"),
    ],
)
def test_modules_that_are_not_implemented_are_refused(
    tmp_path: Path, base: Checkpoint, changes: dict[str, Any], message: str
) -> None:
    """A tied head must not part from the embedding."""
    with pytest.raises(UnsupportedModelError, match=message):
        apply(base, write_adapter(tmp_path / "mine", adapter_tensors(TIED), **changes))


@pytest.mark.parametrize("indices", [[1200, 1202], [1200, 1200], [-1, 1200], [1200, 5]])
def test_rows_are_for_each_new_token_once(
    tmp_path: Path, base: Checkpoint, indices: list[int]
) -> None:
    """Not for others that the vocabulary lacks."""
    folder = write_with_tokens(tmp_path / "mine", trainable_token_indices=indices)
    with pytest.raises(CorruptModelError, match="must have each new token"):
        apply(base, folder)


@pytest.mark.parametrize("added", [{"<a>": 1201}, {"<fim_prefix>": 1200}, {"<a>": 3}])
def test_new_tokens_follow_the_known_ones(
    tmp_path: Path, base: Checkpoint, added: dict[str, int]
) -> None:
    """No gap, no second id for a token, no second token for an id."""
    folder = write_with_tokens(tmp_path / "mine", added_tokens=added)
    with pytest.raises(CorruptModelError, match="must follow without a gap"):
        apply(base, folder)


def test_known_tokens_may_be_named_again(tmp_path: Path, base: Checkpoint) -> None:
    """Transformers lists all that were ever added."""
    folder = write_with_tokens(tmp_path / "mine", added_tokens=NEW | {"<fim_prefix>": 1})
    assert apply(base, folder).architecture == WIDER


def test_a_sentencepiece_model_gets_no_tokens(tmp_path: Path) -> None:
    """But updates like any other."""
    base = tiny_checkpoint(TIED, SentencePieceModel(b"", 1, frozenset({2})))
    apply(base, write_adapter(tmp_path / "plain", adapter_tensors(TIED)))
    with pytest.raises(UnsupportedModelError, match="byte-level BPE only"):
        apply(base, write_with_tokens(tmp_path / "mine"))


def test_an_adapter_for_other_matrices_is_corrupt(tmp_path: Path, base: Checkpoint) -> None:
    """It would do nothing."""
    folder = write_adapter(tmp_path / "mine", {}, target_modules=["c_attn"])
    with pytest.raises(CorruptModelError, match=r"names no matrix .*made for 'tiny-base'"):
        apply(base, folder)


def test_pickles_are_refused_with_advice(tmp_path: Path, base: Checkpoint) -> None:
    """The message has the way out."""
    folder = write_adapter(tmp_path / "mine", adapter_tensors(TIED))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(UnsupportedModelError, match="can run code"):
        apply(base, folder)


def test_a_folder_without_factors_is_corrupt(tmp_path: Path, base: Checkpoint) -> None:
    """The configuration alone adapts nothing."""
    folder = write_adapter(tmp_path / "mine", adapter_tensors(TIED))
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(CorruptModelError, match=r"adapter_model.safetensors is not a whole"):
        apply(base, folder)
