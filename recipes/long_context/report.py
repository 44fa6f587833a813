"""What ``midfill eval long`` found, as JSON, plots and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console

from midfill.recipes.long_context.settings import TAIL
from midfill.recipes.reports import plots
from midfill.recipes.reports.journal import markdown, percent, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from midfill.recipes.reports.output import Output


def show(document: Mapping[str, Any], output: Output, key_plot: Path | None) -> None:
    """Write a run's report, draw its plots, print its tables."""
    if output.json is not None:
        write(output.json, document)
    models = document["models"]
    names = [f"{number}: {model['model']}" for number, model in enumerate(models, 1)]
    if output.plot is not None and document["settings"]["positions"]:
        series = {}
        for name, model in zip(names, models, strict=True):
            series[name] = [(row["stop"], row["perplexity"]) for row in model["positions"]]
            if model["contexts"]:
                series[f"{name}, the same {TAIL} tokens"] = [
                    (row["context"] + TAIL, row["perplexity"]) for row in model["contexts"]
                ]
        plots.lines(
            output.plot, "Perplexity by position", ("tokens seen, up to", "perplexity"), series
        )
    if key_plot is not None and models[-1]["keys"]:
        _draw_keys(key_plot, document["settings"], models[-1])
    Console(soft_wrap=True).print(as_markdown(document), markup=False, highlight=False)


def _draw_keys(path: Path, settings: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    lengths, depths = settings["key_lengths"], settings["key_depths"]
    shares = {(row["length"], row["depth"]): row["found"] / row["trials"] for row in model["keys"]}
    grid = [[shares[length, depth] for length in lengths] for depth in depths]
    title = f"Keys found by {model['model']}, %"
    plots.heat_map(path, title, ("depth", depths), ("tokens", lengths), grid)


def as_markdown(document: Mapping[str, Any]) -> str:
    """The tables for people and for ``docs/results.md``."""
    tables = []
    for number, model in enumerate(document["models"], 1):
        name = f"{number}: {model['model']}, {model['dtype']}"
        if model["all"]:
            tables.append(markdown(_LOSS_HEADER, map(_loss_row, _rows(model, name))))
        if model["contexts"]:
            behind = [_context_row(row, name) for row in model["contexts"]]
            tables.append(markdown(_CONTEXT_HEADER, behind))
        if model["keys"]:
            tables.append(_key_table(document["settings"], model, name))
    if document["difference"]:
        rows = map(_difference_row, _rows(document["difference"], "2 - 1"))
        tables.append(markdown(_DIFFERENCE_HEADER, rows))
    return "\n\n".join(tables)


_LOSS_HEADER = ("model, positions", "documents", "tokens", "perplexity", "bits per byte")
_DIFFERENCE_HEADER = ("positions", "documents", "bits per byte", "second better in")


_CONTEXT_HEADER = (
    f"model, tokens before the same {TAIL}",
    "documents",
    "perplexity",
    "bits per byte, change",
    "better in",
)


def _rows(results: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The results of all positions, then of each bucket, with a label."""
    labelled = [{"label": f"{name}, all", **results["all"]}]
    return labelled + [
        {"label": f"{name}, {row['start']} to {row['stop']}", **row} for row in results["positions"]
    ]


def _loss_row(row: Mapping[str, Any]) -> list[object]:
    figures = (
        f"{row['perplexity']:.3f}{_error(row['perplexity_error'])}",
        f"{row['bits_per_byte']:.4f}{_error(row['bits_per_byte_error'])}",
    )
    return [row["label"], row["documents"], row["tokens"], *figures]


def _difference_row(row: Mapping[str, Any]) -> list[object]:
    figures = (f"{row['mean']:+.4f}{_error(row['error'])}", row["second_better"])
    return [row["label"], row["documents"], *figures]


def _context_row(row: Mapping[str, Any], name: str) -> list[object]:
    change = row["change"]
    return [
        f"{name}, {row['context']}",
        row["documents"],
        f"{row['perplexity']:.3f}{_error(row['perplexity_error'])}",
        f"{change['mean']:+.4f}{_error(change['error'])}",
        change["second_better"],
    ]


def _error(error: float | None) -> str:
    return "" if error is None else f" ± {error:.4f}"


def _key_table(settings: Mapping[str, Any], model: Mapping[str, Any], name: str) -> str:
    shares = {(row["length"], row["depth"]): row["found"] / row["trials"] for row in model["keys"]}
    header = (f"{name}: keys found, depth", *(f"{n} tokens" for n in settings["key_lengths"]))
    rows = (
        (f"{depth:g}", *(percent(shares[length, depth]) for length in settings["key_lengths"]))
        for depth in settings["key_depths"]
    )
    return markdown(header, rows)
