"""Plots of evaluation results, small enough to commit; matplotlib is imported when one is drawn."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from midfill.recipes.reports.statistics import Rate

FORMATS = (".svg", ".png", ".pdf")
_WIDTH, _HEIGHT = 6.4, 3.6
"""Inches."""


def check(path: Path | None) -> None:
    """Refuse a plot that could not be drawn, before hours of work.

    Raises:
        InvalidRequestError: its format is unknown, or matplotlib is not installed.
    """
    if path is None:
        return
    if path.suffix not in FORMATS:
        raise InvalidRequestError(f"{path} must end in one of {', '.join(FORMATS)}")
    require("matplotlib", "draws plots; leave out --plot")


def require(module: str, purpose: str) -> Any:
    """A module of the extra ``recipes``.

    Raises:
        InvalidRequestError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise InvalidRequestError(
            f"{module} is not installed; it {purpose}, or install it with "
            "pip install 'midfill[recipes]'"
        ) from error


def bars(path: Path, title: str, groups: Mapping[str, Mapping[str, Rate]]) -> None:
    """Rates in percent with their intervals: a group of bars for each group, a colour each cell."""
    figure, axes = _figure(title)
    cells = list(dict.fromkeys(cell for rates in groups.values() for cell in rates))
    width = 0.8 / max(1, len(cells))
    for number, cell in enumerate(cells):
        found = [(place, rates[cell]) for place, rates in enumerate(groups.values())]
        places = [place + (number - (len(cells) - 1) / 2) * width for place, _ in found]
        heights = [100 * r.rate for _, r in found]
        errors = [
            [100 * max(0.0, r.rate - r.low) for _, r in found],
            [100 * max(0.0, r.high - r.rate) for _, r in found],
        ]
        axes.bar(places, heights, width * 0.9, yerr=errors, capsize=3, label=cell)
    axes.set_xticks(range(len(groups)), [f"{name}" for name in groups])
    axes.set_ylabel("%")
    axes.set_ylim(0, 100)
    axes.legend(fontsize="small")
    _save(figure, path)


def lines(
    path: Path,
    title: str,
    axis_names: tuple[str, str],
    series: Mapping[str, Sequence[Any]],
    *,
    is_logarithmic: bool = True,
) -> None:
    """Lines through (x, y) points, x on a logarithmic scale to base 2, or both from zero on."""
    figure, axes = _figure(title)
    for name, points in series.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=name)
    if is_logarithmic:
        axes.set_xscale("log", base=2)
    else:
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    axes.set_xlabel(axis_names[0])
    axes.set_ylabel(axis_names[1])
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    _save(figure, path)


def cumulative(
    path: Path, title: str, axis_name: str, series: Mapping[str, Sequence[float]]
) -> None:
    """The share of values at or below each value, on a logarithmic scale."""
    figure, axes = _figure(title)
    for name, values in series.items():
        ordered = sorted(values)
        shares = [100 * (place + 1) / len(ordered) for place in range(len(ordered))]
        axes.step(ordered, shares, where="post", label=f"{name} ({len(ordered)})")
    axes.set_xscale("log")
    axes.set_xlabel(axis_name)
    axes.set_ylabel("% at or below")
    axes.set_ylim(0, 100)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize="small")
    _save(figure, path)


def roofline(
    path: Path,
    title: str,
    slope: float,
    roofs: Mapping[str, float],
    points: Mapping[str, Sequence[tuple[float, float, str]]],
) -> None:
    """Points below what a machine allows (Williams et al. 2009).

    Args:
        path: The plot's file.
        title: The words above it.
        slope: The memory's rate: gigabytes per second.
        roofs: Rates of arithmetic by name: billions of operations per second.
        points: By series: operations for each byte, billions of operations per second, and a label.
    """
    figure, axes = _figure(title)
    every = [point for of in points.values() for point in of]
    left = min((x for x, _, _ in every), default=1.0) / 2
    right = max((x for x, _, _ in every), default=1.0) * 2
    for name, roof in roofs.items():
        knee = min(max(roof / slope, left), right)
        axes.plot([left, knee, right], [slope * left, roof, roof], color="0.5", linewidth=1)
        axes.annotate(f"{name} {roof:.0f}", (right, roof), ha="right", va="bottom", fontsize=7)
    for name, of in points.items():
        axes.scatter([x for x, _, _ in of], [y for _, y, _ in of], s=14, label=name)
        for x, y, label in of:
            axes.annotate(label, (x, y), xytext=(3, -7), textcoords="offset points", fontsize=6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(f"operations for each byte (memory reads {slope:.0f} GB/s)")
    axes.set_ylabel("10⁹ operations per second")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="x-small")
    _save(figure, path)


def heat_map(
    path: Path,
    title: str,
    rows: tuple[str, Sequence[object]],
    columns: tuple[str, Sequence[object]],
    shares: Sequence[Sequence[float]],
) -> None:
    """Shares from 0 to 1, a cell for each row and column; axes have a name and labels."""
    figure, axes = _figure(title)
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    axes.set_yticks(range(len(rows[1])), [str(label) for label in rows[1]])
    axes.set_xticks(range(len(columns[1])), [str(label) for label in columns[1]])
    axes.set_ylabel(rows[0])
    axes.set_xlabel(columns[0])
    for row, values in enumerate(shares):
        for column, value in enumerate(values):
            axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color="white")
    figure.colorbar(image, ax=axes)
    _save(figure, path)


def _figure(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize="medium")
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    """The same figure makes the same bytes: no date, and ids from a fixed salt."""
    import matplotlib as mpl

    metadata = {"Date": None} if path.suffix == ".svg" else None
    with mpl.rc_context({"svg.hashsalt": "midfill"}):
        figure.savefig(path, dpi=120, metadata=metadata)
