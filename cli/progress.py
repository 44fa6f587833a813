"""Bars for work that is counted in bytes, on standard error, and only if that is a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midfill.weights.store import Progress


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Bars on standard error, one for each phase; none if that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description:>12}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    bars: dict[str, Any] = {}
    with Progress(
        *columns, TransferSpeedColumn(), console=console, disable=not console.is_terminal
    ) as progress:

        def on_progress(phase: str, done_bytes: int, total_bytes: int) -> None:
            if phase not in bars:
                bars[phase] = progress.add_task(phase)
            progress.update(bars[phase], completed=done_bytes, total=total_bytes or None)

        yield on_progress
