"""Safetensors files and their index: all there, nothing else, nothing executable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.safetensors import HARMLESS, INDEX, SINGLE, open_tensors

if TYPE_CHECKING:
    from pathlib import Path

BUFFER = "model.layers.0.self_attn.rotary_emb.inv_freq"


def write_shards(folder: Path, weight_map: dict[str, str]) -> None:
    """Two shards with the tensors a, b and c, and an index that says what it is told to."""
    save_file({"a": torch.ones(2), BUFFER: torch.ones(4)}, folder / "one.safetensors")
    save_file({"b": torch.zeros(2, 3), "c": torch.ones(1)}, folder / "two.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


WHOLE = {"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}


def test_shards_are_one_set_of_tensors_without_harmless_buffers(tmp_path: Path) -> None:
    """Old folders have the buffers in the index too."""
    write_shards(tmp_path, WHOLE | {BUFFER: "one.safetensors"})
    tensors = open_tensors(tmp_path)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "a": (2,),
        "b": (2, 3),
        "c": (1,),
    }


def test_a_single_file_goes_before_an_index(tmp_path: Path) -> None:
    """As in transformers."""
    write_shards(tmp_path, WHOLE)
    save_file({"d": torch.ones(1)}, tmp_path / SINGLE)
    assert list(open_tensors(tmp_path)) == ["d"]


def test_what_is_read_is_a_copy(tmp_path: Path) -> None:
    """The file must not change."""
    save_file({"d": torch.ones(3)}, tmp_path / SINGLE)
    tensor = open_tensors(tmp_path)["d"]
    tensor.read(torch.float32).zero_()
    assert torch.equal(tensor.read(torch.float32), torch.ones(3))


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (WHOLE | {"a": "two.safetensors"}, "has a in two.safetensors; it is in None"),
        (WHOLE | {"d": "one.safetensors"}, "has d in one.safetensors; it is in None"),
        ({"a": "one.safetensors", "b": "two.safetensors"}, "has c in None; it is in two"),
        (WHOLE | {"a": "gone.safetensors"}, "gone.safetensors is not a whole safetensors file"),
        (WHOLE | {"a": "../one.safetensors"}, r"names '../one.safetensors', which is not a plain"),
    ],
)
def test_an_index_that_does_not_fit_the_files_is_corrupt(
    tmp_path: Path, weight_map: dict[str, str], message: str
) -> None:
    """Either could be the wrong one; and no index leads out of the folder."""
    write_shards(tmp_path, weight_map)
    with pytest.raises(CorruptModelError, match=message):
        open_tensors(tmp_path)


def test_a_broken_file_is_corrupt(tmp_path: Path) -> None:
    """A download page instead of the file, for example."""
    (tmp_path / SINGLE).write_bytes(b"not tensors")
    with pytest.raises(CorruptModelError, match="is not a whole safetensors file"):
        open_tensors(tmp_path)


def test_a_dtype_that_is_not_implemented_is_refused(tmp_path: Path) -> None:
    """The name of the tensor is in the message."""
    save_file({"d": torch.ones(3, dtype=torch.int8)}, tmp_path / SINGLE)
    with pytest.raises(UnsupportedModelError, match=r"d is I8; midfill implements BF16, F16, F32"):
        open_tensors(tmp_path)


def test_a_folder_without_weights_is_corrupt(tmp_path: Path) -> None:
    """A config alone is no model."""
    with pytest.raises(CorruptModelError, match=r"has neither model.safetensors nor"):
        open_tensors(tmp_path)


def test_only_the_rotary_buffer_is_harmless() -> None:
    """No pattern so wide that it hides a weight."""
    assert HARMLESS.fullmatch("model.layers.31.self_attn.rotary_emb.inv_freq")
    assert not HARMLESS.fullmatch("model.layers.31.self_attn.q_proj.weight")
