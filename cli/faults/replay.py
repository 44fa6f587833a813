"""``midfill replay``: a recorded session once more, and whether the same comes of it."""

from __future__ import annotations

import argparse
import asyncio
import difflib
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import midfill.engine
from midfill.cli.terminal import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midfill.lsp_server.engine_host import OpenEngine
    from midfill.lsp_server.recording.comparison import Deviation
    from midfill.lsp_server.recording.events import SessionRecord

SAME = 0
DIFFERENT = 1
PATIENCE_S = 60.0

_DESCRIPTION = """Play a session that midfill lsp --record has noted to a new server, in the same
order, and compare the completions. The exit code is 0 if all is as it was, and 1 with a diff if
something is not. Without texts in the recording, only answers and errors can be compared."""


def add_arguments(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    open_engine: OpenEngine = midfill.engine.open_engine,
) -> None:
    """Add the command; ``run(args)`` returns the exit code."""
    parser = commands.add_parser(
        "replay", help="play a recorded session again", description=_DESCRIPTION
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="from midfill lsp --record FILE")
    parser.add_argument("--model", help="another model than the recorded one")
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=_seconds,
        default=PATIENCE_S,
        help="how long to wait for one thing that had happened (default: %(default)g)",
    )
    parser.set_defaults(run=partial(run, open_engine))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if 0 < seconds < float("inf"):
        return seconds
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds over 0")


def run(open_engine: OpenEngine, args: argparse.Namespace) -> int:
    """Replay, and print what is not as it was.

    Raises:
        InvalidRequestError: the file is no recording.
        ModelNotAvailableError: its model is not here.
        OSError: the file cannot be read.
    """
    from midfill.lsp_server.recording.events import read_record
    from midfill.lsp_server.recording.replay import replay

    record = read_record(args.file)
    for note in _other_circumstances(record, args.model):
        print(f"note: {visible(note)}", file=sys.stderr)
    result = asyncio.run(replay(record, open_engine, args.model, args.patience))
    for note in result.notes:
        print(f"note: {visible(note)}", file=sys.stderr)
    for deviation in result.deviations:
        print(visible(_diff(deviation)))
    total = result.same + len(result.deviations)
    if result.deviations:
        print(f"{len(result.deviations)} of {total} replies and runs are not as they were")
        return DIFFERENT
    what = "the same tokens" if record.has_texts else "answered as before"
    print(f"{what}: {total} replies and runs")
    return SAME


def _diff(deviation: Deviation) -> str:
    then, now = deviation.then.split("\n"), deviation.now.split("\n")
    name = f"{deviation.what}, then"
    return "\n".join(difflib.unified_diff(then, now, name, "now", lineterm=""))


def _other_circumstances(record: SessionRecord, model: str | None) -> Iterator[str]:
    """What is not as it was before anything is played."""
    from midfill.cli.faults.facts import files_of, versions
    from midfill.engine.api import EngineConfig
    from midfill.lsp_server.recording.events import Kind

    then, now = _flat(record.begin), _flat(versions())
    for name in sorted(then.keys() & now.keys() - {"date"}):
        if then[name] != now[name]:
            yield f"{name} was {then[name]}, and is {now[name]}"
    if model is not None:
        yield f"the model is {model}, whatever it was"
    elif record.has_texts:
        for event in record.events:
            files = event["kind"] == Kind.ENGINE and files_of(EngineConfig(**event["config"]))
            if files and files != event["files"]:
                yield f"the files of {event['info']['model']} are not those of the recording"


def _flat(facts: dict[str, Any]) -> dict[str, Any]:
    packages: dict[str, Any] = facts.get("packages", {})
    return {name: value for name, value in facts.items() if name != "packages"} | packages
