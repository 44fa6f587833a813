"""Weights that ``torch.save`` wrote: read without torch, and without running anything of theirs."""

from __future__ import annotations

import json
import os
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midfill.weights.errors import CorruptModelError, MidfillError, UnsupportedModelError
from midfill.weights.formats.pickled import read_places
from midfill.weights.formats.safetensors import PICKLED, PICKLED_INDEX, open_tensors

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_come_back_exactly(tmp_path: Path, dtype: torch.dtype) -> None:
    """Views and shared storages too, in any shape."""
    whole = torch.randn(6, 4).to(dtype)
    saved = {"a": whole, "b": whole[2:5], "c": torch.randn(3).to(dtype), "d": whole[0, 1]}
    torch.save(saved, tmp_path / PICKLED)
    opened = open_tensors(tmp_path)
    assert opened.keys() == saved.keys()
    for name, tensor in opened.items():
        assert torch.equal(tensor.read(dtype), saved[name])


def test_parameters_of_a_module_are_tensors(tmp_path: Path) -> None:
    """As ``state_dict`` gives them: an ordered dictionary with metadata of its own."""
    module = torch.nn.Linear(3, 2)
    torch.save(module.state_dict(), tmp_path / PICKLED)
    assert torch.equal(open_tensors(tmp_path)["weight"].read(torch.float32), module.weight)


def test_shards_are_joined_by_their_index(tmp_path: Path) -> None:
    """A name in the wrong shard is an error, as with safetensors."""
    names = {"a": "pytorch_model-1.bin", "b": "pytorch_model-2.bin"}
    for name, file in names.items():
        torch.save({name: torch.ones(2)}, tmp_path / file)
    (tmp_path / PICKLED_INDEX).write_text(json.dumps({"weight_map": names}), "utf-8")
    assert open_tensors(tmp_path).keys() == {"a", "b"}
    names["b"] = names["a"]
    (tmp_path / PICKLED_INDEX).write_text(json.dumps({"weight_map": names}), "utf-8")
    with pytest.raises(CorruptModelError, match=r"has b in pytorch_model-1\.bin"):
        open_tensors(tmp_path)


class Planted:
    """Its pickle calls a function."""

    def __init__(self, called: Any, *arguments: object) -> None:
        self._call = called, arguments

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.parametrize("called", [os.mkdir, eval, getattr, __import__, print])
def test_nothing_is_called(tmp_path: Path, called: Any) -> None:
    """Its name is in the message, and nothing has happened."""
    made = tmp_path / "made"
    arguments = (str(made),) if called is os.mkdir else ("os",)
    torch.save({"a": Planted(called, *arguments)}, tmp_path / PICKLED)
    with pytest.raises(UnsupportedModelError, match=rf"{called.__name__} to be called"):
        open_tensors(tmp_path)
    assert not made.exists()


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.ones(3, dtype=torch.int8), "CharStorage"),
        (torch.randn(3, 4).t(), "transposed"),
        (torch.ones(1).expand(5), "transposed"),
    ],
)
def test_what_is_not_implemented_is_refused(
    tmp_path: Path, tensor: torch.Tensor, message: str
) -> None:
    """With the tensor's name."""
    torch.save({"odd": tensor}, tmp_path / PICKLED)
    with pytest.raises(UnsupportedModelError, match=rf"odd .*{message}"):
        open_tensors(tmp_path)


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    """Their numbers do not stand in the file."""
    torch.save({"a": torch.zeros(64)}, tmp_path / "plain")
    with (
        zipfile.ZipFile(tmp_path / "plain") as plain,
        zipfile.ZipFile(tmp_path / PICKLED, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(UnsupportedModelError, match="compressed"):
        open_tensors(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not tensors", b"\x80\x02."])
def test_what_is_no_archive_is_corrupt(tmp_path: Path, content: bytes) -> None:
    """A pickle of old versions of PyTorch neither."""
    (tmp_path / PICKLED).write_bytes(content)
    with pytest.raises(CorruptModelError, match=r"no whole archive .* before its version 1.6"):
        open_tensors(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_damage_is_a_typed_error_or_harmless(
    tmp_path: Path, place: float, byte: int, *, cut: bool
) -> None:
    """Whatever byte it is in: what opens can be read."""
    torch.save({"a": torch.ones(3, 2), "b": torch.ones(4)}, tmp_path / "whole")
    data = bytearray((tmp_path / "whole").read_bytes())
    at = int(place * len(data))
    data[at] = byte
    (tmp_path / PICKLED).write_bytes(data[:at] if cut else data)
    try:
        for _, stored in read_places(tmp_path / PICKLED).values():
            assert stored.read().shape == stored.shape
    except MidfillError:
        pass
