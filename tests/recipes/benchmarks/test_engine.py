"""The engine's benchmark: every player runs every workload, and ratios are within a round."""

from __future__ import annotations

import json
from dataclasses import replace
from subprocess import CalledProcessError
from typing import TYPE_CHECKING

import pytest
from tiny_models import TINY_ARCHITECTURE, write_gguf

from midfill.engine.api import EngineConfig
from midfill.engine.errors import ModelNotAvailableError
from midfill.recipes.benchmarks import engine
from midfill.recipes.benchmarks.engine import (
    OURS,
    THEIRS,
    LlamaBench,
    MidfillBench,
    Result,
    Shape,
    Workload,
    median_limits,
    share_of_limit,
)
from midfill.recipes.benchmarks.limits import MachineLimits
from midfill.recipes.benchmarks.load import measure_load
from midfill.recipes.benchmarks.settings import EngineBenchSettings
from midfill.recipes.reports.output import Output

if TYPE_CHECKING:
    from pathlib import Path

DECODE = Workload("decode", 64, 32)
LIMITS = MachineLimits(bytes_per_second=1e10, bf16_per_second=1e11, int8_per_second=None)


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


@pytest.fixture(autouse=True)
def _invented_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time for the machine's real ones."""
    monkeypatch.setattr(engine, "measure_limits", lambda _: LIMITS)


def test_a_run_writes_what_it_shows(
    model: Path, llama_bench: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two formats of ours and one of theirs, with two workloads in two rounds."""
    settings = EngineBenchSettings(
        model=str(model),
        dtypes=("auto", "bf16"),
        threads=1,
        rounds=2,
        prefill=(40,),
        decode=(20,),
        decode_tokens=4,
        loads=0,
        llama_bench=llama_bench,
        ggufs=(model,),
    )
    out, plot = tmp_path / "figures.json", tmp_path / "roofline.svg"
    engine.run(settings, Output(out, plot))
    report = json.loads(out.read_text())
    results = report["results"]
    seen = [(result["workload"]["kind"], result["player"], result["format"]) for result in results]
    players = [(OURS, "int4"), (OURS, "bf16"), (THEIRS, "Q4_1")]
    assert seen == [(kind, *player) for kind in ("decode", "prefill") for player in players]
    assert all(len(result["per_second"]) == 2 for result in results)
    assert all(rate > 0 for result in results for rate in result["per_second"])
    theirs = [result for result in results if result["player"] == THEIRS]
    assert [result["ratio"] for result in theirs] == [1.0, 1.0]
    assert len(report["limits"]) == 2
    asked = (tmp_path / "asked").read_text().split("\n")
    common = f"-m {model} -t 1 -r 1 -o json"
    assert asked[:2] == [f"{common} -p 0 -n 4 -d 20", f"{common} -p 40 -n 0"]
    assert "prefill 40" in capsys.readouterr().out
    assert plot.read_text(encoding="utf-8").startswith("<?xml")


def test_the_opponent_may_spin(
    llama_bench: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How we want threads to wait would cost it two thirds of its speed."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    llama_bench.write_text(
        '#!/bin/sh\ntest -z "$OMP_WAIT_POLICY" && echo \'[{"avg_ts": 100.0}]\'\n', encoding="utf-8"
    )
    assert LlamaBench(llama_bench, model, 1).run(DECODE) == 100.0


def test_a_failing_llama_bench_is_an_error(model: Path, tmp_path: Path) -> None:
    """Not a rate of nothing."""
    program = tmp_path / "llama-bench"
    program.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(CalledProcessError, match="exit status 3"):
        LlamaBench(program, model, 1).run(DECODE)


def test_quantized_weights_are_fewer_bytes(model: Path) -> None:
    """A pass reads the packed ones, or all plain ones."""
    packed, plain = MidfillBench(str(model), "auto", 1), MidfillBench(str(model), "bf16", 1)
    assert plain.weight_bytes == 2 * plain.shape.parameters
    assert 0 < packed.weight_bytes < plain.weight_bytes


def test_the_share_of_the_limit_is_of_memory_where_a_token_is_decoded() -> None:
    """At 10 GB/s, a token that reads 1 MB and nothing else comes 10,000 times a second."""
    shape = Shape(replace(TINY_ARCHITECTURE, num_attention_heads=0, num_key_value_heads=0), 10)
    result = Result(OURS, "bf16", Workload("decode", 64, 32), [2000.0, 2500.0, 9000.0], 1e6)
    assert share_of_limit(result, shape, LIMITS) == pytest.approx(0.25)


def test_limits_are_medians_of_the_rounds() -> None:
    """Each rate by itself; one that is unknown once is that of the others."""
    rounds = [
        MachineLimits(1.0, 30.0, None),
        MachineLimits(3.0, 10.0, 7.0),
        MachineLimits(2.0, 20.0, None),
    ]
    assert median_limits(rounds) == MachineLimits(2.0, 20.0, 7.0)
    assert median_limits(rounds[:1]).int8_per_second is None


def test_an_opening_is_measured_in_a_process_of_its_own(model: Path) -> None:
    """Times, and memory where the system tells."""
    load = measure_load(EngineConfig(str(model), threads=1))
    assert load.import_seconds > 0
    assert load.open_seconds > 0
    if load.loaded_mib is not None and load.peak_mib is not None:
        assert 0 < load.loaded_mib <= load.peak_mib
    table = engine.show_loads([("auto", load)])
    assert table.row_count == 1


def test_a_model_that_does_not_open_is_an_error(tmp_path: Path) -> None:
    """With what its process said."""
    with pytest.raises(ModelNotAvailableError, match="nowhere"):
        measure_load(EngineConfig(str(tmp_path / "nowhere.gguf")))


def test_a_ratio_compares_within_a_round() -> None:
    """A slow machine slows both; the medians alone would say 5."""
    ours = Result(OURS, "int4", DECODE, [20.0, 200.0, 100.0])
    theirs = Result(THEIRS, "Q4_1", DECODE, [10.0, 100.0, 20.0])
    assert engine.ratio(ours, theirs) == 2.0
    assert engine.ratio(ours, None) is None


def test_the_opponent_is_its_best_format() -> None:
    """By the median, for the same workload."""
    slow = Result(THEIRS, "Q4_1", DECODE, [10.0, 300.0, 10.0])
    fast = Result(THEIRS, "Q8_0", DECODE, [20.0, 20.0, 20.0])
    other = Result(THEIRS, "Q4_0", Workload("prefill", 64, 64), [900.0])
    assert engine.best_opponent([slow, fast, other], DECODE) is fast
    assert engine.best_opponent([other], DECODE) is None
