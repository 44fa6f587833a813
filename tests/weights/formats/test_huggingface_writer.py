"""Folders that we wrote, read back: the same tensors, the same tokenizer, the same numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_engine import SHAPE, tiny_checkpoint
from tiny_tokenizers import code_llama_tokenizer_data, tiny_byte_level_vocabulary

from midfill.weights.architecture import RopeScaling
from midfill.weights.formats.huggingface import read_checkpoint
from midfill.weights.formats.huggingface_writer import write_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.architecture import Checkpoint

FP32 = torch.float32
FIM_END = tiny_byte_level_vocabulary().tokens.index("<fim_end>")


def written(checkpoint: Checkpoint, folder: Path, dtype: torch.dtype = FP32) -> Checkpoint:
    """The checkpoint, written and read."""
    write_checkpoint(checkpoint, folder, dtype, "# A card\n", lambda _done, _total: None)
    return read_checkpoint(folder, checkpoint.name)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [FP32, torch.bfloat16])
def test_a_checkpoint_comes_back_exactly(tmp_path: Path, dtype: torch.dtype, *, tied: bool) -> None:
    """Shape, tensors, and the tokenizer with another end: that of a middle."""
    checkpoint = tiny_checkpoint(replace(SHAPE, tie_word_embeddings=tied))
    again = written(checkpoint, tmp_path, dtype)
    assert again.architecture == checkpoint.architecture
    ends = frozenset({0, FIM_END})
    assert again.tokenizer == replace(tiny_byte_level_vocabulary(), eos_ids=ends)
    for name, tensor in checkpoint.tensors.items():
        assert torch.equal(again.tensors[name].read(dtype), tensor.read(dtype)), name


@pytest.mark.parametrize(
    "scaling", [RopeScaling("linear", 4.0), RopeScaling("llama3", 8.0, 1.0, 4.0, 128)]
)
def test_scaling_of_the_rotary_angles_is_kept(tmp_path: Path, scaling: RopeScaling) -> None:
    """Both kinds are."""
    checkpoint = tiny_checkpoint(replace(SHAPE, rope_scaling=scaling))
    assert written(checkpoint, tmp_path).architecture == checkpoint.architecture


@pytest.mark.parametrize("pre_tokenizer", ["smollm", "gpt-2"])
def test_the_tokenizer_keeps_its_rule_and_its_bos(tmp_path: Path, pre_tokenizer: str) -> None:
    """Both are in the files, not in the reader's mind."""
    vocabulary = replace(tiny_byte_level_vocabulary(pre_tokenizer), bos_id=5)
    again = written(tiny_checkpoint(tokenizer=vocabulary), tmp_path).tokenizer
    assert again == replace(vocabulary, eos_ids=frozenset({0, FIM_END}))


def test_ids_without_a_token_stay_without_one(tmp_path: Path) -> None:
    """A vocabulary may have holes; they are special, as nobody can write them."""
    tokens = list(tiny_byte_level_vocabulary().tokens)
    tokens[5] = ""
    vocabulary = replace(tiny_byte_level_vocabulary(), tokens=tuple(tokens))
    again = written(tiny_checkpoint(tokenizer=vocabulary), tmp_path).tokenizer
    assert again == replace(vocabulary, eos_ids=frozenset({0, FIM_END}))


def test_a_sentencepiece_model_is_kept_as_it_is(tmp_path: Path) -> None:
    """Byte for byte."""
    data = code_llama_tokenizer_data()
    assert written(tiny_checkpoint(tokenizer=data), tmp_path).tokenizer == data


def test_generation_is_greedy_and_ends_at_the_end_of_a_middle(tmp_path: Path) -> None:
    """Or of a text."""
    written(tiny_checkpoint(), tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_text("utf-8")) == {
        "bos_token_id": 0,
        "eos_token_id": [0, FIM_END],
        "do_sample": False,
    }
    assert (tmp_path / "README.md").read_text("utf-8") == "# A card\n"


def test_progress_ends_with_all_bytes(tmp_path: Path) -> None:
    """Bytes read, bytes in all."""
    seen: list[tuple[int, int]] = []
    write_checkpoint(
        tiny_checkpoint(), tmp_path, torch.bfloat16, "", lambda *both: seen.append(both)
    )
    parameters = sum(tensor.read(FP32).numel() for tensor in tiny_checkpoint().tensors.values())
    assert seen[-1] == (2 * parameters, 2 * parameters)
