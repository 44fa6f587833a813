"""How soon the language server answers: from process start to ``initialize``, to a completion.

A real ``midfill lsp`` process is started again and again on standard input and output. Times are
wall-clock; the disk cache is warm from the second start on, and the first one is left out.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track
from rich.table import Table

from midfill.recipes.keystrokes.lsp_process import started
from midfill.recipes.keystrokes.settings import COMMAND
from midfill.recipes.reports import plots
from midfill.recipes.reports.machine import about

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.recipes.keystrokes.settings import StartupSettings
    from midfill.recipes.reports.output import Output

URI = "untitled:startup.py"
TEXT = "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    return "
PHASES = ("initialize reply", "model ready", "first completion")
_INVOKED = 1
"""LSP's InlineCompletionTriggerKind."""


async def start(model: str, command: Sequence[str] = COMMAND) -> list[float]:
    """Milliseconds from process start to each of ``PHASES``.

    Args:
        model: The model to be loaded.
        command: The words that start a server.
    """
    began = time.perf_counter()
    async with started("--model", model, command=command) as server:
        times = [await server.initialize(None, {})]
        server.open(URI, "python", TEXT)
        await server.ready()
        times.append(time.perf_counter())
        lines = TEXT.split("\n")
        asked = {
            "textDocument": {"uri": URI},
            "position": {"line": len(lines) - 1, "character": len(lines[-1])},
            "context": {"triggerKind": _INVOKED},
        }
        moment, _ = await server.ask("textDocument/inlineCompletion", asked)
        times.append(moment)
        await server.leave()
    return [1e3 * (moment - began) for moment in times]


def summary(runs: Sequence[Sequence[float]]) -> dict[str, dict[str, float]]:
    """Least, median and greatest of each phase, milliseconds."""
    return {
        phase: {"min": min(times), "median": statistics.median(times), "max": max(times)}
        for phase, times in zip(PHASES, zip(*runs, strict=True), strict=True)
    }


def run(settings: StartupSettings, output: Output) -> None:
    """Measure, show a table, and write JSON and a plot where asked to."""
    plots.check(output.plot)
    rounds = track(range(settings.runs + 1), "starting servers", console=Console(stderr=True))
    runs = [asyncio.run(start(settings.model, settings.command)) for _ in rounds][1:]
    result = summary(runs)
    table = Table("from process start to", "min ms", "median ms", "max ms")
    for phase, times in result.items():
        table.add_row(phase, *(f"{time_ms:.0f}" for time_ms in times.values()))
    Console().print(table)
    if output.json is not None:
        figures = {"runs": settings.runs, "model": settings.model, "ms": result}
        text = json.dumps(about(None) | figures, indent=1)
        output.json.write_text(text + "\n", encoding="utf-8")
    if output.plot is not None:
        series = dict(zip(PHASES, zip(*runs, strict=True), strict=True))
        title = "From the start of the process"
        plots.cumulative(output.plot, title, "milliseconds", series)
