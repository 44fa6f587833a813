"""What context from other files is worth: completions that need names of a repository.

A *point* is a place where a Python file uses a name that it imports from another file of the same
repository, found by ``ast``. Its own import lines stay visible. Two kinds of middles:

- ``line``: the whole statement's line, the cursor behind its indentation;
- ``span``: from the name's first character to the end of the line.

Each point is completed with context, gathered as ``midfill infill`` does it, and without.
"""

from __future__ import annotations

import ast
import random
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from midfill.engine.errors import InvalidRequestError
from midfill.lsp_server.context import ContextGatherer
from midfill.lsp_server.prompt import build_request
from midfill.lsp_server.settings import Settings as ServerSettings
from midfill.lsp_server.snapshot import Snapshot
from midfill.weights.recipes import eval_plots
from midfill.weights.recipes.eval_completions import complete
from midfill.weights.recipes.eval_records import (
    Journal,
    journal_of,
    key_of,
    markdown,
    model_key,
    percent,
    report,
    write,
)
from midfill.weights.recipes.eval_statistics import Rate, mean_interval, paired, rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from midfill.engine import Engine, EngineConfig
    from midfill.weights.recipes.eval_runner import Output

WITH, WITHOUT = "with context", "without context"
LINE, SPAN = "line", "span"
SHORTEST, LONGEST = 8, 120
"""Characters of a line's code."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is run."""

    root: Path
    points: int
    """Of each kind, at most."""
    seed: int
    max_tokens: int
    context_time_limit_ms: int


@dataclass(frozen=True, slots=True)
class Point:
    """A hole in a file of the repository."""

    path: Path
    kind: str
    start: int
    end: int
    """Offsets into the file's text; the end is a line's."""
    text: str
    """Of the whole file."""
    name: str
    """The imported one that is used."""

    @property
    def middle(self) -> str:
        """What stands there."""
        return self.text[self.start : self.end]


def run(
    settings: Settings,
    config: EngineConfig,
    open_engine: Callable[[EngineConfig], Engine],
    output: Output,
) -> dict[str, Any]:
    """Complete whatever the journal lacks; print, write and return the report.

    Raises:
        InvalidRequestError: the folder has no such point, or a library is not installed.
    """
    eval_plots.check(output.plot)
    eval_plots.require("rapidfuzz", "measures edit similarity")
    root = settings.root.absolute()
    points = choose_points(root, settings.points, settings.seed)
    with closing(open_engine(config)) as engine:
        key = key_of(model_key(config), engine.info.dtype, settings.max_tokens)
        journal = Journal(journal_of(output.json), key)
        document = report("repo", engine.info, _as_json(settings, config))
        _complete_all(settings, root, points, engine, journal)
    document |= summary(root, points, journal)
    if output.json is not None:
        write(output.json, document)
    if output.plot is not None:
        _draw(output.plot, document)
    Console(soft_wrap=True).print(as_markdown(document), markup=False, highlight=False)
    return document


def choose_points(root: Path, count: int, seed: int) -> list[Point]:
    """So many points of each kind, drawn by the seed, in the order of files and places.

    Raises:
        InvalidRequestError: there is none.
    """
    files = [f for f in sorted(root.rglob("*.py")) if not _is_hidden(f.relative_to(root))]
    found = [point for file in files for point in points_of(file, root)]
    if not found:
        raise InvalidRequestError(
            f"{root} has no line that uses a name of another of its Python files: name the top of "
            "a repository"
        )
    draw = random.Random(seed)  # noqa: S311  drawn, not secret
    chosen: list[Point] = []
    for kind in (LINE, SPAN):
        of_kind = [number for number, point in enumerate(found) if point.kind == kind]
        drawn = draw.sample(of_kind, min(count, len(of_kind)))
        chosen += [found[number] for number in sorted(drawn)]
    return chosen


def _is_hidden(path: Path) -> bool:
    """Whether a file is in an environment, a repository's own folder, or the like."""
    return any(part.startswith(".") or part == "site-packages" for part in path.parts)


def points_of(file: Path, root: Path) -> Iterator[Point]:
    """The points of one file, two of each line that uses an imported name; none if it is broken."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return
    if not text.isascii() or "\r" in text or "\f" in text:
        return  # columns of ast are bytes, and lines are ours
    names = imported_names(tree, file, root)
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    seen: set[int] = set()
    for node in _used(tree, names):
        start, end = starts[node.lineno - 1], starts[node.lineno] - 1
        code = text[start:end].strip()
        if node.lineno in seen or not SHORTEST <= len(code) <= LONGEST:
            continue
        seen.add(node.lineno)
        indent = len(text[start:end]) - len(text[start:end].lstrip())
        yield Point(file, LINE, start + indent, end, text, node.id)
        if node.col_offset > indent:
            yield Point(file, SPAN, start + node.col_offset, end, text, node.id)


def imported_names(tree: ast.Module, file: Path, root: Path) -> frozenset[str]:
    """The names that a file imports from other files below the root."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module or "", node.level, file, root):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            ours = [alias for alias in node.names if _is_ours(alias.name, 0, file, root)]
            names |= {alias.asname or alias.name.partition(".")[0] for alias in ours}
    return frozenset(names - {"*"})


def _is_ours(module: str, level: int, file: Path, root: Path) -> bool:
    """Whether a module is a file or a folder below the root, and not this file."""
    above = file.parents[level - 1] if level else None
    bases = [above] if above else [root, root / "src", file.parent]
    for base in bases:
        target = base.joinpath(*module.split(".")) if module else base
        found = target.is_dir() or target.with_suffix(".py").is_file()
        if found and target.is_relative_to(root) and target.with_suffix(".py") != file:
            return True
    return False


def _used(tree: ast.Module, names: frozenset[str]) -> Iterator[ast.Name]:
    """Where the names are read, outside import lines, in the order of the text."""
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names
    ]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _complete_all(
    settings: Settings, root: Path, points: Sequence[Point], engine: Engine, journal: Journal
) -> None:
    places = [(point, cell) for point in points for cell in (WITH, WITHOUT)]
    with Progress(console=Console(stderr=True)) as progress:
        for point, cell in progress.track(places, description="completing"):
            if (task_of(root, point), cell) not in journal:
                result = _complete(settings, root, point, engine, context=cell == WITH)
                journal.add(task_of(root, point), cell, result)


def _complete(
    settings: Settings, root: Path, point: Point, engine: Engine, *, context: bool
) -> dict[str, Any]:
    defaults = ServerSettings()
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
    pieces = ContextGatherer((root,), server.context).gather(snapshot, point.start, ()).pieces
    own = point.path.relative_to(root).as_posix()
    assert all(piece.path != own for piece in pieces), "the answer's own file is no context"
    request = build_request(
        snapshot, (point.start, point.start), server, roots=(root,), context=pieces
    )
    completed = complete(engine, request, raw=False)
    return {
        "completion": completed.text,
        "exact": completed.text.strip() == point.middle.strip(),
        "similarity": similarity(completed.text, point.middle),
        "pieces": [piece.path for piece in pieces],
        **completed.costs(),
    }


def similarity(one: str, other: str) -> float:
    """1 minus the edit distance over the longer length (Levenshtein 1966), blanks at ends aside."""
    from rapidfuzz.distance import Levenshtein

    return float(Levenshtein.normalized_similarity(one.strip(), other.strip()))


def task_of(root: Path, point: Point) -> str:
    """The point's name in the journal; a changed file has other names."""
    path, text = point.path.relative_to(root).as_posix(), key_of(point.text)
    return f"{path}:{point.start}-{point.end} {point.kind} {text}"


def summary(root: Path, points: Sequence[Point], journal: Journal) -> dict[str, Any]:
    """By kind of middle, with and without context, and the two compared."""
    return {
        "points": len(points),
        "kinds": [
            {"kind": kind, **_of_kind(root, [p for p in points if p.kind == kind], journal)}
            for kind in (LINE, SPAN)
            if any(point.kind == kind for point in points)
        ],
    }


def _of_kind(root: Path, points: Sequence[Point], journal: Journal) -> dict[str, Any]:
    tasks = [task_of(root, point) for point in points]
    rows = {cell: list(journal.of(tasks, cell).values()) for cell in (WITH, WITHOUT)}
    pairs = list(zip(rows[WITH], rows[WITHOUT], strict=True))
    gains: dict[str, dict[Path, list[float]]] = {"exact": {}, "similarity": {}}
    for point, (more, less) in zip(points, pairs, strict=True):
        for measure, by_file in gains.items():
            by_file.setdefault(point.path, []).append(float(more[measure]) - float(less[measure]))
    return {
        "cells": {
            cell: {
                "exact": asdict(rate(row["exact"] for row in some)),
                "similarity": sum(row["similarity"] for row in some) / len(some),
            }
            for cell, some in rows.items()
        },
        "gain": {
            measure: [*mean_interval(list(by_file.values()))] for measure, by_file in gains.items()
        },
        "paired": asdict(paired((more["exact"], less["exact"]) for more, less in pairs)),
    }


def _as_json(settings: Settings, config: EngineConfig) -> dict[str, Any]:
    weights, adapter, _dialect = model_key(config)
    return {
        "repository": settings.root.absolute().name,
        "points": settings.points,
        "seed": settings.seed,
        "max_tokens": settings.max_tokens,
        "threads": config.threads,
        "model_hash": weights,
        "adapter_hash": adapter,
    }


def as_markdown(document: Mapping[str, Any]) -> str:
    """The table for people and for ``docs/results.md``."""
    rows = [
        (
            kind["kind"],
            cell,
            row["exact"]["trials"],
            percent(row["exact"]["rate"]),
            f"{row['similarity']:.3f}",
        )
        for kind in document["kinds"]
        for cell, row in kind["cells"].items()
    ]
    gains = [
        (
            kind["kind"],
            f"{100 * low:+.1f} to {100 * high:+.1f} points",
            f"{kind['paired']['only_first']} : {kind['paired']['only_second']}",
            f"{kind['paired']['p']:.2g}",
        )
        for kind in document["kinds"]
        for low, high in [kind["gain"]["exact"]]
    ]
    return "\n\n".join(
        (
            markdown(("middle", "cell", "points", "exact", "edit similarity"), rows),
            markdown(("middle", "gain of exact, 95 %", "only with : only without", "p"), gains),
        )
    )


def _draw(path: Path, document: Mapping[str, Any]) -> None:
    groups = {
        kind["kind"]: {cell: Rate(**row["exact"]) for cell, row in kind["cells"].items()}
        for kind in document["kinds"]
    }
    eval_plots.bars(path, f"Exact match in {document['settings']['repository']}", groups)
