"""Train a base model to infill: the loop, its progress bar, its log and plot, and what comes out.

One process, or several::

    python -P -m midfill.recipes.training.run CONFIG.toml --data FOLDER --out FOLDER
    python -P -m torch.distributed.run --nproc-per-node 2 -m midfill.recipes.training.run ...

A run that was stopped goes on from its last checkpoint when the same command runs again. On a
processor, run one process for each core (torchrun gives each one thread) and tell glibc to keep
freed memory: ``make train`` does both, and makes corpus and shards before.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch.distributed as dist
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from midfill.recipes.training.config import TrainConfig, read_config
from midfill.recipes.training.output import load_adapter, write_model
from midfill.recipes.training.shards import StoredRows
from midfill.recipes.training.state import Group, Training, join_group
from midfill.recipes.training.steps import Stepper
from midfill.weights import shipped
from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.recipes.training.config import Stage
    from midfill.recipes.training.shards import TokenRow

CHECKPOINT = "checkpoint.pt"
LOG = "log.jsonl"
MODEL = "model"
"""What comes out, as it is at the last checkpoint."""


class Trainer:
    """Runs the steps of a training.

    Args:
        training: Model, optimizer and position.
        data: The folder that the stages' shards are in.
        out: Where the log and checkpoints go.
        follow: Wait for shards that are still being packed.
    """

    def __init__(self, training: Training, data: Path, out: Path, *, follow: bool) -> None:
        self._training, self._data, self._out = training, data, out
        self._follow = follow
        self._config, self._group = training.config, training.group
        self._stepper = Stepper(training)
        self._validation = self._validation_rows()

    def run(self) -> None:
        """All steps that are left, with checkpoints between them."""
        self._write_log("w", *self._training.position.log)  # without steps that were lost
        for index, stage in enumerate(self._config.stages):
            position = self._training.position
            if index < position.stage:
                continue
            if index > position.stage:
                position.stage, position.row = index, 0
                position.stage_tokens, position.stage_seconds = 0, 0.0
            rows = StoredRows(self._data / stage.shards, follow=self._follow)
            with self._progress(stage) as progress:
                while not position.has_done(stage):
                    self._stepper.step(stage, rows)
                    self._after_step(progress)
            self._validate()
            self._write_log("w", *position.log)
            self._checkpoint()

    def _validation_rows(self) -> list[TokenRow]:
        if not self._config.validation:
            return []
        return StoredRows(self._data / self._config.validation).first(self._config.validation_rows)

    def _validate(self) -> None:
        """Note the held-out loss in the log's last entry."""
        position = self._training.position
        if not self._validation or not position.log:
            return
        middle, text = self._stepper.held_out(self._validation)
        position.log[-1]["held_out_middle_loss"] = round(middle, 4)
        position.log[-1]["held_out_text_loss"] = round(text, 4)

    def _after_step(self, progress: Progress) -> None:
        position, config = self._training.position, self._config
        if position.step % config.validate_steps == 0:
            self._validate()
        if position.step % config.checkpoint_steps == 0:
            self._checkpoint()
        last = position.log[-1]
        for task in progress.task_ids:
            progress.update(task, completed=position.stage_tokens, loss=last["middle_loss"])
        self._write_log("a", last)

    def _write_log(self, mode: Literal["a", "w"], *entries: dict[str, Any]) -> None:
        if self._group.leads:
            with (self._out / LOG).open(mode, encoding="utf-8") as log:
                log.writelines(json.dumps(entry) + "\n" for entry in entries)

    def _checkpoint(self) -> None:
        self._training.save(self._out / CHECKPOINT)
        if self._group.leads:
            plot(self._training.position.log, self._out / "loss.svg")
            if not self._config.sharded:  # in case the machine goes away
                write_model(self._training, self._out / MODEL)

    def _progress(self, stage: Stage) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        loss = TextColumn("tokens, middle loss {task.fields[loss]}")
        progress = Progress(
            *columns,
            loss,
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._group.leads,
        )
        progress.add_task(stage.name, total=stage.tokens, loss=math.nan)
        return progress


def plot(log: Sequence[dict[str, Any]], path: Path) -> None:
    """Losses by tokens, as a picture."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "midfill"
    axes = (figure := Figure(figsize=(8, 4.5), layout="constrained")).subplots()
    tokens = [entry["tokens"] / 1e6 for entry in log]
    for name, colour in (("middle_loss", "#1f77b4"), ("text_loss", "#ff7f0e")):
        axes.plot(tokens, [entry[name] for entry in log], color=colour, alpha=0.25, linewidth=0.7)
        smooth = _smoothed([entry[name] for entry in log])
        axes.plot(tokens, smooth, color=colour, label=name.replace("_", " "))
        held = [(e["tokens"] / 1e6, e[f"held_out_{name}"]) for e in log if f"held_out_{name}" in e]
        if held:
            axes.plot(
                *zip(*held, strict=True),
                "o",
                color=colour,
                markersize=4,
                label=f"held-out {name.replace('_', ' ')}",
            )
    axes.set(xlabel="million tokens", ylabel="loss (nats a token)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})


def _smoothed(values: Sequence[float], keep: float = 0.95) -> list[float]:
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else keep * smooth[-1] + (1 - keep) * value)
    return smooth


def train(
    config: TrainConfig, data: Path, out: Path, *, only_write: bool = False, follow: bool = False
) -> None:
    """Run, or go on with, a training, and write what comes out to ``out/MODEL``.

    Args:
        config: The settings.
        data: The folder of the stages' shards.
        out: Where checkpoints and log are, or will be.
        only_write: Train nothing: write what the last checkpoint has.
        follow: Start before all shards of the stages are packed, and wait for the others.

    Raises:
        InvalidRequestError: a setting or the data is of no use.
    """
    group = join_group()
    out.mkdir(parents=True, exist_ok=True)
    training = Training(config, group)
    is_begun = (out / CHECKPOINT).exists()
    group.wait()  # nobody writes one before all have looked
    if is_begun:
        training.load(out / CHECKPOINT)
    elif only_write:
        raise InvalidRequestError(f"{out} has no {CHECKPOINT}: train first")
    else:
        if config.start:
            load_adapter(training, shipped.find(config.start))
        training.prove_checkpoints(out / CHECKPOINT)
    if not only_write:
        Trainer(training, data, out, follow=follow).run()
    if group.leads:
        if config.sharded:  # the checkpoint has it whole
            training = Training(replace(config, sharded=False), Group(0, 1, group.device))
            training.load(out / CHECKPOINT)
        if config.sharded or only_write:  # else the last checkpoint has done it
            write_model(training, out / MODEL)
        (out / "config.json").write_text(json.dumps(asdict(config), indent=1) + "\n", "utf-8")
    if group.size > 1:
        dist.destroy_process_group()


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train a base model to infill.")
    parser.add_argument("config", type=Path, help="a TOML file, see recipes/training/config.py")
    parser.add_argument("--data", type=Path, required=True, help="the folder of the shards")
    parser.add_argument("--out", type=Path, required=True, help="for checkpoints, log and model")
    parser.add_argument("--only-write", action="store_true", help="what the last checkpoint has")
    parser.add_argument("--follow", action="store_true", help="shards are still being packed")
    args = parser.parse_args(argv)
    options = {"only_write": args.only_write, "follow": args.follow}
    train(read_config(args.config), args.data, args.out, **options)


if __name__ == "__main__":
    main()
