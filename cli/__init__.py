"""The ``midfill`` command: its frame, and what its exit codes mean.

====  =======================================================================
code  meaning
====  =======================================================================
0     done
1     no completion: the model had nothing to add; also a replay that differs
2     bad usage or input
3     model not available
70    a bug in midfill, with its traceback (EX_SOFTWARE in sysexits.h)
130   interrupted
141   whoever read the output went away
====  =======================================================================

Invariant: building the parser imports nothing heavy; a command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING

import midfill.engine
from midfill.cli.terminal import visible
from midfill.engine.errors import MidfillError, ModelNotAvailableError
from midfill.lsp_server import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.cli.infill import EngineOpener

BAD_INPUT = 2
MODEL_NOT_AVAILABLE = 3
BUG = 70
INTERRUPTED = 130
OUTPUT_CLOSED = 141

_COMMANDS = {
    "infill": "infill",
    "lsp": "lsp",
    "models": "models",
    "eval": "evaluate",
    "tune": "tune",
    "bench": "bench",
    "replay": "faults.replay",
    "report": "faults.report",
}
"""The module of each command."""
_WITH_ENGINE = ("infill", "lsp", "evaluate", "faults.replay")
"""Modules whose commands open an engine."""


def build_parser(
    open_engine: EngineOpener = midfill.engine.open_engine, only: str | None = None
) -> argparse.ArgumentParser:
    """The parser of the whole command; a parsed command has ``run(args) -> exit code``.

    Args:
        open_engine: What opens an engine.
        only: The one command that will be parsed, so that no other's module is imported: an editor
            waits for the language server. None: any.
    """
    parser = argparse.ArgumentParser(
        prog="midfill", description="Complete code at the cursor, on your own machine."
    )
    parser.add_argument("--version", action="version", version=f"midfill {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        if only in (None, name):
            add_arguments = import_module(f"{__name__}.{module}").add_arguments
            add_arguments(commands, *[open_engine] * (module in _WITH_ENGINE))
    return parser


def main(
    argv: Sequence[str] | None = None,
    open_engine: EngineOpener = midfill.engine.open_engine,
) -> int:
    """Run the command and return its exit code; a wrong option raises ``SystemExit(2)``."""
    _replace_closed_streams()
    argv = sys.argv[1:] if argv is None else argv
    only = argv[0] if argv and argv[0] in _COMMANDS else None
    args = build_parser(open_engine, only).parse_args(argv)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more at its exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_CLOSED
    except UnicodeEncodeError as error:
        lacking = error.object[error.start : error.end]
        print(
            f"midfill: the output is {error.encoding}, which lacks {lacking!a}; "
            "set PYTHONIOENCODING=utf-8",
            file=sys.stderr,
        )
        return BAD_INPUT
    except (MidfillError, OSError) as error:
        print(f"midfill: {visible(_message(error))}", file=sys.stderr)
        return MODEL_NOT_AVAILABLE if isinstance(error, ModelNotAvailableError) else BAD_INPUT
    except Exception:  # noqa: BLE001  or Python would end with 1, "no completion"
        traceback.print_exc()
        return BUG
    return code


def _replace_closed_streams() -> None:
    """Read nothing from, and write nowhere to, a stream that is closed: Python has None for it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
