"""The engine's benchmark: every player runs every workload, and ratios are within a round."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tiny_models import write_gguf

from midfill.weights.recipes import bench_engine
from midfill.weights.recipes.bench_engine import OURS, THEIRS, Result, Workload

if TYPE_CHECKING:
    from pathlib import Path

DECODE = Workload("decode", 64, 32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny one."""
    path = tmp_path / "tiny.Q4_1.gguf"
    write_gguf(path, types=("Q4_1",))
    return path


@pytest.fixture
def llama_bench(tmp_path: Path) -> Path:
    """A stand-in that answers 100 tokens per second to whatever it is asked."""
    program = tmp_path / "llama-bench"
    program.write_text(
        '#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked"\necho \'[{"avg_ts": 100.0}]\'\n',
        encoding="utf-8",
    )
    program.chmod(0o755)
    return program


def test_a_run_writes_what_it_shows(
    model: Path, llama_bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two formats of ours and one of theirs, with two workloads in two rounds."""
    file = tmp_path / "figures.json"
    words = f"--model {model} --dtype auto bf16 --rounds 2 --prefill 40 --decode 20 --threads 1"
    words += f" --decode-tokens 4 --llama-bench {llama_bench} --gguf {model} --json {file}"
    assert bench_engine.main(words.split()) == 0
    results = json.loads(file.read_text())["results"]
    seen = [(result["workload"]["kind"], result["player"], result["format"]) for result in results]
    players = [(OURS, "int4"), (OURS, "bf16"), (THEIRS, "Q4_1")]
    assert seen == [(kind, *player) for kind in ("decode", "prefill") for player in players]
    assert all(len(result["per_second"]) == 2 for result in results)
    assert all(rate > 0 for result in results for rate in result["per_second"])
    assert [result["ratio"] for result in results if result["player"] == THEIRS] == [1.0, 1.0]
    asked = (tmp_path / "asked").read_text().split("\n")
    common = f"-m {model} -t 1 -r 1 -o json"
    assert asked[:2] == [f"{common} -p 0 -n 4 -d 20", f"{common} -p 40 -n 0"]
    assert "prefill 40" in capsys.readouterr().out


def test_a_ratio_compares_within_a_round() -> None:
    """A slow machine slows both; the medians alone would say 5."""
    ours = Result(OURS, "int4", DECODE, [20.0, 200.0, 100.0])
    theirs = Result(THEIRS, "Q4_1", DECODE, [10.0, 100.0, 20.0])
    assert bench_engine.ratio(ours, theirs) == 2.0
    assert bench_engine.ratio(ours, None) is None


def test_the_opponent_is_its_best_format() -> None:
    """By the median, for the same workload."""
    slow = Result(THEIRS, "Q4_1", DECODE, [10.0, 300.0, 10.0])
    fast = Result(THEIRS, "Q8_0", DECODE, [20.0, 20.0, 20.0])
    other = Result(THEIRS, "Q4_0", Workload("prefill", 64, 64), [900.0])
    assert bench_engine.best_opponent([slow, fast, other], DECODE) is fast
    assert bench_engine.best_opponent([other], DECODE) is None
