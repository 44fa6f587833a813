"""Left-to-right problems: both formats, what stops a text, and the estimate over samples."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeEngine, FakeStream

from midfill import cli
from midfill.engine import EngineConfig, FinishReason, Scope
from midfill.engine.errors import InvalidRequestError
from midfill.recipes.evaluation.code import read_tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HUMAN_EVAL = {
    "task_id": "H/0",
    "prompt": 'def halve(n):\n    """Half of n."""\n',
    "canonical_solution": "    return n / 2\n",
    "entry_point": "halve",
    "test": "def check(candidate):\n    assert candidate(4) == 2\n",
}
MBPP = {
    "task_id": 7,
    "text": "Write a function that adds one.",
    "code": "def inc(n):\n    return n + 1",
    "test_list": ["assert inc(1) == 2", "assert inc(base) == 6"],
    "test_setup_code": "base = 5",
}
TWO_SAMPLES = ("--samples", "2", "--temperature", "0.8", "--top-p", "0.9", "--k", "1", "2")


def file_of(folder: Path, *rows: dict[str, Any]) -> Path:
    """A file of JSON lines."""
    path = folder / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


class Lab:
    """The command, run on the two invented problems."""

    def __init__(self, folder: Path) -> None:
        self.data = file_of(folder, HUMAN_EVAL, MBPP)
        self.out = folder / "code.json"
        self.model = folder / "model.gguf"
        self.model.write_text("weights", encoding="utf-8")
        self.configs: list[EngineConfig] = []

    def run(self, script: Callable[[FakeStream], object], *options: str) -> FakeEngine:
        """The engine that was used; the report is in ``out``."""
        engine = FakeEngine(script)

        def open_engine(config: EngineConfig, *_: object) -> FakeEngine:
            self.configs.append(config)
            return engine

        words = f"eval code --data {self.data} --model {self.model} --out {self.out}".split()
        assert cli.main([*words, *options], open_engine) == 0
        assert engine.is_closed
        return engine

    @property
    def report(self) -> dict[str, Any]:
        """The newest."""
        document: dict[str, Any] = json.loads(self.out.read_text(encoding="utf-8"))
        return document


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A fresh one."""
    return Lab(tmp_path)


def write_solution(stream: FakeStream) -> None:
    """The right one, and then too much."""
    if stream.request.prefix == HUMAN_EVAL["prompt"]:
        stream.write("    return n", " / 2\n", "\nprint(1 /", " 0)")
    else:
        stream.write("base = 0\ndef inc(n):\n    return n + 1\n", "\nassert", " inc(0) == 7")
    if not stream.is_cancelled:
        stream.heeds_cancel = False
        stream.finish(FinishReason.MAX_TOKENS)


def test_both_formats_are_known_by_their_keys(tmp_path: Path) -> None:
    """The true solutions pass their programs."""
    human, mbpp = read_tasks(file_of(tmp_path, HUMAN_EVAL, MBPP))
    exec(human.program(HUMAN_EVAL["canonical_solution"]), {})  # noqa: S102  our own text
    exec(mbpp.program(str(MBPP["code"])), {})  # noqa: S102
    assert (human.name, mbpp.name) == ("H/0", "7")
    assert human.prompt == HUMAN_EVAL["prompt"]
    assert mbpp.prompt == (
        '"""\nWrite a function that adds one.\nassert inc(1) == 2\nassert inc(base) == 6\n"""\n'
    )


def test_another_format_is_refused(tmp_path: Path) -> None:
    """With the keys that it has, and those it must have."""
    with pytest.raises(InvalidRequestError, match="has the keys task_id, x; it must have prompt"):
        read_tasks(file_of(tmp_path, {"task_id": "t", "x": 1}))


def test_a_text_ends_at_its_stop_sequence(lab: Lab) -> None:
    """What comes behind it would fail; it may arrive in pieces."""
    engine = lab.run(write_solution)
    assert lab.report["pass@k"]["pass@1"]["rate"] == 1.0
    assert lab.report["finish"] == {"stop_sequence": 2}
    assert all(stream.is_cancelled for stream in engine.streams)
    assert lab.configs[0].dialect == "left-to-right"
    for request in engine.requests:
        assert (request.suffix, request.scope) == ("", Scope.MODEL)


def test_samples_have_seeds_of_their_own_and_are_averaged(lab: Lab) -> None:
    """One of two samples of one of two problems passes: pass@1 is 1/4, pass@2 is 1/2."""
    asked: list[int | None] = []

    def right_once(stream: FakeStream) -> None:
        asked.append(stream.request.sampling.seed)
        if len(asked) == 1:
            write_solution(stream)
        else:
            stream.write("@").finish()

    lab.run(right_once, *TWO_SAMPLES)
    assert len(set(asked)) == 4
    estimates = lab.report["pass@k"]
    assert estimates["pass@1"]["rate"] == 0.25
    assert estimates["pass@2"]["rate"] == 0.5
    assert estimates["pass@1"]["count"] == 1
    first = list(asked)
    asked.clear()
    lab.out.with_suffix(".jsonl").unlink()
    lab.run(right_once, *TWO_SAMPLES)
    assert asked == first


def test_a_rerun_asks_only_for_what_is_missing(lab: Lab) -> None:
    """More samples later take those that are there."""
    options = ["--temperature", "0.8", "--samples"]
    assert len(lab.run(write_solution, *options, "1").requests) == 2
    assert len(lab.run(write_solution, *options, "3").requests) == 4
    assert lab.run(write_solution, *options, "3").requests == []


def test_what_makes_no_estimate_is_refused(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """Equal samples, or a k beyond their number."""
    words = f"eval code --data {lab.data} --model {lab.model}".split()
    assert cli.main([*words, "--samples", "2"]) == 2
    assert "temperature 0: all samples would be equal" in capsys.readouterr().err
    assert cli.main([*words, "--k", "2"]) == 2
    assert "k is 2; it must be 1 to the number of samples, 1" in capsys.readouterr().err


def test_the_report_has_these_keys(lab: Lab, tmp_path: Path) -> None:
    """They are read by others: a change is a new schema. The plot is drawn."""
    plot = tmp_path / "p.svg"
    lab.run(write_solution, "--plot", str(plot))
    assert " ".join(lab.report) == (
        "schema eval date engine machine versions settings sandbox problems pass@k finish verdicts"
    )
    assert list(lab.report["pass@k"]["pass@1"]) == ["count", "trials", "rate", "low", "high"]
    assert b"<svg" in plot.read_bytes()
