"""GGUF files in parts, written by the library as ``gguf-split`` does it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_models import write_gguf

from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import CorruptModelError, UnsupportedModelError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """A model in several files."""
    write_gguf(tmp_path / "tiny.gguf", tensors_a_part=6)
    found = sorted(tmp_path.iterdir())
    assert found[0].name == f"tiny-00001-of-{len(found):05}.gguf"
    assert len(found) > 2
    return found


def test_any_part_opens_all(parts: list[Path], tmp_path: Path) -> None:
    """The same model as in one file; the folder does, too."""
    whole = tmp_path / "whole" / "tiny.gguf"
    whole.parent.mkdir()
    write_gguf(whole)
    expected = open_checkpoint(str(whole))
    for path in (*parts, whole.parent):
        opened = open_checkpoint(str(path))
        assert opened.architecture == expected.architecture
        assert opened.tokenizer == expected.tokenizer
        assert opened.tensors.keys() == expected.tensors.keys()
        for name, tensor in opened.tensors.items():
            want = expected.tensors[name].read(torch.float32)
            assert torch.equal(tensor.read(torch.float32), want)
    assert open_checkpoint(str(parts[1])).files == tuple(parts)


def test_a_folder_of_parts_is_one_model(parts: list[Path]) -> None:
    """Until there is another one."""
    folder = parts[0].parent
    assert open_checkpoint(str(folder)).files == tuple(parts)
    write_gguf(folder / "other.gguf")
    with pytest.raises(UnsupportedModelError, match="several GGUF files"):
        open_checkpoint(str(folder))


def test_a_missing_part_is_named(parts: list[Path]) -> None:
    """Whichever part is opened."""
    parts[1].unlink()
    with pytest.raises(CorruptModelError, match=f"{parts[1].name} is missing"):
        open_checkpoint(str(parts[0]))


def test_parts_in_other_places_are_corrupt(parts: list[Path]) -> None:
    """A part twice, or one of another model."""
    shutil.copy(parts[2], parts[1])
    with pytest.raises(CorruptModelError, match=r"00001-of-.*split.tensors.count is"):
        open_checkpoint(str(parts[0]))


def test_a_part_under_another_name_is_refused(parts: list[Path], tmp_path: Path) -> None:
    """The others cannot be found by it."""
    alone = tmp_path / "alone.gguf"
    parts[0].rename(alone)
    with pytest.raises(UnsupportedModelError, match=r"split.count is"):
        open_checkpoint(str(alone))
