"""What ``midfill bench keystrokes``, ``startup`` and ``soak`` are asked, and by which options."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from midfill.recipes.options import Option, count, distinct
from midfill.recipes.reports.machine import cores

COMMAND = (sys.executable, "-P", "-m", "midfill.cli", "lsp")
"""The language server of this environment."""
MODEL = "midfill-135m"
"""The smallest that infills: the order of a prompt decides what a keystroke costs."""

Model = Annotated[str, Option(metavar="NAME|PATH", group="the model")]
Threads = Annotated[int, Option("of all that is measured", "N", parse=count)]


def interval(text: str) -> float | None:
    """``settled`` (None) or milliseconds, as an argparse type."""
    return None if text == "settled" else float(count(text))


@dataclass(frozen=True, slots=True)
class KeystrokeSettings:
    """What is replayed, and how."""

    model: Model = MODEL
    threads: Threads = field(default_factory=cores)
    recordings: Annotated[
        tuple[Path, ...],
        Option(
            "recorded sessions", "FILE", flag="--recording", group="the sessions", default="our own"
        ),
    ] = ()
    keys: Annotated[
        int | None, Option("of each session, at most", "N", default="all", parse=count)
    ] = None
    rounds: Annotated[
        int, Option("each plays all sessions with every player in turn", "N", parse=count)
    ] = 1
    intervals_ms: Annotated[
        tuple[float | None, ...],
        Option(
            "each key waits for the end of all work, or so many milliseconds",
            "settled|MS",
            flag="--pace",
            default="settled 150",
            parse=interval,
            collect=distinct,
        ),
    ] = (None, 150.0)
    """Time between keys; None: each waits for the end of all work."""
    dtype: Annotated[
        str | None, Option("midfill.dtype", "NAME", group="the language server's settings")
    ] = None
    adapter: Annotated[str | None, Option("midfill.adapter", "PATH")] = None
    prompt_tokens: Annotated[int | None, Option("midfill.prompt.maxTokens", "N", parse=count)] = (
        None
    )
    llama_server: Annotated[
        Path | None,
        Option(
            "of a native build",
            "PROGRAM",
            group="llama.cpp's server with llama.vim's requests, beside it",
        ),
    ] = None
    gguf: Annotated[Path | None, Option("the same weights; see midfill models export", "FILE")] = (
        None
    )
    command: tuple[str, ...] = COMMAND
    """The words that start our language server."""

    @property
    def options(self) -> dict[str, object]:
        """The language server's settings, without ``midfill.``."""
        options: dict[str, object] = {"model": self.model, "threads": self.threads}
        given = {"dtype": self.dtype, "adapter": self.adapter}
        options |= {name: value for name, value in given.items() if value is not None}
        if self.prompt_tokens is not None:
            options["prompt"] = {"maxTokens": self.prompt_tokens}
        return options


@dataclass(frozen=True, slots=True)
class StartupSettings:
    """What is started, and how often."""

    model: Model = MODEL
    runs: Annotated[
        int,
        Option("starts, after one that does not count", "N", group="what is measured", parse=count),
    ] = 10
    command: tuple[str, ...] = COMMAND
    """The words that start a server."""


@dataclass(frozen=True, slots=True)
class SoakSettings:
    """How long is typed, and how fast."""

    model: Model = MODEL
    threads: Threads = field(default_factory=cores)
    minutes: Annotated[
        int, Option("the round under way is finished", "N", group="the sessions", parse=count)
    ] = 60
    interval_ms: Annotated[
        int, Option("milliseconds from key to key", "MS", flag="--pace", parse=count)
    ] = 80
    keys: Annotated[
        int | None, Option("of each session, at most", "N", default="all", parse=count)
    ] = None
    command: tuple[str, ...] = COMMAND
    """The words that start our language server."""
