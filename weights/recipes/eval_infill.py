"""How often the model fills a hole so that the tests pass: HumanEval infilling, pass@1, greedy.

Each problem is completed once in each *cell*, a prompt order with healing on or off, and the
program is run in the sandbox. Rates have Wilson's 95 % interval; two cells are compared on the same
problems by McNemar's exact test. Problems whose cursor cuts a word are counted apart as well.
Results go to a journal as they come: a rerun of the same command goes on where the last one ended.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from midfill.engine import CompletionRequest, EngineConfig, Order, Scope
from midfill.weights.recipes import eval_plots
from midfill.weights.recipes.eval_completions import complete
from midfill.weights.recipes.eval_problems import choose, cut_words, read_problems
from midfill.weights.recipes.eval_records import (
    Journal,
    hash_of,
    journal_of,
    key_of,
    markdown,
    percent,
    report,
    write,
)
from midfill.weights.recipes.eval_statistics import Rate, paired, rate
from midfill.weights.recipes.sandbox import Limits, SandboxPool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from midfill.engine import Engine
    from midfill.weights.recipes.eval_completions import Completed
    from midfill.weights.recipes.eval_problems import Problem
    from midfill.weights.recipes.sandbox import Verdict

SHOWN = "postprocess.Display.finished, and a line end behind a stop at the end of a whole line"
INSIDE, BETWEEN, ALL = "cursor inside a word", "cursor between words", "all"

_CELL_HEADER = ("cursor", "cell", "problems", "pass@1", "95 %", "exact", "stripped", "tokens")
_PAIR_HEADER = ("cursor", "first", "second", "both pass", "only first", "only second", "p")


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to ask."""

    order: Order
    heal: bool

    @property
    def name(self) -> str:
        """For tables and journals."""
        return f"{self.order.value}, {'healed' if self.heal else 'not healed'}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is run."""

    data: Path
    cells: tuple[Cell, ...]
    limit: int | None
    """Problems at most, drawn by the seed."""
    seed: int
    cut_words: bool
    """Move the cursor into a word of the missing line, see eval_problems.cut_words."""
    scope: Scope
    max_tokens: int
    raw: bool
    """Take completions as the engine gives them, not as they are shown."""
    workers: int
    """Of the sandbox."""
    limits: Limits


@dataclass(frozen=True, slots=True)
class Output:
    """Where results go."""

    json: Path | None
    plot: Path | None


def run(
    settings: Settings,
    config: EngineConfig,
    open_engine: Callable[[EngineConfig], Engine],
    output: Output,
) -> dict[str, Any]:
    """Complete and test whatever the journal lacks; print, write and return the report.

    Raises:
        InvalidRequestError: the data are no problems, or a plot could not be drawn.
        InfillingNotSupportedError: the model was not trained on an order asked for.
        SandboxError: programs cannot be confined here.
    """
    eval_plots.check(output.plot)
    problems = _problems(settings)
    engine = open_engine(config)
    with closing(engine):
        key = _key(settings, config, engine)
        journal = Journal(journal_of(output.json), key)
        document = report("infill", engine.info, _as_json(settings, config))
        with SandboxPool(settings.workers, settings.limits) as pool:
            document["sandbox"] = [*pool.protections]
            _Run(settings, engine, pool, journal).all(problems)
    document |= summary(settings.cells, problems, journal)
    if output.json is not None:
        write(output.json, document)
    if output.plot is not None:
        eval_plots.bars(output.plot, _title(document), _rates(document))
    Console(soft_wrap=True).print(as_markdown(document), markup=False, highlight=False)
    return document


def _problems(settings: Settings) -> list[Problem]:
    problems = read_problems(settings.data)
    if settings.cut_words:
        problems = list(cut_words(problems, settings.seed))
    return choose(problems, settings.limit, settings.seed)


def _key(settings: Settings, config: EngineConfig, engine: Engine) -> str:
    """Of all that a result depends on, but for the task and the cell."""
    seed = settings.seed if settings.cut_words else None
    asked = (settings.scope.value, settings.max_tokens, settings.raw, asdict(settings.limits), seed)
    return key_of(model_key(config), engine.info.dtype, hash_of(str(settings.data)), asked)


def model_key(config: EngineConfig) -> list[str]:
    """What tells one set of weights from another."""
    adapter = getattr(config, "adapter", None)
    return [hash_of(config.model), hash_of(str(adapter)) if adapter else "", str(config.dialect)]


class _Run:
    """Keeps the model and the sandbox busy at the same time."""

    def __init__(
        self, settings: Settings, engine: Engine, pool: SandboxPool, journal: Journal
    ) -> None:
        self._settings, self._engine, self._pool, self._journal = settings, engine, pool, journal
        self._tested: deque[tuple[Problem, Cell, Completed, Future[Verdict]]] = deque()
        self._passed = self._done = 0

    def all(self, problems: Sequence[Problem]) -> None:
        """Complete and test; problem by problem, so that the cells stay comparable."""
        cells = self._settings.cells
        places = [(problem, cell) for problem in problems for cell in cells]
        missing = [(p, c) for p, c in places if (p.task, c.name) not in self._journal]
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("infilling", total=len(places))
            progress.advance(bar, len(places) - len(missing))
            try:
                for problem, cell in missing:
                    self._complete(problem, cell)
                    progress.update(bar, advance=1, description=self._so_far)
            finally:  # an interrupted run keeps what it has completed
                self._record(room=0)
                progress.update(bar, description=self._so_far)

    @property
    def _so_far(self) -> str:
        return f"{self._passed} of {self._done} passed"

    def _complete(self, problem: Problem, cell: Cell) -> None:
        request = self._request(problem, cell)
        completed = complete(self._engine, request, raw=self._settings.raw)
        verdict = self._pool.submit(problem.program(completed.text))
        self._tested.append((problem, cell, completed, verdict))
        self._record(room=2 * self._settings.workers)

    def _request(self, problem: Problem, cell: Cell) -> CompletionRequest:
        return CompletionRequest(
            problem.prefix,
            problem.suffix,
            order=cell.order,
            heal=cell.heal,
            scope=self._settings.scope,
            max_tokens=self._settings.max_tokens,
        )

    def _record(self, *, room: int) -> None:
        """Journal the oldest results that are there, and wait while more than ``room`` are not."""
        while self._tested and (len(self._tested) > room or self._tested[0][3].done()):
            problem, cell, completed, future = self._tested.popleft()
            verdict = future.result()
            self._done += 1
            self._passed += verdict.passed
            self._journal.add(problem.task, cell.name, result(problem, completed, verdict))


def result(problem: Problem, completed: Completed, verdict: Verdict) -> dict[str, Any]:
    """What the journal keeps of one completion."""
    return {
        "completion": completed.text,
        "passed": verdict.passed,
        "verdict": verdict.reason,
        "exact": completed.text == problem.middle,
        "exact_stripped": completed.text.strip() == problem.middle.strip(),
        **completed.costs(),
        "test_seconds": verdict.seconds,
    }


def summary(cells: Sequence[Cell], problems: Sequence[Problem], journal: Journal) -> dict[str, Any]:
    """Rates of each cell, and cells compared, for all problems and by the cursor's place."""
    places = {
        ALL: [p.task for p in problems],
        INSIDE: [p.task for p in problems if p.is_inside_word],
        BETWEEN: [p.task for p in problems if not p.is_inside_word],
    }
    mixed = all(places.values())
    kept = places if mixed else {ALL: places[ALL]}
    return {
        "problems": len(problems),
        "cells": [
            {"place": place, "cell": cell.name, **_cell(journal.of(tasks, cell.name))}
            for place, tasks in kept.items()
            for cell in cells
        ],
        "comparisons": [
            {"place": place, "first": a.name, "second": b.name, **_compared(journal, tasks, a, b)}
            for place, tasks in kept.items()
            for a, b in combinations(cells, 2)
        ],
    }


def _cell(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    rows = list(results.values())
    return {
        "pass@1": asdict(rate(row["passed"] for row in rows)),
        "exact": asdict(rate(row["exact"] for row in rows)),
        "exact_stripped": asdict(rate(row["exact_stripped"] for row in rows)),
        "empty": sum(not row["completion"] for row in rows),
        "finish": dict(Counter(row["finish"] for row in rows).most_common()),
        "verdicts": dict(Counter(row["verdict"].partition(":")[0] for row in rows).most_common()),
        "orders": dict(Counter(row["order"] for row in rows)),
        "medians": {
            name: median(row[name] for row in rows)
            for name in ("prompt_tokens", "generated_tokens", "prefill_ms", "decode_ms")
            if rows
        },
    }


def _compared(journal: Journal, tasks: Sequence[str], a: Cell, b: Cell) -> dict[str, Any]:
    first, second = journal.of(tasks, a.name), journal.of(tasks, b.name)
    both = [task for task in tasks if task in first and task in second]
    return asdict(paired((first[task]["passed"], second[task]["passed"]) for task in both))


def _as_json(settings: Settings, config: EngineConfig) -> dict[str, Any]:
    return {
        "data": settings.data.name,
        "limit": settings.limit,
        "seed": settings.seed,
        "cut_words": settings.cut_words,
        "scope": settings.scope.value,
        "max_tokens": settings.max_tokens,
        "post_processing": "none" if settings.raw else SHOWN,
        "limits": asdict(settings.limits),
        "threads": config.threads,
        "model_hash": hash_of(config.model),
    }


def as_markdown(document: Mapping[str, Any]) -> str:
    """The tables for people and for ``docs/results.md``."""
    tables = [markdown(_CELL_HEADER, map(_cell_row, document["cells"]))]
    if document["comparisons"]:
        tables.append(markdown(_PAIR_HEADER, map(_pair_row, document["comparisons"])))
    return "\n\n".join(tables)


def _cell_row(row: Mapping[str, Any]) -> list[object]:
    passed = Rate(**row["pass@1"])
    return [
        row["place"],
        row["cell"],
        passed.trials,
        percent(passed.rate),
        f"{percent(passed.low)} to {percent(passed.high)}",
        percent(row["exact"]["rate"]),
        percent(row["exact_stripped"]["rate"]),
        row["medians"].get("generated_tokens", 0),
    ]


def _pair_row(row: Mapping[str, Any]) -> list[object]:
    counts = (row["both"], row["only_first"], row["only_second"])
    return [row["place"], row["first"], row["second"], *counts, f"{row['p']:.2g}"]


def _rates(document: Mapping[str, Any]) -> dict[str, dict[str, Rate]]:
    groups: dict[str, dict[str, Rate]] = {}
    for row in document["cells"]:
        groups.setdefault(row["place"], {})[row["cell"]] = Rate(**row["pass@1"])
    return groups


def _title(document: Mapping[str, Any]) -> str:
    data, model = document["settings"]["data"], document["engine"]["model"]
    return f"{data.partition('.')[0]}: pass@1 of {model}, greedy, {document['problems']} problems"
