"""How soon the language server answers: from process start to ``initialize``, to a completion.

A real ``midfill lsp`` process is started again and again on standard input and output. Times are
wall-clock; the disk cache is warm from the second start on, and the first one is left out.

Run ``python -P -m midfill.weights.recipes.startup --help``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import sys
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

URI = "untitled:startup.py"
TEXT = "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    return "
CAPABILITIES: dict[str, object] = {"textDocument": {"inlineCompletion": {}}}
PHASES = ("initialize reply", "model ready", "first completion")


class Server:
    """A server process and the client's side of its protocol, as far as it is needed here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None, "started with pipes"
        assert process.stdout is not None, "started with pipes"
        self.process = process
        self._writer, self._reader = process.stdin, process.stdout

    def send(self, method: str, params: object, number: int | None = None) -> None:
        """A notification, or with a number a request."""
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        body = json.dumps(message if number is None else message | {"id": number}).encode()
        self._writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    async def seen(self, **wanted: object) -> dict[str, Any]:
        """The next message with these members; the others are passed over."""
        while True:
            header = await self._reader.readuntil(b"\r\n\r\n")
            size = int(header.lower().partition(b"content-length:")[2].split()[0])
            message: dict[str, Any] = json.loads(await self._reader.readexactly(size))
            if wanted.items() <= message.items():
                return message

    async def ready(self) -> None:
        """Wait for the model."""
        while (await self.seen(method="midfill/status"))["params"]["state"] != "ready":
            pass


async def start(model: str) -> list[float]:
    """Milliseconds from process start to each of ``PHASES``."""
    command = [sys.executable, "-P", "-m", "midfill.lsp_server.cli", "lsp", "--model", model]
    began, times = time.perf_counter(), []
    pipe = asyncio.subprocess.PIPE
    server = Server(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))
    server.send("initialize", {"processId": None, "capabilities": CAPABILITIES}, 1)
    await server.seen(id=1)
    times.append(time.perf_counter())
    server.send("initialized", {})
    document = {"uri": URI, "languageId": "python", "version": 1, "text": TEXT}
    server.send("textDocument/didOpen", {"textDocument": document})
    await server.ready()
    times.append(time.perf_counter())
    lines = TEXT.split("\n")
    place = {"line": len(lines) - 1, "character": len(lines[-1])}
    asked = {"textDocument": {"uri": URI}, "position": place, "context": {"triggerKind": 1}}
    server.send("textDocument/inlineCompletion", asked, 2)
    await server.seen(id=2)
    times.append(time.perf_counter())
    server.send("shutdown", None, 3)
    await server.seen(id=3)
    server.send("exit", None)
    await server.process.wait()
    return [1e3 * (moment - began) for moment in times]


def summary(runs: Sequence[Sequence[float]]) -> dict[str, dict[str, float]]:
    """Least, median and greatest of each phase, milliseconds."""
    return {
        phase: {"min": min(times), "median": statistics.median(times), "max": max(times)}
        for phase, times in zip(PHASES, zip(*runs, strict=True), strict=True)
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, show a table, and write JSON where asked to."""
    parser = argparse.ArgumentParser(prog="startup", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="smollm2-135m", help="(default: %(default)s)")
    parser.add_argument("--runs", type=int, default=10, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    args = parser.parse_args(argv)
    console = Console(stderr=True)
    rounds = track(range(args.runs + 1), "starting servers", console=console)
    result = summary([asyncio.run(start(args.model)) for _ in rounds][1:])
    table = Table("from process start to", "min ms", "median ms", "max ms")
    for phase, times in result.items():
        table.add_row(phase, *(f"{time_ms:.0f}" for time_ms in times.values()))
    Console().print(table)
    if args.json:
        about = {
            "date": date.today().isoformat(),
            "machine": f"{platform.machine()}, {platform.system()}",
            "python": platform.python_version(),
            "torch": version("torch"),
            "runs": args.runs,
            "model": args.model,
        }
        args.json.write_text(json.dumps(about | {"ms": result}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
