"""What ``midfill bench engine`` and ``drafts`` are asked, and by which options."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from midfill.recipes.keystrokes.settings import MODEL, Model, Threads
from midfill.recipes.options import Option, count, distinct
from midfill.recipes.reports.machine import cores

Dtypes = Annotated[
    tuple[str, ...],
    Option("one or more formats", "DTYPE", "--dtype", "what is measured", collect=distinct),
]


@dataclass(frozen=True, slots=True)
class EngineBenchSettings:
    """What is measured."""

    model: Model = MODEL
    threads: Threads = field(default_factory=cores)
    dtypes: Dtypes = ("auto",)
    rounds: Annotated[
        int, Option("each runs every workload with every player in turn", "N", parse=count)
    ] = 5
    prefill: Annotated[tuple[int, ...], Option("of prompts", "TOKENS", parse=count, nargs="*")] = (
        64,
        512,
        2048,
        8192,
    )
    decode: Annotated[
        tuple[int, ...], Option("cached before a token", "POSITIONS", parse=count, nargs="*")
    ] = (64, 2048, 8192)
    decode_tokens: Annotated[int, Option("timed", "N", parse=count)] = 32
    loads: Annotated[int, Option("openings of the model in each format", "N")] = 3
    llama_bench: Annotated[
        Path | None, Option("of a native build", "PROGRAM", group="llama.cpp, beside it")
    ] = None
    ggufs: Annotated[tuple[Path, ...], Option("its models", "FILE", flag="--gguf")] = ()


@dataclass(frozen=True, slots=True)
class DraftBenchSettings:
    """What is filled, and by whom."""

    model: Model = MODEL
    threads: Threads = field(default_factory=cores)
    dtypes: Dtypes = ("auto",)
    rounds: Annotated[
        int, Option("in each every player fills all holes in turn", "N", parse=count)
    ] = 3
    holes: Annotated[int, Option("in the first file of each recording", "N", parse=count)] = 4
    lines: Annotated[int, Option("of a hole", "N", parse=count)] = 8
    max_tokens: Annotated[int, Option("written into a hole at most", "N", parse=count)] = 128
    prompt_tokens: int = 1024
    """Tokens of a prompt, at most."""
    llama_server: Annotated[
        Path | None, Option("of a native build", "PROGRAM", group="llama.cpp's server, beside it")
    ] = None
    gguf: Annotated[Path | None, Option("the same weights", "FILE")] = None
