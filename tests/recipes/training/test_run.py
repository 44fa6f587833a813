"""A training run: it learns, resumes where it stopped, and several processes do as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from repository import ROOT
from safetensors.torch import load_file
from tiny_corpus import tiny_base_vocabulary, tiny_documents, write_tiny_base

from midfill.engine.api import EngineConfig
from midfill.engine.runtime import open_runtime
from midfill.recipes.training.config import ShardConfig, Stage, TrainConfig, read_config
from midfill.recipes.training.run import main, plot, train
from midfill.recipes.training.shards import RowSource, pack
from midfill.recipes.training.steps import Stepper
from midfill.weights.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from midfill.weights.formats.safetensors import open_file

STAGE = Stage("one", "rows", 2400, 5e-3, 1e-3, warmup_tokens=600)
RECIPES = ROOT / "recipes/training"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base model and shards for it."""
    folder = tmp_path_factory.mktemp("data")
    write_tiny_base(folder / "base.gguf")
    pack(tiny_documents(), tiny_base_vocabulary(), ShardConfig(2500), folder / "rows")
    held = ShardConfig(600, held_out=True)
    pack(tiny_documents(), tiny_base_vocabulary(), held, folder / "held")
    return folder


def config(data: Path, **settings: object) -> TrainConfig:
    """A run of some eight steps."""
    defaults = TrainConfig(
        "tiny",
        str(data / "base.gguf"),
        (STAGE,),
        rank=4,
        alpha=8.0,
        dtype="fp32",
        step_tokens=400,
        validation="held",
        validate_steps=4,
        checkpoint_steps=6,
    )
    return replace(defaults, **settings)


def log_of(out: Path) -> list[dict[str, object]]:
    """What a run noted, without times."""
    lines = (out / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def adapter_of(out: Path) -> dict[str, torch.Tensor]:
    """What a run wrote."""
    return load_file(out / "model" / "adapter_model.safetensors")


def test_a_run_lowers_the_loss(data: Path, tmp_path: Path) -> None:
    """All weights are trained: a random model has nothing that a small update could build on."""
    train(config(data, rank=0, stages=(replace(STAGE, tokens=6000),)), data, tmp_path)

    losses = [entry["middle_loss"] for entry in log_of(tmp_path)]
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.04
    assert (tmp_path / "loss.svg").read_text().startswith("<?xml")


def test_what_a_run_leaves_lies_over_the_base_as_any_adapter_does(
    data: Path, tmp_path: Path
) -> None:
    """And infills in the dialect that it was trained in."""
    train(config(data), data, tmp_path)

    adapted = EngineConfig(str(data / "base.gguf"), adapter=str(tmp_path / "model"), dtype="fp32")
    runtime = open_runtime(adapted)
    assert runtime.info.dialect == "midfill"
    runtime.close()


def test_a_resumed_run_ends_where_an_unbroken_one_does(data: Path, tmp_path: Path) -> None:
    """Stopped in the middle of a stage, some steps behind the last checkpoint."""
    whole = config(data, stages=(STAGE, replace(STAGE, name="two", tokens=900)))
    train(whole, data, tmp_path / "whole")
    first_step = replace(whole, stages=(replace(STAGE, tokens=1),))  # in the warm-up: the same rate

    train(first_step, data, tmp_path / "parts")
    with (tmp_path / "parts/log.jsonl").open("a") as log:
        log.write('{"tokens": 1}\n')  # of a step behind the last checkpoint
    train(whole, data, tmp_path / "parts")

    ours, theirs = log_of(tmp_path / "parts"), log_of(tmp_path / "whole")
    assert [e["tokens"] for e in ours] == [e["tokens"] for e in theirs]
    resumed = adapter_of(tmp_path / "parts")
    assert all(torch.equal(resumed[n], t) for n, t in adapter_of(tmp_path / "whole").items())


def test_what_is_there_at_a_checkpoint_is_written(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed leaves a model behind."""
    step = Stepper.step

    def die_at_eight(stepper: Stepper, stage: Stage, rows: RowSource) -> None:
        step(stepper, stage, rows)
        if stepper._training.position.step == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(Stepper, "step", die_at_eight)
    with pytest.raises(KeyboardInterrupt):
        train(config(data, stages=(replace(STAGE, tokens=9999),)), data, tmp_path)

    monkeypatch.undo()
    left = adapter_of(tmp_path)
    train(config(data), data, tmp_path, only_write=True)
    assert left.keys() == adapter_of(tmp_path).keys()
    assert all(torch.equal(left[name], t) for name, t in adapter_of(tmp_path).items())


def test_a_run_goes_on_from_an_adapter(data: Path, tmp_path: Path) -> None:
    """What it starts from is what was written, so that a rate of 0 writes the same again."""
    train(config(data), data, tmp_path / "first")
    start = str(tmp_path / "first/model")
    still = (replace(STAGE, tokens=1, learning_rate=0.0, last_learning_rate=0.0),)

    train(config(data, start=start, stages=still), data, tmp_path / "second")

    second = adapter_of(tmp_path / "second")
    assert all(torch.equal(second[n], t) for n, t in adapter_of(tmp_path / "first").items())


def test_a_run_does_not_go_on_from_anything_else(data: Path, tmp_path: Path) -> None:
    """Neither from nothing nor from an adapter of another rank."""
    with pytest.raises(ModelNotFoundError, match="midfill-135m"):
        train(config(data, start=str(tmp_path / "none")), data, tmp_path / "out")
    train(config(data, stages=(replace(STAGE, tokens=1),)), data, tmp_path / "first")
    other = config(data, start=str(tmp_path / "first/model"), rank=2)

    with pytest.raises(UnsupportedModelError, match="of the same rank"):
        train(other, data, tmp_path / "out")


def test_a_run_learns_from_long_rows(data: Path, tmp_path: Path) -> None:
    """Longer than a block of the attention, with layers computed again in the backward pass."""
    areas = [document for document in tiny_documents() if document.repo == "areas"] * 9
    shape = ShardConfig(5000, row_tokens=(1000,), longest=300, example_share=0.2)
    pack(areas, tiny_base_vocabulary(), shape, tmp_path / "long")
    settings = config(
        data,
        stages=(Stage("long", "long", 20_000, 5e-3, 1e-3),),
        rank=0,
        step_tokens=1000,
        around_weight=1.0,
        text_weight=1.0,
        recompute=True,
        validation="",
    )

    train(settings, tmp_path, tmp_path / "out")

    losses = [entry["text_loss"] for entry in log_of(tmp_path / "out")]
    assert np.mean(losses[-2:]) < np.mean(losses[:2]) - 0.04


def test_all_weights_can_be_trained_and_written_whole(data: Path, tmp_path: Path) -> None:
    """Rank 0 is no LoRA; the folder is a model of its own."""
    train(config(data, rank=0), data, tmp_path)

    names = set(open_file(tmp_path / "model" / "model.safetensors"))
    assert {"model.embed_tokens.weight", "model.layers.1.mlp.up_proj.weight"} <= names


@pytest.mark.parametrize("sharded", [False, True])
def test_two_processes_do_the_steps_of_one(data: Path, tmp_path: Path, sharded: bool) -> None:
    """Gradients are summed, or sharded by FSDP2, over gloo."""
    one = config(data)
    train(one, data, tmp_path / "one")
    settings = asdict(replace(one, sharded=sharded))
    _write_toml(tmp_path / "two.toml", settings)

    arguments = ["--data", str(data), "--out", str(tmp_path / "two")]
    subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            "2",
            "-m",
            "midfill.recipes.training.run",
            str(tmp_path / "two.toml"),
            *arguments,
        ],
        check=True,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )

    ours, theirs = log_of(tmp_path / "two"), log_of(tmp_path / "one")
    assert len(ours) == len(theirs) > 3
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["middle_loss"] == pytest.approx(other["middle_loss"], abs=2e-3)
        assert mine["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=2e-2)


def test_writing_needs_a_checkpoint(data: Path, tmp_path: Path) -> None:
    """And trains nothing."""
    with pytest.raises(InvalidRequestError, match="train first"):
        train(config(data), data, tmp_path, only_write=True)
    train(config(data), data, tmp_path)
    before = (tmp_path / "log.jsonl").read_text()
    (tmp_path / "model" / "adapter_model.safetensors").unlink()

    train(config(data), data, tmp_path, only_write=True)

    assert adapter_of(tmp_path)
    assert (tmp_path / "log.jsonl").read_text() == before


def test_a_stage_ends_with_its_time(data: Path, tmp_path: Path) -> None:
    """After the step in which it was over; the next stage has its own."""
    stages = replace(STAGE, minutes=1e-9), replace(STAGE, name="two", tokens=1)
    train(config(data, stages=stages), data, tmp_path)

    assert [entry["stage"] for entry in log_of(tmp_path)] == ["one", "two"]


def test_the_losses_of_the_log_are_means_whatever_the_weights_are(
    data: Path, tmp_path: Path
) -> None:
    """A first step has learnt nothing, so that only the weights differ."""
    first = []
    for name, settings, end in (("a", {}, 1.0), ("b", {"text_weight": 1.0}, 5.0)):
        stages = (replace(STAGE, tokens=1, step_tokens=2000, end_weight=end),)
        train(config(data, stages=stages, **settings), data, tmp_path / name)
        first.append(log_of(tmp_path / name)[0])

    assert first[0]["text_loss"] == pytest.approx(first[1]["text_loss"])
    assert first[0]["middle_loss"] == pytest.approx(first[1]["middle_loss"])
    assert first[0]["text_loss"] != 0.0
    assert first[0]["gradient_norm"] != first[1]["gradient_norm"]


@pytest.mark.parametrize(
    ("file", "name", "stages"),
    [
        ("midfill_135m", "midfill-135m", ["short", "wide", "decay"]),
        ("midfill_135m_long", "midfill-135m", ["long"]),
        ("midfill_135m_more", "midfill-135m", ["more"]),
        ("midfill_135m_gpu", "midfill-135m", ["rows", "long"]),
        ("midfill_135m_gpu_more", "midfill-135m", ["more"]),
    ],
)
def test_our_recipes_can_be_read(file: str, name: str, stages: list[str]) -> None:
    """Their stages follow each other, and say what is packed for them."""
    recipe = read_config(RECIPES / f"{file}.toml")

    assert recipe.name == name
    assert [stage.name for stage in recipe.stages] == stages
    assert recipe.shards[recipe.validation].held_out
    assert not any(recipe.shards[stage.shards].held_out for stage in recipe.stages)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "TOML"),
        ('name = "x"\nbase = "y"', "stages"),
        ('name = "x"\nbase = "y"\nrank_ = 3\n[[stages]]\n', "TypeError|missing"),
        ('name = "x"\nbase = "y"\nranks = 3\n{stage}', "ranks is no setting of a TrainConfig"),
        ('name = "x"\nbase = "y"\ndtype = "f8"\n{stage}', "bf16 or fp32"),
        ('name = "x"\nbase = "y"\nrank = -1\n{stage}', "rank is -1"),
        ('name = "x"\nbase = "y"\n{stage}[shards.t]\ntokens = 1', r"no \[shards.s\]"),
        ('name = "x"\nbase = "y"\n{stage}[shards.s]\nrows = 1', "rows is no setting of a Shard"),
    ],
)
def test_a_bad_recipe_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    """Before anything is trained."""
    stage = '[[stages]]\nname = "a"\nshards = "s"\ntokens = 1\n'
    stage += "learning_rate = 1.0\nlast_learning_rate = 0.1\n"
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace("{stage}", stage))

    with pytest.raises(InvalidRequestError, match=message):
        read_config(path)


def test_the_command_trains_and_writes_again(data: Path, tmp_path: Path) -> None:
    """The same model from its last checkpoint; without one there is nothing to write."""
    settings = asdict(config(data, stages=(replace(STAGE, tokens=400),)))
    _write_toml(tmp_path / "tiny.toml", settings)
    words = [str(tmp_path / "tiny.toml"), "--data", str(data), "--out", str(tmp_path / "out")]

    with pytest.raises(InvalidRequestError, match="train first"):
        main([*words, "--only-write"])
    main(words)
    trained = adapter_of(tmp_path / "out")
    (tmp_path / "out/model/adapter_model.safetensors").unlink()
    main([*words, "--only-write"])

    written = adapter_of(tmp_path / "out")
    assert trained.keys() == written.keys()
    assert all(torch.equal(trained[name], written[name]) for name in trained)


def test_the_plot_shows_held_out_losses(tmp_path: Path) -> None:
    """As points, where they were measured."""
    entry = {"tokens": 10, "middle_loss": 2.0, "text_loss": 2.5}
    held = {"held_out_middle_loss": 2.1, "held_out_text_loss": 2.4}
    plot([entry, entry | {"tokens": 20} | held], tmp_path / "loss.svg")

    assert "held-out" in (tmp_path / "loss.svg").read_text()


def _write_toml(path: Path, settings: dict[str, object]) -> None:
    stages = settings.pop("stages")
    del settings["shards"]
    lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
    for stage in stages:  # type: ignore[attr-defined]
        lines += ["[[stages]]", *(f"{key} = {json.dumps(value)}" for key, value in stage.items())]
    names = {settings["validation"], *(stage["shards"] for stage in stages)}  # type: ignore[attr-defined]
    lines += [f"[shards.{name}]\ntokens = 1" for name in names]
    path.write_text("\n".join(lines))
