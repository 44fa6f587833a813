"""How fast the engine reads prompts and writes tokens, beside llama.cpp on the same weights.

Each round runs every workload once with every player, in turn (A B A B), so that a busy moment of
the machine meets all of them. A prefill ends with the logits of its last token; a decoded token is
a forward pass, its logits and the sampler's greedy choice (llama-bench leaves the choice out).
The figures are tokens per second: median, least and greatest of the rounds, the median of the
ratios to llama.cpp in the same round, and the share of what the machine could do at most, by the
memory and matrix rates measured at the start of each round (``limits``).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import track
from rich.table import Column, Table

from midfill.engine.api import EngineConfig, Sampling
from midfill.engine.backend import use_threads
from midfill.engine.generation.sampler import Sampler
from midfill.engine.model.kv_cache import Slot
from midfill.engine.runtime import open_runtime
from midfill.recipes.benchmarks.limits import (
    GIGA,
    MachineLimits,
    Work,
    decode_work,
    measure_limits,
    prefill_work,
    seconds_at_least,
)
from midfill.recipes.benchmarks.load import Load, fill, measure_load
from midfill.recipes.reports import plots
from midfill.recipes.reports.machine import about, opponents_environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from midfill.engine.generation.machine import Machine
    from midfill.recipes.benchmarks.settings import EngineBenchSettings
    from midfill.recipes.reports.output import Output
    from midfill.weights.architecture import LlamaArchitecture

OURS, THEIRS = "midfill", "llama.cpp"
INT8_FORMATS = ("int8", "int4", "Q")
"""Starts of the names of formats whose products are of bytes."""


@dataclass(frozen=True, slots=True)
class Workload:
    """``prefill`` of that many tokens, or ``decode`` behind them."""

    kind: str
    tokens: int
    count: int
    """Tokens that are timed."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the work of a model's pass."""

    architecture: LlamaArchitecture
    parameters: int

    def work(self, workload: Workload, weight_bytes: float) -> Work:
        """What one decoded token takes, or a whole prompt."""
        work = {"prefill": prefill_work, "decode": decode_work}
        return work[workload.kind](
            self.architecture, self.parameters, weight_bytes, workload.tokens
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What one player did with one workload."""

    player: str
    format: str
    workload: Workload
    per_second: list[float]
    """Tokens per second, by round."""
    weight_bytes: float = 0.0


class WorkloadPlayer(Protocol):
    """Something that runs workloads."""

    name: str
    format: str
    weight_bytes: float
    """Bytes of weights that a pass reads."""

    def run(self, workload: Workload) -> float:
        """Tokens per second, once."""
        ...


class MidfillBench:
    """Our engine's parts, opened for one format of weights."""

    name = OURS

    def __init__(self, model: str, dtype: str, threads: int) -> None:
        runtime = open_runtime(EngineConfig(model, dtype=dtype, threads=threads))
        self._machine: Machine = runtime.machine
        self.format = runtime.info.dtype
        runtime.close()  # the worker thread; the parts stay
        self._threads = threads
        decoder = self._machine.model
        self.shape = Shape(decoder.architecture, decoder.parameters)
        plain = decoder.parameters * decoder.dtype.itemsize
        self.weight_bytes = float(getattr(decoder, "weight_bytes", plain))
        self._slot = Slot(decoder.architecture, decoder.dtype, decoder.device)

    def run(self, workload: Workload) -> float:
        """Tokens per second, once; the cache is filled first, untimed."""
        model, slot = self._machine.model, self._slot
        use_threads(model, self._threads)
        if workload.kind == "prefill":
            slot.cut(0)
            started = time.perf_counter()
            fill(self._machine, slot, workload.tokens)
            return workload.count / (time.perf_counter() - started)
        logits = fill(self._machine, slot, workload.tokens)
        sampler = Sampler(Sampling(), self._machine.tokenizer.vocab_size)
        started = time.perf_counter()
        for _ in range(workload.count):
            token = sampler.choose(logits, [])
            logits = model.logits(model.forward([token.id], slot))[0]
        return workload.count / (time.perf_counter() - started)


class LlamaBench:
    """llama.cpp's own benchmark, started once for each run."""

    name = THEIRS

    def __init__(self, program: Path, model: Path, threads: int) -> None:
        common = ["-m", str(model), "-t", str(threads), "-r", "1", "-o", "json"]
        self._command = [str(program), *common]
        self.format = model.stem.rpartition(".")[2]
        self.weight_bytes = float(model.stat().st_size)

    def run(self, workload: Workload) -> float:
        """Tokens per second, once."""
        count, depth = str(workload.count), str(workload.tokens)
        asked = {
            "prefill": ["-p", count, "-n", "0"],
            "decode": ["-p", "0", "-n", count, "-d", depth],
        }
        command = [*self._command, *asked[workload.kind]]
        done = subprocess.run(  # noqa: S603  # the program that was asked for
            command, check=True, capture_output=True, text=True, env=opponents_environment()
        )
        return float(json.loads(done.stdout)[0]["avg_ts"])


def measure(
    players: Sequence[WorkloadPlayer], workloads: Sequence[Workload], rounds: Iterable[int]
) -> list[Result]:
    """All workloads with all players, round by round."""
    results = [
        Result(player.name, player.format, workload, [], player.weight_bytes)
        for workload in workloads
        for player in players
    ]
    for _ in rounds:
        for result, player in zip(results, [*players] * len(workloads), strict=True):
            result.per_second.append(player.run(result.workload))
    return results


def best_opponent(results: Sequence[Result], workload: Workload) -> Result | None:
    """llama.cpp's fastest format for a workload, by the median."""
    theirs = [r for r in results if r.player == THEIRS and r.workload == workload]
    return max(theirs, key=lambda r: statistics.median(r.per_second), default=None)


def ratio(result: Result, opponent: Result | None) -> float | None:
    """The median of the ratios in the same round; None without an opponent."""
    if opponent is None:
        return None
    pairs = zip(result.per_second, opponent.per_second, strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


def share_of_limit(result: Result, shape: Shape, limits: MachineLimits) -> float:
    """The share of what an ideal program would reach on this machine with these weights."""
    work = shape.work(result.workload, result.weight_bytes)
    is_int8 = result.format.startswith(INT8_FORMATS)
    least = seconds_at_least(work, limits, is_int8=is_int8)
    tokens = result.workload.count if result.workload.kind == "prefill" else 1
    return statistics.median(result.per_second) * least / tokens


def median_limits(measured: Sequence[MachineLimits]) -> MachineLimits:
    """The middle of each rate."""
    int8 = [each.int8_per_second for each in measured if each.int8_per_second is not None]
    return MachineLimits(
        statistics.median(each.bytes_per_second for each in measured),
        statistics.median(each.bf16_per_second for each in measured),
        statistics.median(int8) if int8 else None,
    )


def run(settings: EngineBenchSettings, output: Output) -> None:
    """Measure, show tables, and write JSON and a plot where asked to."""
    plots.check(output.plot)
    console = Console(stderr=True)
    openings = [dtype for dtype in settings.dtypes for _ in range(settings.loads)]
    loads = [
        (dtype, _load(settings, dtype)) for dtype in track(openings, "opening", console=console)
    ]
    ours = [MidfillBench(settings.model, dtype, settings.threads) for dtype in settings.dtypes]
    players: list[WorkloadPlayer] = [*ours]
    if settings.llama_bench is not None:
        program = settings.llama_bench
        players += [LlamaBench(program, file, settings.threads) for file in settings.ggufs]
    workloads = [Workload("decode", depth, settings.decode_tokens) for depth in settings.decode]
    workloads += [Workload("prefill", tokens, tokens) for tokens in settings.prefill]
    limits: list[MachineLimits] = []
    rounds = _rounds(settings, limits, console)
    results = measure(players, workloads, rounds)
    figures = report(results, loads, limits, ours[0].shape)
    Console().print(show(results, ours[0].shape, median_limits(limits)), show_loads(loads))
    if output.json is not None:
        text = json.dumps(about(settings.threads) | {"model": settings.model} | figures, indent=1)
        output.json.write_text(text + "\n", encoding="utf-8")
    if output.plot is not None:
        draw(output.plot, results, ours[0].shape, median_limits(limits))


def show(results: Sequence[Result], shape: Shape, limits: MachineLimits) -> Table:
    """The table for people."""
    names = ("player", "weights", "tok/s", "least", "most", "ratio", "of limit")
    table = Table(Column("workload", no_wrap=True), *names)
    for result in results:
        against = ratio(result, best_opponent(results, result.workload))
        rates = result.per_second
        table.add_row(
            f"{result.workload.kind} {result.workload.tokens}",
            result.player,
            result.format,
            *(f"{rate:.0f}" for rate in (statistics.median(rates), min(rates), max(rates))),
            "" if against is None else f"{against:.2f}",
            f"{share_of_limit(result, shape, limits):.2f}",
        )
    return table


def show_loads(loads: Sequence[tuple[str, Load]]) -> Table:
    """Medians by dtype, for people."""
    table = Table("dtype", "import s", "open s", "MiB when open", "MiB at most")
    for dtype in dict.fromkeys(dtype for dtype, _ in loads):
        of = [asdict(load) for name, load in loads if name == dtype]
        columns = [[row[field] for row in of if row[field] is not None] for field in of[0]]
        table.add_row(dtype, *(f"{statistics.median(c):.2f}" if c else "" for c in columns))
    return table


def report(
    results: Sequence[Result],
    loads: Sequence[tuple[str, Load]],
    limits: Sequence[MachineLimits],
    shape: Shape,
) -> dict[str, Any]:
    """The figures, for JSON."""
    middle = median_limits(limits)
    return {
        "limits": [asdict(each) for each in limits],
        "loads": [{"dtype": dtype, **asdict(load)} for dtype, load in loads],
        "results": [
            asdict(result)
            | {
                "ratio": ratio(result, best_opponent(results, result.workload)),
                "share_of_limit": share_of_limit(result, shape, middle),
            }
            for result in results
        ],
    }


def draw(path: Path, results: Sequence[Result], shape: Shape, limits: MachineLimits) -> None:
    """The roofline: what each workload reached over its operations for each byte."""
    roofs = {"bf16": limits.bf16_per_second / GIGA}
    if limits.int8_per_second is not None:
        roofs["int8"] = limits.int8_per_second / GIGA
    points: dict[str, list[tuple[float, float, str]]] = {}
    for result in results:
        work = shape.work(result.workload, result.weight_bytes)
        tokens = result.workload.count if result.workload.kind == "prefill" else 1
        reached = statistics.median(result.per_second) / tokens * work.operations / GIGA
        label = f"{result.workload.kind[0]}{result.workload.tokens}"
        name = f"{result.player} {result.format}"
        points.setdefault(name, []).append((work.intensity, reached, label))
    slope = limits.bytes_per_second / GIGA
    plots.roofline(path, "What was reached, and what the machine allows", slope, roofs, points)


def _load(settings: EngineBenchSettings, dtype: str) -> Load:
    return measure_load(EngineConfig(settings.model, dtype=dtype, threads=settings.threads))


def _rounds(
    settings: EngineBenchSettings, limits: list[MachineLimits], console: Console
) -> Iterator[int]:
    """The rounds, with the machine's limits measured at the start of each."""
    for number in track(range(settings.rounds), "measuring", console=console):
        limits.append(measure_limits(settings.threads))
        yield number
