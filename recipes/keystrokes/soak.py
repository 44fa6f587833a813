"""Whether the language server grows: recorded sessions, typed at speed again and again.

A real ``midfill lsp`` process gets every key of every recording. When a session's documents are
closed, the system says what the process holds. The last round of all recordings is compared with
the first one behind the warm-up, medians of both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from midfill.recipes.keystrokes.lsp_process import started
from midfill.recipes.keystrokes.player_midfill import MidfillPlayer
from midfill.recipes.keystrokes.run import RECORDINGS
from midfill.recipes.keystrokes.strokes import Pace, replay
from midfill.recipes.keystrokes.traces import read_recording
from midfill.recipes.reports import plots
from midfill.recipes.reports.machine import about, resident

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.recipes.keystrokes.settings import SoakSettings
    from midfill.recipes.reports.output import Output

WARM_UP_MINUTES = 5.0
"""Until then caches fill."""
FIGURES = ("resident_mib", "threads", "descriptors")


@dataclass(frozen=True, slots=True)
class Held:
    """What the process holds at the end of a session; None where the system does not tell."""

    round: int
    """From 0; each has all recordings once."""
    minutes: float
    """Since the model was ready."""
    keys: int
    """All until then."""
    resident_mib: float | None
    threads: int | None
    descriptors: int | None
    """Open files, pipes and sockets."""


def run(settings: SoakSettings, output: Output) -> None:
    """Type for so many minutes, show a table, and write JSON and a plot where asked to.

    What is held goes to JSON lines beside the JSON, session by session.

    Raises:
        RpcError: the model cannot be loaded, or the server has ended.
    """
    plots.check(output.plot)
    with contextlib.ExitStack() as stack:
        lines = None
        if output.json is not None:
            file = output.json.with_suffix(".jsonl")
            lines = stack.enter_context(file.open("w", encoding="utf-8"))
        held = asyncio.run(_type(settings, lines))
    grown = growth(held)
    table = Table("", "behind the warm-up", "at the end", "growth")
    for name, (first, last) in grown.items():
        table.add_row(name, f"{first:.1f}", f"{last:.1f}", f"{100 * (last / first - 1):+.2f} %")
    Console().print(table)
    if output.json is not None:
        figures = {"settings": asdict(settings), "growth": grown}
        text = json.dumps(about(settings.threads) | figures, indent=1, default=str)
        output.json.write_text(text + "\n", encoding="utf-8")
    if output.plot is not None:
        points = {"resident": [(each.minutes, each.resident_mib) for each in held]}
        title = "What the server holds behind each session"
        plots.lines(output.plot, title, ("minutes", "MiB"), points, is_logarithmic=False)


def growth(held: Sequence[Held]) -> dict[str, tuple[float, float]]:
    """Medians of the first round that began behind the warm-up, and of the last, by figure.

    A run that ends before the warm-up does is compared from its first round on.
    """
    last = held[-1].round
    is_short = held[-1].minutes < WARM_UP_MINUTES
    warm = [each.round for each in held if each.minutes >= WARM_UP_MINUTES]
    first = 0 if is_short else min(warm[0] + 1, last)
    found = {}
    for name in FIGURES:
        before, after = (
            [value for e in held if e.round == number and (value := getattr(e, name)) is not None]
            for number in (first, last)
        )
        if before and after:
            found[name] = statistics.median(before), statistics.median(after)
    return found


def look(process: int) -> tuple[float | None, int | None, int | None]:
    """What a process holds now, in the order of ``FIGURES``."""
    size = resident(process)
    folders = (Path(f"/proc/{process}/{name}") for name in ("task", "fd"))
    threads, descriptors = (
        sum(1 for _ in folder.iterdir()) if folder.is_dir() else None for folder in folders
    )
    return None if size is None else size.now, threads, descriptors


async def _type(settings: SoakSettings, lines: TextIO | None) -> list[Held]:
    """Whole rounds, until the time is over; what is held is also written down at once."""
    recordings = [read_recording(file) for file in sorted(RECORDINGS.glob("*.json"))]
    held: list[Held] = []
    keys = 0
    async with started(command=settings.command) as server:
        options = {"model": settings.model, "threads": settings.threads}
        await server.initialize(None, options)
        await server.ready()
        player, began = MidfillPlayer(server), time.perf_counter()
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task("", total=settings.minutes)
            minutes = 0.0
            while not held or minutes < settings.minutes:
                number = held[-1].round + 1 if held else 0
                for recording in recordings:
                    progress.update(bar, description=recording.name)
                    pace = Pace(settings.interval_ms)
                    keys += len(await replay(recording, player, pace, settings.keys))
                    minutes = (time.perf_counter() - began) / 60
                    held.append(Held(number, minutes, keys, *look(server.process.pid)))
                    if lines is not None:
                        print(json.dumps(asdict(held[-1])), file=lines, flush=True)
                    progress.update(bar, completed=minutes)
        await server.leave()
    return held
