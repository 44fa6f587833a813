"""How often a function written from its description alone passes its tests: pass@k.

The model continues the prompt from left to right, several times with a temperature, and the
programs run in the sandbox. pass@k is the unbiased estimator of Chen et al. 2021 (equation 1),
averaged over problems, with a 95 % bootstrap interval over problems. Formats, by their keys::

    HumanEval   {"task_id", "prompt", "entry_point", "test"}
    MBPP        {"task_id", "text" or "prompt", "test_list"}, maybe "test_setup_code"

MBPP's prompt is the text and the tests in a docstring (Austin et al. 2021 give both; Code Llama's
and others' evaluations lay them out so). Stop sequences are those of Chen et al. for HumanEval.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from midfill.engine import CompletionRequest, Scope
from midfill.engine.errors import InvalidRequestError
from midfill.recipes.evaluation.completions import complete_until
from midfill.recipes.evaluation.problems import choose, read_rows
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
from midfill.recipes.reports.statistics import Rate, mean_interval, pass_at_k
from midfill.recipes.sandbox.pool import SandboxPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from midfill.engine import Engine, EngineConfig
    from midfill.recipes.evaluation.settings import CodeSettings
    from midfill.recipes.reports.output import Output

LEFT_TO_RIGHT = "left-to-right"
"""The dialect: no markers, whatever the model knows of them."""
HUMAN_EVAL_STOPS = ("\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n@", "\n```")
MBPP_STOPS = ("\nclass", "\nassert", '\n"""', "\nif", "\nprint", "\n```")


@dataclass(frozen=True, slots=True)
class Task:
    """A description to continue, and what tests the result."""

    name: str
    prompt: str
    stops: tuple[str, ...]
    before: str
    """The program in front of the completion."""
    after: str
    """The program behind it."""

    def program(self, completion: str) -> str:
        """What has to run without an error."""
        return f"{self.before}{completion}\n{self.after}\n"


def run(
    settings: CodeSettings,
    config: EngineConfig,
    open_engine: Callable[[EngineConfig], Engine],
    output: Output,
) -> dict[str, Any]:
    """Complete and test whatever the journal lacks; print, write and return the report.

    Raises:
        InvalidRequestError: the data are no problems, or a plot could not be drawn.
        SandboxError: programs cannot be confined here.
    """
    plots.check(output.plot)
    tasks = choose(read_tasks(settings.data), settings.limit, settings.seed)
    config = replace(config, dialect=config.dialect or LEFT_TO_RIGHT)
    with closing(open_engine(config)) as engine:
        journal = Journal(journal_of(output.json), _key(settings, config, engine))
        document = report("code", engine.info, _as_json(settings, config))
        with SandboxPool(settings.workers, settings.limits) as pool:
            document["sandbox"] = pool.report
            jobs = [
                _job(settings, engine, task, number)
                for task in tasks
                for number in range(settings.samples)
            ]
            Runner(pool, journal, 2 * settings.workers).run("writing", jobs)
    document |= summary(settings, tasks, journal)
    if output.json is not None:
        write(output.json, document)
    if output.plot is not None:
        rates = {name: {engine.info.model: Rate(**row)} for name, row in document["pass@k"].items()}
        plots.bars(output.plot, f"{settings.data.name}, left to right", rates)
    Console(soft_wrap=True).print(as_markdown(document), markup=False, highlight=False)
    return document


def read_tasks(path: Path) -> list[Task]:
    """The tasks of a file in either format.

    Raises:
        InvalidRequestError: a line is neither.
        OSError: the file cannot be read.
    """
    return [_task(row, path) for row in read_rows(path, {})]


def _task(row: Mapping[str, Any], path: Path) -> Task:
    name, text = str(row.get("task_id", "")), row.get("text", row.get("prompt"))
    if isinstance(text, str) and isinstance(tests := row.get("test_list"), list):
        listed = "\n".join(map(str, tests))
        setup = str(row.get("test_setup_code", ""))
        prompt = f'"""\n{text}\n{listed}\n"""\n'
        return Task(name, prompt, MBPP_STOPS, "", f"{setup}\n{listed}")
    if all(isinstance(row.get(key), str) for key in ("prompt", "entry_point", "test")):
        check = f"{row['test']}\ncheck({row['entry_point']})"
        return Task(name, row["prompt"], HUMAN_EVAL_STOPS, row["prompt"], check)
    raise InvalidRequestError(
        f"{path}, task {name!r} has the keys {', '.join(row)}; it must have prompt, entry_point and"
        " test (HumanEval), or text and test_list (MBPP)"
    )


def _job(settings: CodeSettings, engine: Engine, task: Task, number: int) -> EvaluationJob:
    seed = int(key_of(settings.seed, task.name, number), 16) >> 1
    request = CompletionRequest(
        task.prompt,
        scope=Scope.MODEL,
        heal=settings.heal,
        max_tokens=settings.max_tokens,
        sampling=replace(settings.sampling, seed=seed),
    )
    return EvaluationJob(
        task.name,
        f"sample {number}",
        lambda: complete_until(engine, request, task.stops),
        task.program,
        lambda _text: {},
    )


def _key(settings: CodeSettings, config: EngineConfig, engine: Engine) -> str:
    """A hash of all that a result depends on, but for the task and the sample's number."""
    asked = (asdict(settings.sampling), settings.heal, settings.max_tokens, settings.seed)
    data = hash_of(str(settings.data))
    return key_of(model_key(config), engine.info.dtype, data, asked, asdict(settings.limits))


def summary(settings: CodeSettings, tasks: Iterable[Task], journal: Journal) -> dict[str, Any]:
    """pass@k for each k, and why programs failed."""
    names = [task.name for task in tasks]
    cells = [journal.of(names, f"sample {number}") for number in range(settings.samples)]
    passed = [sum(cell[name]["passed"] for cell in cells) for name in names]
    rows = [row for cell in cells for row in cell.values()]
    return {
        "problems": len(names),
        "pass@k": {
            f"pass@{k}": asdict(_estimate([pass_at_k(settings.samples, c, k) for c in passed]))
            for k in settings.ks
        },
        "finish": dict(Counter(row["finish"] for row in rows).most_common()),
        "verdicts": dict(Counter(row["verdict"].partition(":")[0] for row in rows).most_common()),
    }


def _estimate(values: Sequence[float]) -> Rate:
    low, high = mean_interval([[value] for value in values])
    solved = sum(value > 0 for value in values)
    return Rate(solved, len(values), sum(values) / len(values), low, high)


def _as_json(settings: CodeSettings, config: EngineConfig) -> dict[str, Any]:
    weights, adapter, dialect = model_key(config)
    return {
        "data": settings.data.name,
        "limit": settings.limit,
        "seed": settings.seed,
        "samples": settings.samples,
        "sampling": asdict(settings.sampling),
        "heal": settings.heal,
        "max_tokens": settings.max_tokens,
        "dialect": dialect,
        "limits": asdict(settings.limits),
        "threads": config.threads,
        "model_hash": weights,
        "adapter_hash": adapter,
    }


def as_markdown(document: Mapping[str, Any]) -> str:
    """The table for people and for ``docs/results.md``."""
    rows = (
        (
            name,
            row["trials"],
            row["count"],
            percent(row["rate"]),
            f"{percent(row['low'])} to {percent(row['high'])}",
        )
        for name, row in document["pass@k"].items()
    )
    return markdown(("", "problems", "ever passed", "estimate", "95 %"), rows)
