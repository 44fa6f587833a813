"""Adapters that come with midfill are what the registry says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tiny_registry import publish, ship

from midfill.weights import shipped
from midfill.weights.errors import CorruptModelError

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.registry import AdaptedEntry


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AdaptedEntry:
    """An adapter in a folder for the test."""
    monkeypatch.setattr(shipped, "ADAPTERS", tmp_path)
    return ship(tmp_path, publish(tmp_path / "published").entry)


def test_an_adapter_stands_under_its_name(entry: AdaptedEntry, tmp_path: Path) -> None:
    """Beside the code, not in the store."""
    assert shipped.require(entry) == shipped.verify(entry) == tmp_path / "tiny-adapted"


def test_a_missing_file_says_how_to_get_it(entry: AdaptedEntry) -> None:
    """No pull brings it back."""
    (shipped.folder(entry) / "adapter_model.safetensors").unlink()
    with pytest.raises(CorruptModelError, match=r"safetensors is missing.*install midfill again"):
        shipped.require(entry)


def test_a_cut_file_is_found_at_once(entry: AdaptedEntry) -> None:
    """By its size."""
    file = shipped.folder(entry) / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptModelError, match="bytes were shipped"):
        shipped.require(entry)


def test_a_changed_file_is_found_by_reading_it(entry: AdaptedEntry) -> None:
    """The size is right."""
    file = shipped.folder(entry) / "adapter_model.safetensors"
    file.write_bytes(b"\0" * entry.size_bytes)
    shipped.require(entry)
    with pytest.raises(CorruptModelError, match=f"not {entry.sha256}"):
        shipped.verify(entry)
