"""What context from other files is worth: completions that need names of a repository.

Each point (see ``repo_points``) is completed with context, gathered as ``midfill infill`` does
it, and without; and what really stands there is forced behind the same two prompts, which tells how
probable the model finds it.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from midfill.lsp_server.context.gatherer import ContextGatherer
from midfill.lsp_server.request.build import build_request
from midfill.lsp_server.settings import Settings
from midfill.lsp_server.text.located import Hole, Located
from midfill.lsp_server.text.snapshot import Snapshot
from midfill.recipes.evaluation.completions import complete
from midfill.recipes.evaluation.likelihood import scorer
from midfill.recipes.evaluation.repo_points import LINE, SPAN, Point, choose_points
from midfill.recipes.reports import plots
from midfill.recipes.reports.journal import (
    Journal,
    journal_of,
    key_of,
    markdown,
    model_key,
    percent,
    report,
    write,
)
from midfill.recipes.reports.statistics import (
    Rate,
    mean_interval,
    paired,
    rate,
    ratio_interval,
    sign_flip_p,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from midfill.engine import CompletionRequest, Engine, EngineConfig
    from midfill.recipes.evaluation.likelihood import Scorer
    from midfill.recipes.evaluation.settings import RepoSettings
    from midfill.recipes.reports.output import Output

WITH, WITHOUT = "with context", "without context"
ALL = "all"
"""Both kinds of middles together."""


def run(
    settings: RepoSettings,
    config: EngineConfig,
    open_engine: Callable[[EngineConfig], Engine],
    output: Output,
) -> dict[str, Any]:
    """Complete whatever the journal lacks; print, write and return the report.

    Raises:
        InvalidRequestError: a folder has no such point, or a library is not installed.
    """
    plots.check(output.plot)
    plots.require("rapidfuzz", "measures edit similarity")
    points = [
        point
        for root in settings.roots
        for point in choose_points(root.absolute(), settings.points, settings.seed)
    ]
    with closing(open_engine(config)) as engine:
        key = key_of(model_key(config), engine.info.dtype, settings.max_tokens)
        journal = Journal(journal_of(output.json), key)
        document = report("repo", engine.info, _as_json(settings, config))
        _complete_all(settings, points, engine, journal)
    document |= summary(points, journal)
    if output.json is not None:
        write(output.json, document)
    if output.plot is not None:
        _draw(output.plot, document)
    Console(soft_wrap=True).print(as_markdown(document), markup=False, highlight=False)
    return document


def _complete_all(
    settings: RepoSettings, points: Sequence[Point], engine: Engine, journal: Journal
) -> None:
    score = scorer(engine)
    with Progress(console=Console(stderr=True)) as progress:
        places = [(point, cell) for point in points for cell in (WITH, WITHOUT)]
        for point, cell in progress.track(places, description="completing"):
            if (task_of(point), cell) not in journal:
                request = request_of(settings, point, context=cell == WITH)
                journal.add(task_of(point), cell, _complete(engine, score, request, point))


def request_of(settings: RepoSettings, point: Point, *, context: bool) -> CompletionRequest:
    """What ``midfill infill`` would ask at the point, with or without context."""
    defaults = Settings()
    server = replace(
        defaults,
        completion=replace(
            defaults.completion,
            max_tokens=settings.max_tokens,
            time_limit_ms=None,
            multiline="never",
        ),
        context=replace(
            defaults.context, enabled=context, time_limit_ms=settings.context_time_limit_ms
        ),
    )
    snapshot = Snapshot.of(
        point.text[: point.start] + point.text[point.end :],
        uri=point.path.as_uri(),
        language_id="python",
    )
    roots = (point.root,)
    hole = Hole.of(snapshot.text, point.start, point.start)
    located = Located.of(snapshot, point.start, hole, roots)
    pieces = ContextGatherer(roots, server.context).gather(located, ()).pieces
    own = point.path.relative_to(point.root).as_posix()
    assert all(piece.path != own for piece in pieces), "the answer's own file is no context"
    return build_request(located, server, context=pieces)


def _complete(
    engine: Engine, score: Scorer, request: CompletionRequest, point: Point
) -> dict[str, Any]:
    completed = complete(engine, request, "python", raw=False)
    return {
        "middle": point.middle,
        "completion": completed.text,
        "exact": completed.text.strip() == point.middle.strip(),
        "similarity": similarity(completed.text, point.middle),
        "bits_per_byte": score(request, point.middle),
        "pieces": [piece.path for piece in request.context],
        **completed.costs(),
    }


def similarity(one: str, other: str) -> float:
    """1 minus the edit distance over the longer length (Levenshtein 1966), blanks at ends aside."""
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.normalized_similarity(one.strip(), other.strip()))


def task_of(point: Point) -> str:
    """The point's name in the journal; a changed file has other names."""
    path, text = point.path.relative_to(point.root.parent).as_posix(), key_of(point.text)
    return f"{path}:{point.start}-{point.end} {point.kind} {text}"


def summary(points: Sequence[Point], journal: Journal) -> dict[str, Any]:
    """Figures by kind of middle and by repository, with and without context, compared."""
    kinds = {kind: [p for p in points if kind in (ALL, p.kind)] for kind in (LINE, SPAN, ALL)}
    roots = {root: [p for p in points if p.root == root] for root in {p.root: 0 for p in points}}
    return {
        "points": len(points),
        "kinds": [
            {"kind": kind, **_compared(some, journal)} for kind, some in kinds.items() if some
        ],
        "repositories": [
            {"repository": root.name, "cells": _cells(_rows(some, journal))}
            for root, some in roots.items()
        ],
    }


_Rows = dict[str, list[dict[str, Any]]]
"""The results by cell, in the order of the points."""


def _rows(points: Sequence[Point], journal: Journal) -> _Rows:
    tasks = [task_of(point) for point in points]
    return {cell: list(journal.of(tasks, cell).values()) for cell in (WITH, WITHOUT)}


def _cells(rows: _Rows) -> dict[str, Any]:
    return {
        cell: {
            "exact": asdict(rate(row["exact"] for row in some)),
            "similarity": _mean(some, "similarity"),
            "bits_per_byte": _mean(some, "bits_per_byte"),
        }
        for cell, some in rows.items()
    }


def _mean(rows: Sequence[Mapping[str, Any]], measure: str) -> float:
    return float(sum(row[measure] for row in rows) / len(rows))


def _compared(points: Sequence[Point], journal: Journal) -> dict[str, Any]:
    rows = _rows(points, journal)
    by_file: dict[str, dict[Path, list[tuple[float, float]]]] = {}
    for point, more, less in zip(points, rows[WITH], rows[WITHOUT], strict=True):
        for measure in ("exact", "similarity", "bits_per_byte"):
            files = by_file.setdefault(measure, {})
            files.setdefault(point.path, []).append((float(more[measure]), float(less[measure])))
    gains = {
        measure: [[more - less for more, less in pairs] for pairs in files.values()]
        for measure, files in by_file.items()
    }
    return {
        "cells": _cells(rows),
        "gain": {measure: [*mean_interval(groups)] for measure, groups in gains.items()},
        "relative_exact": [*ratio_interval(list(by_file["exact"].values()))],
        "paired": asdict(
            paired(
                (more["exact"], less["exact"])
                for more, less in zip(rows[WITH], rows[WITHOUT], strict=True)
            )
        ),
        "bits_per_byte_p": sign_flip_p(gains["bits_per_byte"]),
    }


def _as_json(settings: RepoSettings, config: EngineConfig) -> dict[str, Any]:
    weights, adapter, _dialect = model_key(config)
    return {
        "repositories": [root.absolute().name for root in settings.roots],
        "points": settings.points,
        "seed": settings.seed,
        "max_tokens": settings.max_tokens,
        "threads": config.threads,
        "model_hash": weights,
        "adapter_hash": adapter,
    }


def as_markdown(document: Mapping[str, Any]) -> str:
    """The tables for people and for ``docs/results.md``."""
    rows = [
        (
            kind["kind"],
            cell,
            row["exact"]["trials"],
            f"{row['exact']['count']} ({percent(row['exact']['rate'])})",
            f"{row['similarity']:.3f}",
            f"{row['bits_per_byte']:.3f}",
        )
        for kind in document["kinds"]
        for cell, row in kind["cells"].items()
    ]
    gains = [
        (
            kind["kind"],
            "{:+.1f} to {:+.1f} points".format(*(100 * x for x in kind["gain"]["exact"])),
            "{:+.0f} to {:+.0f} %".format(*(100 * (x - 1) for x in kind["relative_exact"])),
            f"{kind['paired']['only_first']} : {kind['paired']['only_second']}",
            f"{kind['paired']['p']:.2g}",
            "{:+.3f} to {:+.3f}".format(*kind["gain"]["bits_per_byte"]),
            f"{kind['bits_per_byte_p']:.2g}",
        )
        for kind in document["kinds"]
    ]
    repositories = [
        (of["repository"], *(of["cells"][cell]["exact"]["count"] for cell in (WITH, WITHOUT)))
        for of in document["repositories"]
    ]
    exact = ("exact, 95 %", "relative, 95 %", "only with : only without", "p")
    return "\n\n".join(
        (
            markdown(
                ("middle", "cell", "points", "exact", "edit similarity", "bits per byte"), rows
            ),
            markdown(("gain of", *exact, "bits per byte, 95 %", "p"), gains),
            markdown(("repository", "exact with context", "without"), repositories),
        )
    )


def _draw(path: Path, document: Mapping[str, Any]) -> None:
    groups = {
        kind["kind"]: {cell: Rate(**row["exact"]) for cell, row in kind["cells"].items()}
        for kind in document["kinds"]
    }
    names = document["settings"]["repositories"]
    plots.bars(path, f"Exact match, {len(names)} repositories", groups)
