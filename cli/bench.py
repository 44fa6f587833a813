"""``midfill bench``: how fast it is on this machine, alone or beside llama.cpp.

The recipes in ``recipes/`` do the work; they are imported when their command runs.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DONE = 0
_MODEL = "midfill-135m"
"""The smallest that infills: the order of a prompt decides what a keystroke costs."""
_EPILOG = "docs/benchmarks.md says what each number means, and what was measured."


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bench`` and its commands, each with ``run(args) -> exit code``."""
    bench = commands.add_parser(
        "bench", help="measure how fast it is", description="Measure how fast midfill is here."
    )
    verbs = bench.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_engine(verbs)
    _add_drafts(verbs)
    _add_keystrokes(verbs)
    _add_startup(verbs)


def _add_engine(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs, "engine", "measure how fast prompts are read and tokens written", run_engine
    )
    group = parser.add_argument_group("what is measured")
    group.add_argument(
        "--dtype", nargs="+", default=["auto"], help="one or more formats (default: auto)"
    )
    _add_count(group, "--rounds", 5, "each runs every workload with every player in turn")
    _add_counts(group, "--prefill", [64, 512, 2048, 8192], "TOKENS", "of prompts")
    _add_counts(group, "--decode", [64, 2048, 8192], "POSITIONS", "cached before a token")
    _add_count(group, "--decode-tokens", 32, "timed")
    group.add_argument("--loads", type=int, default=3, metavar="N", help="openings (default: 3)")
    group = parser.add_argument_group("llama.cpp, beside it")
    group.add_argument("--llama-bench", type=Path, metavar="PROGRAM", help="of a native build")
    group.add_argument(
        "--gguf", type=Path, nargs="+", default=[], metavar="FILE", help="its models"
    )


def run_engine(args: argparse.Namespace) -> int:
    """Run ``recipes/benchmarks/engine.py``."""
    from midfill.recipes.benchmarks import engine
    from midfill.recipes.reports.journal import Output

    settings = engine.Settings(
        model=args.model,
        dtypes=tuple(dict.fromkeys(args.dtype)),
        threads=args.threads,
        rounds=args.rounds,
        prefill=tuple(args.prefill),
        decode=tuple(args.decode),
        decode_tokens=args.decode_tokens,
        loads=args.loads,
        llama_bench=args.llama_bench,
        ggufs=tuple(args.gguf),
    )
    engine.run(settings, Output(args.out, args.plot))
    return DONE


def _add_drafts(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs, "drafts", "fill holes in real code with guessed tokens and without", run_drafts
    )
    group = parser.add_argument_group("what is measured")
    group.add_argument(
        "--dtype", nargs="+", default=["auto"], help="one or more formats (default: auto)"
    )
    _add_count(group, "--rounds", 3, "in each every player fills all holes in turn")
    _add_count(group, "--holes", 4, "in each file")
    _add_count(group, "--lines", 8, "of a hole")
    _add_count(group, "--max-tokens", 128, "written into a hole at most")
    group = parser.add_argument_group("llama.cpp's server, beside it")
    group.add_argument("--llama-server", type=Path, metavar="PROGRAM", help="of a native build")
    group.add_argument("--gguf", type=Path, metavar="FILE", help="the same weights")


def run_drafts(args: argparse.Namespace) -> int:
    """Run ``recipes/benchmarks/drafts.py``."""
    from midfill.recipes.benchmarks import drafts
    from midfill.recipes.reports.journal import Output

    settings = drafts.Settings(
        model=args.model,
        dtypes=tuple(dict.fromkeys(args.dtype)),
        threads=args.threads,
        rounds=args.rounds,
        holes=args.holes,
        lines=args.lines,
        max_tokens=args.max_tokens,
        llama_server=args.llama_server,
        gguf=args.gguf,
    )
    drafts.run(settings, Output(args.out, args.plot))
    return DONE


def _add_keystrokes(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs, "keystrokes", "replay editing sessions through the language server", run_keystrokes
    )
    group = parser.add_argument_group("the sessions")
    group.add_argument(
        "--recording", type=Path, nargs="+", default=[], metavar="FILE", help="default: our own"
    )
    group.add_argument("--keys", type=_count, metavar="N", help="of each, at most (default: all)")
    _add_count(group, "--rounds", 1, "each plays all sessions with every player in turn")
    group.add_argument(
        "--pace",
        nargs="+",
        type=_interval,
        default=[None, 150.0],
        metavar="settled|MS",
        help="each key waits for the end of all work, or so many milliseconds "
        "(default: settled 150)",
    )
    group = parser.add_argument_group("the language server's settings")
    group.add_argument("--dtype", metavar="NAME", help="midfill.dtype")
    group.add_argument("--adapter", metavar="PATH", help="midfill.adapter")
    group.add_argument("--prompt-tokens", type=_count, metavar="N", help="midfill.prompt.maxTokens")
    group = parser.add_argument_group("llama.cpp's server with llama.vim's requests, beside it")
    group.add_argument("--llama-server", type=Path, metavar="PROGRAM", help="of a native build")
    group.add_argument(
        "--gguf", type=Path, metavar="FILE", help="the same weights; see midfill models export"
    )


def run_keystrokes(args: argparse.Namespace) -> int:
    """Run ``recipes/keystrokes/run.py``."""
    from midfill.recipes.keystrokes import run as bench_keystrokes
    from midfill.recipes.reports.journal import Output

    options: dict[str, object] = {"model": args.model, "threads": args.threads}
    options |= {name: v for name in ("dtype", "adapter") if (v := getattr(args, name)) is not None}
    if args.prompt_tokens is not None:
        options["prompt"] = {"maxTokens": args.prompt_tokens}
    settings = bench_keystrokes.Settings(
        recordings=tuple(args.recording),
        keys=args.keys,
        rounds=args.rounds,
        intervals_ms=tuple(dict.fromkeys(args.pace)),
        options=options,
        llama_server=args.llama_server,
        gguf=args.gguf,
    )
    bench_keystrokes.run(settings, Output(args.out, args.plot))
    return DONE


def _add_startup(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(verbs, "startup", "measure how soon the language server answers", run_startup)
    group = parser.add_argument_group("what is measured")
    _add_count(group, "--runs", 10, "starts, after one that does not count")


def run_startup(args: argparse.Namespace) -> int:
    """Run ``recipes/keystrokes/startup.py``."""
    from midfill.recipes.keystrokes import startup
    from midfill.recipes.reports.journal import Output

    startup.run(args.model, args.runs, Output(args.out, args.plot))
    return DONE


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    help_line: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    description = f"{help_line.capitalize()}."
    parser = verbs.add_parser(name, help=help_line, description=description, epilog=_EPILOG)
    parser.set_defaults(run=run)
    group = parser.add_argument_group("the model")
    group.add_argument(
        "--model", default=_MODEL, metavar="NAME|PATH", help="(default: %(default)s)"
    )
    if run is not run_startup:
        _add_count(group, "--threads", cores(), "of all that is measured")
    group = parser.add_argument_group("output; a table goes to standard output")
    group.add_argument("--out", type=Path, metavar="FILE.json", help="all results, as JSON")
    group.add_argument("--plot", type=Path, metavar="FILE.svg", help="a plot; .png, .pdf too")
    return parser


def cores() -> int:
    """That this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _add_count(group: argparse._ArgumentGroup, name: str, default: int, what: str) -> None:
    group.add_argument(
        name, type=_count, default=default, metavar="N", help=f"{what} (default: %(default)s)"
    )


def _add_counts(
    group: argparse._ArgumentGroup, name: str, default: list[int], unit: str, what: str
) -> None:
    told = " ".join(map(str, default))
    group.add_argument(
        name,
        type=_count,
        nargs="*",
        default=default,
        metavar=unit,
        help=f"{what} (default: {told})",
    )


def _count(text: str) -> int:
    """A whole number from 1, as an argparse type."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _interval(text: str) -> float | None:
    """``settled`` or milliseconds, as an argparse type."""
    return None if text == "settled" else float(_count(text))
