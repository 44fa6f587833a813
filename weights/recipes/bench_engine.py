"""How fast the engine reads prompts and writes tokens, beside llama.cpp on the same file.

Each round runs every workload once with every player, in turn (A B A B), so that a busy moment of
the machine meets all of them. A prefill ends with the logits of its last token; a decoded token is
a forward pass, its logits and the sampler's greedy choice (llama-bench leaves the choice out).
The figures are tokens per second: median, least and greatest of the rounds, and the median of the
ratios to llama.cpp in the same round.

Run ``python -P -m midfill.weights.recipes.bench_engine --help``.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import track
from rich.table import Table

from midfill.engine.acceleration import use_threads
from midfill.engine.api import EngineConfig, Sampling
from midfill.engine.kv_cache import Slot
from midfill.engine.runtime import open_runtime
from midfill.engine.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import torch

    from midfill.engine.generation import Machine

OURS, THEIRS = "midfill", "llama.cpp"


@dataclass(frozen=True, slots=True)
class Workload:
    """``prefill`` of that many tokens, or ``decode`` behind them."""

    kind: str
    tokens: int
    count: int
    """Tokens that are timed."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one player did with one workload."""

    player: str
    format: str
    workload: Workload
    per_second: list[float]
    """Tokens per second, by round."""


class Player(Protocol):
    """Something that runs workloads."""

    name: str
    format: str

    def run(self, workload: Workload) -> float:
        """Tokens per second, once."""
        ...


class Midfill:
    """Our engine's parts, opened for one format of weights."""

    name = OURS

    def __init__(self, model: str, dtype: str, threads: int) -> None:
        runtime = open_runtime(EngineConfig(model, dtype=dtype, threads=threads))
        self._machine: Machine = runtime.machine
        self.format = runtime.info.dtype
        runtime.close()  # the worker thread; the parts stay
        self._threads = threads
        decoder = self._machine.model
        self._slot = Slot(decoder.architecture, decoder.dtype, decoder.device)

    def run(self, workload: Workload) -> float:
        """Tokens per second, once; the cache is filled first, untimed."""
        model, slot = self._machine.model, self._slot
        use_threads(model, self._threads)
        if workload.kind == "prefill":
            slot.cut(0)
            started = time.perf_counter()
            self._fill(workload.tokens)
            return workload.count / (time.perf_counter() - started)
        slot.cut(min(slot.length, workload.tokens))
        logits = self._fill(workload.tokens)
        sampler = Sampler(Sampling(), self._machine.tokenizer.vocab_size)
        started = time.perf_counter()
        for _ in range(workload.count):
            token = sampler.choose(logits, [])
            logits = model.logits(model.forward([token.id], slot))[0]
        return workload.count / (time.perf_counter() - started)

    def _fill(self, tokens: int) -> torch.Tensor:
        """Prefill the slot up to so many tokens; logits of the last one."""
        self._slot.cut(min(self._slot.length, tokens - 1))
        vocabulary = self._machine.tokenizer.vocab_size
        ids = [(7919 * i + 13) % vocabulary for i in range(self._slot.length, tokens)]
        hidden = self._machine.prefiller.run(ids, self._slot, lambda: None)
        assert hidden is not None, "nobody interrupts a benchmark"
        return self._machine.model.logits(hidden)[0]


class LlamaBench:
    """llama.cpp's own benchmark, started once for each run."""

    name = THEIRS

    def __init__(self, program: Path, model: Path, threads: int) -> None:
        self._command = [
            str(program),
            "-m",
            str(model),
            "-t",
            str(threads),
            "-r",
            "1",
            "-o",
            "json",
        ]
        self.format = model.stem.rpartition(".")[2]

    def run(self, workload: Workload) -> float:
        """Tokens per second, once."""
        count, depth = str(workload.count), str(workload.tokens)
        asked = {
            "prefill": ["-p", count, "-n", "0"],
            "decode": ["-p", "0", "-n", count, "-d", depth],
        }
        done = subprocess.run(  # noqa: S603  # the program that was asked for
            [*self._command, *asked[workload.kind]], check=True, capture_output=True, text=True
        )
        return float(json.loads(done.stdout)[0]["avg_ts"])


def measure(
    players: Sequence[Player], workloads: Sequence[Workload], rounds: Iterable[int]
) -> list[Result]:
    """All workloads with all players, round by round."""
    results = [
        Result(player.name, player.format, workload, [])
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


def show(results: Sequence[Result]) -> Table:
    """The table for people."""
    table = Table("workload", "player", "weights", "median tok/s", "least", "greatest", "ratio")
    for result in results:
        against = ratio(result, best_opponent(results, result.workload))
        rates = result.per_second
        table.add_row(
            f"{result.workload.kind} {result.workload.tokens}",
            *(result.player, result.format),
            *(f"{rate:.0f}" for rate in (statistics.median(rates), min(rates), max(rates))),
            "" if against is None else f"{against:.2f}",
        )
    return table


def report(results: Sequence[Result], threads: int) -> dict[str, object]:
    """The figures and what they were measured with, for JSON."""
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "threads": threads,
        "results": [
            asdict(result) | {"ratio": ratio(result, best_opponent(results, result.workload))}
            for result in results
        ],
    }


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="bench_engine", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--model", default="smollm2-135m", help="ours (default: %(default)s)")
    parser.add_argument("--dtype", nargs="+", default=["auto"], help="(default: auto)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--prefill", type=int, nargs="*", default=[64, 512, 2048], metavar="TOKENS")
    parser.add_argument("--decode", type=int, nargs="*", default=[64, 2048], metavar="POSITIONS")
    parser.add_argument("--decode-tokens", type=int, default=32, help="(default: %(default)s)")
    parser.add_argument("--llama-bench", type=Path, metavar="PROGRAM", help="a native build's")
    parser.add_argument("--gguf", type=Path, nargs="+", default=[], help="llama.cpp's files")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, show a table, and write JSON where asked to."""
    args = parse(argv)
    players: list[Player] = [Midfill(args.model, dtype, args.threads) for dtype in args.dtype]
    if args.llama_bench:
        players += [LlamaBench(args.llama_bench, file, args.threads) for file in args.gguf]
    workloads = [Workload("decode", depth, args.decode_tokens) for depth in args.decode]
    workloads += [Workload("prefill", tokens, tokens) for tokens in args.prefill]
    console = Console(stderr=True)
    rounds = track(range(args.rounds), "measuring", console=console)
    results = measure(players, workloads, rounds)
    Console().print(show(results))
    if args.json:
        text = json.dumps(report(results, args.threads), indent=1)
        args.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
