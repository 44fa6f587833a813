"""Tuning: a repository is learnt, its held-out files are not, and a gain is measured or denied."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tiny_corpus import tiny_base_vocabulary, tiny_documents, write_tiny_base

from midfill.cli import main
from midfill.cli.tune import source_files
from midfill.engine import EngineConfig
from midfill.engine.runtime import open_runtime
from midfill.recipes.training.config import ShardConfig, Stage, TrainConfig
from midfill.recipes.training.examples import Document
from midfill.recipes.training.run import train
from midfill.recipes.training.shards import pack
from midfill.recipes.training.tune import TuneConfig, Tuner, hold_out
from midfill.weights.errors import InvalidRequestError, UnsupportedModelError

if TYPE_CHECKING:
    from pathlib import Path

QUICK = TuneConfig(
    minutes=60.0,
    most_steps=12,
    learning_rate=3e-3,
    step_tokens=300,
    validate_steps=4,
    patience=2,
    holes=3,
    held_out_rows=6,
    rows=40,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base model, and an adapter for it in ``model``."""
    folder = tmp_path_factory.mktemp("base")
    write_tiny_base(folder / "base.gguf")
    pack(tiny_documents(), tiny_base_vocabulary(), ShardConfig(600), folder / "rows")
    stage = Stage("one", "rows", 600, 1e-3, 1e-3)
    config = TrainConfig("tiny", str(folder / "base.gguf"), (stage,), rank=4, step_tokens=300)
    train(config, folder, folder)
    return folder


def repository() -> list[Document]:
    """Files that say the same things in other words."""
    text = tiny_documents()[0].text + tiny_documents()[1].text
    names = ("oval", "kite", "cube", "cone", "ring", "star")
    return [
        Document("shapes", f"{name}.py", text.replace("circle", name).replace("square", f"{name}s"))
        for name in names
    ]


def tuner(base: Path, **settings: object) -> Tuner:
    """A tuner of the repository that goes on with the tiny adapter."""
    config = replace(QUICK, **settings)
    return Tuner(hold_out(repository()), str(base / "base.gguf"), base / "model", config)


def test_a_repository_is_learnt_and_the_gain_measured(base: Path, tmp_path: Path) -> None:
    """The adapter that comes out works where the first one did."""
    told: list[str] = []

    tuned = tuner(base).run(tmp_path / "out", lambda doing, _share: told.append(doing))

    assert tuned.is_better
    assert tuned.after.perplexity < tuned.before.perplexity
    assert tuned.ended == "steps"
    assert tuned.before.holes == tuned.after.holes == 3
    assert told[0] == "measuring before"
    adapted = EngineConfig(str(base / "base.gguf"), adapter=str(tmp_path / "out"), dtype="fp32")
    runtime = open_runtime(adapted)
    assert runtime.info.dialect == "midfill"
    runtime.close()


def test_no_gain_is_said_and_leaves_nothing(base: Path, tmp_path: Path) -> None:
    """Nothing is learnt at a rate of 0, and that ends the run."""
    tuned = tuner(base, learning_rate=0.0).run(tmp_path / "out", lambda _doing, _share: None)

    assert not tuned.is_better
    assert (tuned.ended, tuned.steps) == ("held-out loss", 0)
    assert not (tmp_path / "out").exists()


def test_time_ends_a_run(base: Path, tmp_path: Path) -> None:
    """However well it goes."""
    tuned = tuner(base, minutes=1e-6).run(tmp_path / "out", lambda _doing, _share: None)

    assert (tuned.ended, tuned.steps) == ("time", 0)


def test_some_files_are_held_out_and_some_are_not() -> None:
    """Always the same ones."""
    for count in range(2, 40):
        documents = [Document("r", f"{n}.py", "x = 1\n" * 400) for n in range(count)]
        held = [document.path for document in hold_out(documents) if document.held_out]
        assert 0 < len(held) < count
        again = hold_out(documents[::-1])
        assert sorted(d.path for d in again if d.held_out) == sorted(held)


def test_too_little_is_refused() -> None:
    """With what would be enough."""
    with pytest.raises(InvalidRequestError, match="two files and 2000 characters"):
        hold_out([Document("r", "a.py", "x" * 5000)])


def test_a_model_without_an_adapter_is_refused() -> None:
    """Naming one that has one."""
    with pytest.raises(UnsupportedModelError, match="--adapter"):
        Tuner(hold_out(repository()), "smollm2-135m", None, QUICK)


def test_sources_are_those_that_completion_may_see(tmp_path: Path) -> None:
    """No secrets, nothing ignored, nothing installed, no data; by path."""
    for name in ("b.py", "a/c.go", ".env", "notes.txt", "ignored.py", "node_modules/x.js"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x = 1\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    (tmp_path / "empty.py").write_text("\n")

    assert [document.path for document in source_files(tmp_path)] == ["b.py", "a/c.go"]


def test_the_command_writes_the_adapter_and_tells_what_it_is_worth(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As JSON here; beside a .gitignore, where the folder was not named."""
    for document in repository():
        (tmp_path / document.path).write_text(document.text)
    monkeypatch.setattr("midfill.recipes.training.tune.TuneConfig", lambda: QUICK)

    adapter = ("--model", str(base / "base.gguf"), "--adapter", str(base / "model"))
    code = main(["tune", str(tmp_path), "--json", "--minutes", "60", *adapter])

    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert told["after"]["loss"] < told["before"]["loss"]
    assert told["adapter"] == str(tmp_path / ".midfill/adapter")
    assert (tmp_path / ".midfill/adapter/adapter_config.json").is_file()
    assert (tmp_path / ".midfill/.gitignore").read_text() == "*\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--minutes", "0", "."], "more than 0"), (["nowhere"], "is no folder")],
)
def test_a_useless_option_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is loaded."""
    assert main(["tune", *arguments]) == 2
    assert message in capsys.readouterr().err
