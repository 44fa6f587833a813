"""How often the model fills a hole so that the tests pass: HumanEval infilling, pass@1.

Each problem is completed once in each *cell*: a prompt order, healing on or off, greedily or by
the best of some tries. The program is run in the sandbox. Rates have Wilson's 95 % interval; two
cells are compared on the same problems by McNemar's exact test. Problems whose cursor cuts a word
are counted apart as well. Results go to a journal as they come: a rerun of the same command goes on
where the last one ended.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import asdict
from itertools import combinations
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console

from midfill.engine import CompletionRequest
from midfill.recipes.evaluation.completions import complete
from midfill.recipes.evaluation.problems import choose, cut_words, read_problems
from midfill.recipes.evaluation.runner import EvaluationJob, Runner
from midfill.recipes.reports import plots
from midfill.recipes.reports.journal import (
    Journal,
    hash_of,
    journal_of,
    key_of,
    markdown,
    model_key,
    percent,
    report,
    write,
)
from midfill.recipes.reports.statistics import Rate, paired, rate
from midfill.recipes.sandbox.pool import SandboxPool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from midfill.engine import Engine, EngineConfig
    from midfill.recipes.evaluation.problems import InfillProblem
    from midfill.recipes.evaluation.settings import Cell, InfillSettings
    from midfill.recipes.reports.output import Output

SHOWN = "postprocess.Display.finished, and a line end behind a stop at the end of a whole line"
INSIDE, BETWEEN, ALL = "cursor inside a word", "cursor between words", "all"

_CELL_HEADER = ("cursor", "cell", "problems", "pass@1", "95 %", "exact", "stripped", "tokens")
_PAIR_HEADER = ("cursor", "first", "second", "both pass", "only first", "only second", "p")


def run(
    settings: InfillSettings,
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
    plots.check(output.plot)
    problems = _problems(settings)
    with closing(open_engine(config)) as engine:
        journal = Journal(journal_of(output.json), _key(settings, config, engine))
        document = report("infill", engine.info, _as_json(settings, config))
        with SandboxPool(settings.workers, settings.limits) as pool:
            document["sandbox"] = pool.report
            jobs = [_job(settings, engine, p, c) for p in problems for c in settings.cells]
            Runner(pool, journal, 2 * settings.workers).run("infilling", jobs)
    document |= summary(settings.cells, problems, journal)
    if output.json is not None:
        write(output.json, document)
    if output.plot is not None:
        plots.bars(output.plot, _title(document), _rates(document))
    Console(soft_wrap=True).print(as_markdown(document), markup=False, highlight=False)
    return document


def _problems(settings: InfillSettings) -> list[InfillProblem]:
    problems = read_problems(settings.data)
    if settings.cut_words:
        problems = list(cut_words(problems, settings.seed))
    return choose(problems, settings.limit, settings.seed)


def _key(settings: InfillSettings, config: EngineConfig, engine: Engine) -> str:
    """A hash of all that a result depends on, but for the task and the cell."""
    seed = settings.seed if settings.cut_words else None
    asked = (settings.scope.value, settings.max_tokens, settings.raw, asdict(settings.limits), seed)
    return key_of(model_key(config), engine.info.dtype, hash_of(str(settings.data)), asked)


def _job(
    settings: InfillSettings, engine: Engine, problem: InfillProblem, cell: Cell
) -> EvaluationJob:
    request = CompletionRequest(
        problem.prefix,
        problem.suffix,
        order=cell.order,
        heal=cell.heal,
        allow_empty=False,
        scope=settings.scope,
        max_tokens=settings.max_tokens,
        tries=cell.tries,
    )
    return EvaluationJob(
        problem.task,
        cell.name,
        lambda: complete(engine, request, "python", raw=settings.raw),
        problem.program,
        lambda text: {
            "exact": text == problem.middle,
            "exact_stripped": text.strip() == problem.middle.strip(),
        },
    )


def summary(
    cells: Sequence[Cell], problems: Sequence[InfillProblem], journal: Journal
) -> dict[str, Any]:
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


def _as_json(settings: InfillSettings, config: EngineConfig) -> dict[str, Any]:
    weights, adapter, _dialect = model_key(config)
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
        "model_hash": weights,
        "adapter_hash": adapter,
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
    return f"{data.partition('.')[0]}: pass@1 of {model}, {document['problems']} problems"
