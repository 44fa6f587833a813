"""``python audited_server.py OUTSIDE REPORT lsp ...``: the real command, which tells on itself.

Each line of REPORT is a file in the folder OUTSIDE that was opened (but for those in its folder
``git``, which git's configuration may name), or a canary that reached the engine. The engine writes
one name for each request.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import FakeEngine, FakeStream

from midfill.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.engine.api import EngineConfig

CANARIES = ("CANARY_OUTSIDE", "CANARY_HIDDEN")


def watch(outside: str, report: int) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that reports what is opened below a folder."""
    inside_git = os.path.join(outside, "git", "")

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(args[0], str | bytes):
            return
        try:
            path = os.path.realpath(os.fsdecode(args[0]))
        except (OSError, ValueError):
            return
        if path.startswith(os.path.join(outside, "")) and not path.startswith(inside_git):
            os.write(report, f"opened {path}\n".encode("utf-8", "backslashreplace"))

    return hook


def writer(report: int) -> Callable[[FakeStream], object]:
    """A script for the engine that looks for canaries first."""

    def script(stream: FakeStream) -> None:
        request = asdict(stream.request)
        for canary in CANARIES:
            for name, value in request.items():
                if canary in repr(value):
                    os.write(report, f"{canary} in {name}\n".encode())
        stream.write("name").finish()

    return script


def open_engine(report: int) -> Callable[..., FakeEngine]:
    """As midfill.engine.open_engine."""

    def opened(
        config: EngineConfig, on_progress: Callable[[str, float], None] | None = None
    ) -> FakeEngine:
        return FakeEngine(writer(report), config)

    return opened


if __name__ == "__main__":
    outside, path = sys.argv.pop(1), sys.argv.pop(1)
    report = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    sys.addaudithook(watch(os.path.realpath(outside), report))
    sys.exit(main(open_engine=open_engine(report)))
