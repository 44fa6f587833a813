"""``midfill models export``: from a name or path to a file that opens again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tiny_adapters import adapter_tensors, write_adapter
from tiny_models import TINY_ARCHITECTURE, write_gguf
from tiny_registry import publish, ship

from midfill.cli import main
from midfill.weights import registry, shipped, store
from midfill.weights.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that the registry does not know."""
    write_gguf(tmp_path / "base.gguf")
    return tmp_path / "base.gguf"


def export(*arguments: object) -> int:
    """What ``midfill models export ARGUMENTS`` returns."""
    return main(["models", "export", *map(str, arguments)])


def test_a_gguf_file_is_written_and_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The path alone in a pipe; bf16 where nothing else is said."""
    out = tmp_path / "out.gguf"
    assert export(model, "--to", "gguf", "--out", out) == 0
    assert capsys.readouterr() == (f"{out}\n", "")
    tensor = open_checkpoint(str(out)).tensors["model.layers.0.mlp.up_proj.weight"]
    assert tensor.blocks() is None


def test_a_folder_is_written_in_the_dtype_asked_for(model: Path, tmp_path: Path) -> None:
    """For transformers."""
    out = tmp_path / "out"
    assert export(model, "--to", "safetensors", "--dtype", "f32", "--out", out) == 0
    assert '"torch_dtype": "float32"' in (out / "config.json").read_text("utf-8")
    assert open_checkpoint(str(out)).architecture.hidden_size == 32


def test_an_adapter_is_merged_and_its_card_kept(model: Path, tmp_path: Path) -> None:
    """Without its front matter, which is about the adapter alone."""
    folder = write_adapter(tmp_path / "mine", adapter_tensors(TINY_ARCHITECTURE))
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n\n## Data\n", "utf-8")
    out = tmp_path / "out"
    assert export(model, "--adapter", folder, "--to", "safetensors", "--out", out) == 0
    card = (out / "README.md").read_text("utf-8")
    assert "# base+mine" in card
    assert card.endswith("\n\n## Data\n")
    assert "peft" not in card


def test_a_model_of_the_registry_has_its_licence_and_its_adapters_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to name the adapter."""
    published = publish(tmp_path / "published")
    entry = ship(tmp_path / "adapters", published.entry)
    monkeypatch.setattr(shipped, "ADAPTERS", tmp_path / "adapters")
    monkeypatch.setattr(registry, "entries", lambda: (entry, published.entry))
    (shipped.folder(entry) / "README.md").write_text("## Scores\n", "utf-8")
    store.path(published.entry).parent.mkdir(parents=True)
    store.path(published.entry).write_bytes(published.content)
    out = tmp_path / "out"
    assert export("tiny-adapted", "--to", "safetensors", "--out", out) == 0
    card = (out / "README.md").read_text("utf-8")
    assert "license: apache-2.0" in card
    assert card.endswith("## Scores\n")
    assert export("tiny", "--to", "safetensors", "--out", out, "--force") == 0
    assert "## Scores" not in (out / "README.md").read_text("utf-8")


def test_what_is_there_is_bad_input_before_any_model_opens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and the way out."""
    out = tmp_path / "out.gguf"
    out.write_bytes(b"mine")
    assert export("no-such-model", "--to", "gguf", "--out", out) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"


def test_a_folder_that_is_not_there_is_bad_input(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not made up."""
    assert export(model, "--to", "gguf", "--out", tmp_path / "no" / "out.gguf") == 2
    assert "No such file or directory" in capsys.readouterr().err
