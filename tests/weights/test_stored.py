"""Arrays in files: read, not mapped, so that a file that changes is an error and no end."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_models import write_gguf

from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import CorruptModelError
from midfill.weights.formats.safetensors import open_file
from midfill.weights.stored import StoredArray, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.weights.architecture import TensorSource


def cut(file: Path) -> None:
    """What a copy over it does first."""
    os.truncate(file, 64)


def rewrite(file: Path) -> None:
    """Other bytes, as many."""
    status = file.stat()
    file.write_bytes(bytes(status.st_size))
    os.utime(file, ns=(1, 1))


def replace(file: Path) -> None:
    """Another file, as long, in its place."""
    status, other = file.stat(), file.with_name("other")
    other.write_bytes(bytes(status.st_size))
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(file)


def open_gguf(folder: Path) -> tuple[Path, TensorSource]:
    """A file and one of its tensors."""
    write_gguf(folder / "a.gguf", types=("Q8_0",))
    tensors = open_checkpoint(str(folder / "a.gguf")).tensors
    return folder / "a.gguf", tensors["model.layers.0.mlp.up_proj.weight"]


def open_safetensors(folder: Path) -> tuple[Path, TensorSource]:
    """A file and its tensor."""
    save_file({"x": torch.ones(4096)}, folder / "a.safetensors")
    return folder / "a.safetensors", open_file(folder / "a.safetensors")["x"]


@pytest.mark.parametrize("change", [cut, rewrite, replace])
@pytest.mark.parametrize("open_one", [open_gguf, open_safetensors])
def test_a_file_that_changed_since_it_was_opened_is_an_error(
    tmp_path: Path,
    open_one: Callable[[Path], tuple[Path, TensorSource]],
    change: Callable[[Path], None],
) -> None:
    """Looking at a mapping would end the process, or give another model's weights."""
    file, tensor = open_one(tmp_path)
    change(file)
    with pytest.raises(CorruptModelError, match=r"changed while it was read; open the model again"):
        tensor.read(torch.float32)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("open_one", [open_gguf, open_safetensors])
def test_nothing_stays_mapped(
    tmp_path: Path, open_one: Callable[[Path], tuple[Path, TensorSource]]
) -> None:
    """Neither behind the opening nor behind a read."""
    file, tensor = open_one(tmp_path)
    values = tensor.read(torch.float32)
    assert str(file) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert values.isfinite().all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint16", "uint8"])
def test_an_array_is_read_from_its_place(tmp_path: Path, dtype: str) -> None:
    """With its shape; each time anew."""
    values = np.arange(12, dtype=dtype).reshape(3, 4)
    file = tmp_path / "file"
    file.write_bytes(b"before" + values.tobytes() + b"behind")
    stored = StoredArray(file, state_of(file.stat()), 6, (3, 4), dtype)
    assert np.array_equal(stored.read(), values)
    assert stored.read() is not stored.read()
    assert stored.nbytes == values.nbytes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_each_plain_dtype_is_read_bit_for_bit(tmp_path: Path, dtype: torch.dtype) -> None:
    """NumPy has no bf16."""
    values = torch.linspace(-3, 3, 100).to(dtype)
    save_file({"a": values[:50].clone(), "b": values}, tmp_path / "a.safetensors")
    assert torch.equal(open_file(tmp_path / "a.safetensors")["b"].read(dtype), values)


def test_an_empty_array_is_read(tmp_path: Path) -> None:
    """Nothing of the file is."""
    save_file({"x": torch.ones(0, 3)}, tmp_path / "a.safetensors")
    assert open_file(tmp_path / "a.safetensors")["x"].read(torch.float32).shape == (0, 3)
