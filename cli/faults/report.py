"""``midfill report``: what a maintainer needs to know about a fault, as a file to attach.

Each part is listed before it is written, long ones by their last lines; ``--show`` shows all.

Invariant: nothing is sent, and neither known secrets nor the home folder's name are in it.
"""

from __future__ import annotations

import os
import sys
import zipfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.cli.terminal import visible
from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    import argparse

DONE = 0
DECLINED = 1
SHOWN_LINES = 40
"""Lines of the log and of a recording that are shown; ``--show`` shows all."""

_DESCRIPTION = """Collect what helps to find a fault: versions, processor and kernels, models, the
last lines of the log and, if you name one, a recording. You see it and are asked before it is
written, into a file that you can attach to an issue. Nothing is sent."""


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; ``run(args)`` returns the exit code."""
    parser = commands.add_parser(
        "report", help="collect what to attach to an issue", description=_DESCRIPTION
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="(default: midfill-report-TIME.zip, here)"
    )
    parser.add_argument(
        "--log-file", type=Path, metavar="FILE", help="the log of midfill lsp, if not the usual"
    )
    parser.add_argument(
        "--recording",
        metavar="FILE",
        type=Path,
        help="of midfill lsp --record; its texts are taken out",
    )
    parser.add_argument(
        "--texts", action="store_true", help="leave the recording's texts in, with secrets masked"
    )
    answer = parser.add_mutually_exclusive_group()
    answer.add_argument("--show", action="store_true", help="show all of it, and write nothing")
    answer.add_argument("--yes", action="store_true", help="write it without asking")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Collect, show, ask, write.

    Raises:
        InvalidRequestError: the options do not go together, or nobody can be asked.
        OSError: a file cannot be read or written.
    """
    from midfill.cli.faults.bundle import collected

    if args.texts and args.recording is None:
        raise InvalidRequestError("--texts is for --recording FILE: add it")
    file = args.output or Path(f"midfill-report-{datetime.now():%Y%m%d-%H%M%S}.zip")
    parts = collected(args.log_file, args.recording, keeps_texts=args.texts)
    for name, text in parts.items():
        is_long = name.endswith((".txt", ".jsonl"))
        _show(name, text, SHOWN_LINES if is_long and not args.show else None)
    if args.show:
        return DONE
    if not (args.yes or _agrees(file)):
        print("nothing was written")
        return DECLINED
    _write(file, parts)
    print(f"{file} is written; nothing was sent")
    return DONE


def _show(name: str, text: str, most_lines: int | None) -> None:
    lines = text.split("\n")
    left_out = 0 if most_lines is None else max(len(lines) - most_lines, 0)
    print(f"== {name} ({len(text.encode())} bytes)")
    print(visible("\n".join(lines[left_out:])))
    if left_out:
        print(f"({left_out} lines before these; --show shows all)")


def _agrees(file: Path) -> bool:
    if not sys.stdin.isatty():
        raise InvalidRequestError("nobody can be asked here: add --yes, or --show to see all of it")
    return input(f"Write this to {file}? [y/N] ").strip().lower() in {"y", "yes"}


def _write(file: Path, parts: dict[str, str]) -> None:
    """Write a new file, which only its owner can read."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(file, flags, 0o600)
    with (
        os.fdopen(descriptor, "wb") as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, text in parts.items():
            archive.writestr(f"midfill-report/{name}", text)
