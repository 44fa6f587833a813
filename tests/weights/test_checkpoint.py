"""A model opens by its name, its file or its folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny_adapters import adapter_tensors, write_adapter
from tiny_models import TINY_ARCHITECTURE, write_gguf, write_llama_folder
from tiny_registry import publish, ship

from midfill.weights import registry, shipped, store
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import (
    ModelNotAvailableError,
    ModelNotFoundError,
    ModelNotPulledError,
    UnsupportedModelError,
)
from midfill.weights.formats.adapter import MergedMatrix


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> registry.Entry:
    """The only entry of the registry, pulled."""
    published = publish(tmp_path / "published")
    monkeypatch.setattr(registry, "entries", lambda: (published.entry,))
    store.path(published.entry).parent.mkdir(parents=True)
    store.path(published.entry).write_bytes(published.content)
    return published.entry


def test_a_name_opens_the_stores_file_with_the_registrys_dialect(entry: registry.Entry) -> None:
    """The file itself does not know its dialect."""
    checkpoint = open_checkpoint("tiny")
    assert (checkpoint.name, checkpoint.dialect) == ("tiny", "left-to-right")
    assert checkpoint.path == store.path(entry)


def test_a_folder_in_the_workspace_does_not_take_the_place_of_a_name(
    entry: registry.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's repository must not choose the weights."""
    (tmp_path / "workspace" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "workspace")
    assert open_checkpoint("tiny").path == store.path(entry)


def test_a_name_that_was_not_pulled_says_so(entry: registry.Entry) -> None:
    """The error of the store comes through."""
    store.path(entry).unlink()
    with pytest.raises(ModelNotPulledError, match="midfill models pull tiny"):
        open_checkpoint("tiny")


def test_a_file_opens_under_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the name but the ending, dots included."""
    write_gguf(tmp_path / "mine.Q8_0.gguf")
    monkeypatch.chdir(tmp_path)
    checkpoint = open_checkpoint("mine.Q8_0.gguf")
    assert (checkpoint.name, checkpoint.dialect) == ("mine.Q8_0", None)
    assert checkpoint.path == tmp_path / "mine.Q8_0.gguf"


def test_a_folder_opens_under_its_own_name(tmp_path: Path) -> None:
    """Dots in a folder's name are no ending."""
    write_llama_folder(tmp_path / "tiny-llama-1.0")
    (tmp_path / "tiny-llama-1.0" / "tokenizer.model").write_bytes(b"")
    assert open_checkpoint(f"{tmp_path}/tiny-llama-1.0/").name == "tiny-llama-1.0"


def test_a_name_may_mean_a_base_with_a_shipped_adapter_over_it(
    entry: registry.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the registry's name and dialect, and the file is the base's."""
    adapted = ship(tmp_path / "adapters", entry)
    monkeypatch.setattr(shipped, "ADAPTERS", tmp_path / "adapters")
    monkeypatch.setattr(registry, "entries", lambda: (adapted, entry))
    checkpoint = open_checkpoint("tiny-adapted")
    assert (checkpoint.name, checkpoint.dialect) == ("tiny-adapted", "midfill")
    assert checkpoint.path == store.path(entry)
    name = "model.layers.0.mlp.up_proj.weight"
    assert isinstance(checkpoint.tensors[name], MergedMatrix)
    assert not isinstance(open_checkpoint("tiny").tensors[name], MergedMatrix)


def test_an_adapter_is_laid_over_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a path like the model's."""
    write_gguf(tmp_path / "base.gguf")
    write_adapter(tmp_path / "mine", adapter_tensors(TINY_ARCHITECTURE))
    monkeypatch.chdir(tmp_path)
    assert open_checkpoint("base.gguf", "mine").name == "base+mine"


@pytest.mark.parametrize("adapter", ["", "nowhere", "base.gguf"])
def test_an_adapter_that_is_no_folder_is_not_found(tmp_path: Path, adapter: str) -> None:
    """The message says what one has in it."""
    write_gguf(tmp_path / "base.gguf")
    path = str(tmp_path / adapter) if adapter else ""
    with pytest.raises(ModelNotFoundError, match=r"is no folder; name one with an adapter_config"):
        open_checkpoint(str(tmp_path / "base.gguf"), path)


@pytest.mark.parametrize("model", ["", "nowhere", "no/where.gguf"])
def test_what_is_neither_name_nor_path_is_met_with_the_names(model: str) -> None:
    """So that a typing mistake is seen at once."""
    with pytest.raises(
        ModelNotFoundError, match=r"neither a known model \(smollm2-135m, midfill-135m\) nor"
    ):
        open_checkpoint(model)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    """The message names the formats that would do."""
    (tmp_path / "model.onnx").write_bytes(b"")
    with pytest.raises(UnsupportedModelError, match=r"model.onnx is neither a GGUF file nor"):
        open_checkpoint(str(tmp_path / "model.onnx"))


def test_a_file_that_cannot_be_read_is_not_available(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the operating system says is in the message."""

    def refuse(*_: object) -> str:
        raise PermissionError("no permission")

    (tmp_path / "config.json").write_text("{}", "utf-8")
    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ModelNotAvailableError, match=r"cannot be read.*no permission"):
        open_checkpoint(str(tmp_path))


def test_opening_a_model_imports_no_torch(tmp_path: Path) -> None:
    """The language server opens models before it imports torch."""
    write_gguf(tmp_path / "tiny.gguf")
    write_llama_folder(tmp_path / "tiny")
    (tmp_path / "tiny" / "tokenizer.model").write_bytes(b"")
    adapter = write_adapter(tmp_path / "adapter", adapter_tensors(TINY_ARCHITECTURE))
    script = (
        "import sys; from midfill.weights.checkpoint import open_checkpoint\n"
        "gguf, folder, adapter = sys.argv[1:]\n"
        "open_checkpoint(gguf, adapter), open_checkpoint(folder)\n"
        "assert 'torch' not in sys.modules"
    )
    paths = [tmp_path / "tiny.gguf", tmp_path / "tiny", adapter]
    subprocess.run([sys.executable, "-P", "-c", script, *paths], check=True)
