"""``midfill lsp --record``: a session kept in a file, for ``midfill replay``."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from midfill.lsp_server.engine_host import OpenEngine
    from midfill.lsp_server.recording.recorder import Recorder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that record a session."""
    group = parser.add_argument_group("to reproduce a fault")
    group.add_argument(
        "--record",
        metavar="FILE",
        type=Path,
        help="note the session there for midfill replay: messages, settings, seeds, timings, and "
        "of texts and paths their lengths only",
    )
    group.add_argument(
        "--record-texts",
        action="store_true",
        help="with --record: note texts and paths too, so that the same tokens can be written "
        "again; whoever reads the file reads your code",
    )


@contextmanager
def recorder_of(args: argparse.Namespace) -> Iterator[Recorder | None]:
    """What notes the session, if that was asked for.

    Raises:
        InvalidRequestError: the options do not go together, or there are too many recordings.
        OSError: the file cannot be written.
    """
    _check(args)
    if args.record is None:
        yield None
        return
    from midfill.cli.faults.facts import variables, versions
    from midfill.lsp_server.recording.recorder import Recorder, create_file

    descriptor, file = create_file(args.record)
    about = {"model": args.model, "adapter": args.adapter, "environment": variables()}
    recorder = Recorder(descriptor, keeps_texts=args.record_texts, about=versions() | about)
    kept = "with its texts" if args.record_texts else "without its texts"
    print(f"midfill records the session, {kept}, in {file}", file=sys.stderr, flush=True)
    try:
        yield recorder
    finally:
        recorder.close()


def recorded(open_engine: OpenEngine, recorder: Recorder) -> OpenEngine:
    """What opens engines whose requests and completions are noted."""
    from midfill.cli.faults.facts import files_of
    from midfill.lsp_server.recording.taps import recorded_opener

    return recorded_opener(open_engine, recorder, files_of)


def _check(args: argparse.Namespace) -> None:
    if args.record is None and args.record_texts:
        raise InvalidRequestError("--record-texts is for --record FILE: add it")
    if args.record is not None and args.tcp is not None:
        raise InvalidRequestError("--record is for one client: leave out --tcp")
