"""Files of packed weights: those used last stay, within a number and a size."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import platformdirs
import pytest

from midfill.engine.kernels import packed_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with five files of 100 bytes, from the one used last to the oldest."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))
    folder = tmp_path / "packed"
    folder.mkdir()
    for age, name in enumerate("abcde"):
        (folder / f"{name}.safetensors").write_bytes(bytes(100))
        seal = folder / f"{name}.json"
        seal.touch()
        os.utime(seal, (1000 - age, 1000 - age))
    return folder


def names() -> str:
    """Those that are there, the one used last in front."""
    return "".join(file.stem for file in packed_files.packed_files())


@pytest.mark.parametrize(("most_bytes", "left"), [(1000, "abc"), (250, "ab"), (99, "")])
def test_the_oldest_go_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, most_bytes: int, left: str
) -> None:
    """With their seals."""
    monkeypatch.setattr(packed_files, "MOST_BYTES", most_bytes)
    packed_files.remove_oldest()
    assert names() == left
    assert len(list(folder.iterdir())) == 2 * len(left)


def test_all_of_them_can_go(folder: Path) -> None:
    """And what was left unfinished, however new; an empty folder, or none, is no error."""
    (folder / "unfinished").mkdir()
    packed_files.remove_all()
    assert list(folder.iterdir()) == []
    folder.rmdir()
    packed_files.remove_all()
    assert names() == ""
