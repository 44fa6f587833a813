"""``midfill lsp``: the language server, on standard input and output or over TCP."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import midfill.engine
from midfill.cli.faults import record
from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midfill.lsp_server.engine_host import EngineHost, OpenEngine
    from midfill.lsp_server.recording.recorder import Recorder

_GRACE_SECONDS = 1.5
"""Seconds from the end of a session to that of the process, whatever hangs in it."""
_KILL_SECONDS = 1.9
"""Seconds from the end of its input to that of the process, if that was not even read."""


def add_arguments(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    open_engine: OpenEngine = midfill.engine.open_engine,
) -> None:
    """Add the command; ``run(args)`` serves until the client leaves and returns the exit code."""
    parser = commands.add_parser(
        "lsp",
        help="start the language server",
        description="Serve completions to an editor, which starts this command itself.",
    )
    parser.add_argument(
        "--stdio", action="store_true", help="use standard input and output (the default)"
    )
    parser.add_argument(
        "--tcp",
        metavar="HOST:PORT",
        type=_address,
        help="listen there instead, for any number of clients that share a model; port 0 takes a "
        "free one",
    )
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="with --tcp: listen at an address that other machines reach, unencrypted",
    )
    token = parser.add_mutually_exclusive_group()
    token.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="with --tcp: read from there the token that clients must send; written if not there",
    )
    token.add_argument(
        "--no-token",
        action="store_true",
        help="with --tcp: let in every program of this machine, and of all its users",
    )
    parser.add_argument(
        "--model", help="a registry name, a GGUF file or a folder; wins over the editor's setting"
    )
    parser.add_argument(
        "--adapter", metavar="FOLDER", help="a LoRA adapter over it; wins over the editor's setting"
    )
    parser.add_argument(
        "--log-file", type=Path, help="where to log instead of the platform's folder for logs"
    )
    record.add_arguments(parser)
    parser.set_defaults(run=partial(_run, open_engine))


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HOST:PORT with a port of 0 to 65535; try 127.0.0.1:0"
        )
    return host.strip("[]"), int(port)


def _token(args: argparse.Namespace) -> str | None:
    """What clients must send; None: nothing.

    Raises:
        InvalidRequestError: the options would let in whom nobody has invited.
        OSError: there is no such host, or the token's file is none.
    """
    if args.tcp is None:
        if args.allow_remote or args.token_file or args.no_token:
            text = "--allow-remote, --token-file and --no-token are for --tcp: add it"
            raise InvalidRequestError(text)
        return None
    from midfill.lsp_server.wire.access import is_loopback, make_token, token_in

    host = args.tcp[0]
    if not is_loopback(host) and not args.allow_remote:
        text = f"{host} can be reached from other machines: take 127.0.0.1, or --allow-remote"
        raise InvalidRequestError(text)
    if not is_loopback(host) and args.no_token:
        raise InvalidRequestError(f"{host} can be reached by everybody: leave out --no-token")
    if args.no_token:
        return None
    return make_token() if args.token_file is None else token_in(args.token_file)


def _run(open_engine: OpenEngine, args: argparse.Namespace) -> int:
    with record.recorder_of(args) as recorder:
        return _serve(open_engine, args, recorder)


def _serve(open_engine: OpenEngine, args: argparse.Namespace, recorder: Recorder | None) -> int:
    token = _token(args)
    with _no_garbage_collection():
        from midfill.lsp_server import log, processes
        from midfill.lsp_server.engine_host import EngineHost
        from midfill.lsp_server.server import MidfillServer
        from midfill.lsp_server.transport import serve_pipes, serve_tcp, take_stdio
        from midfill.lsp_server.wire.watchdog import watched

    if recorder is not None:
        open_engine = record.recorded(open_engine, recorder)
    host = EngineHost(open_engine)
    make_server = partial(
        MidfillServer,
        host,
        args.model,
        args.adapter,
        token=token,
        fixes_model=args.tcp is not None,
    )

    async def serve() -> int:
        try:
            if args.tcp is None:
                end = partial(processes.end_within, _GRACE_SECONDS)
                source, sink = take_stdio()
                with watched(source, _KILL_SECONDS):
                    return await serve_pipes(make_server(), source, sink, end, recorder)
            name, port = args.tcp
            await serve_tcp(make_server, name, port, partial(_announce, token))
        finally:
            host.close()
        return 0

    with log.to_file(args.log_file or log.default_path()):
        code = asyncio.run(serve())
    _leave_if_opening(host, code)
    return code


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Let imports run without it: they leave no garbage, and 90 of 425 ms to the first reply go."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _announce(token: str | None, address: str) -> None:
    print(f"midfill listens at {address}", file=sys.stderr, flush=True)
    if token is not None:
        print(f"midfill's token is {token}", file=sys.stderr, flush=True)


def _leave_if_opening(host: EngineHost, code: int) -> None:
    """End the process at once if a thread still imports torch: it cannot be interrupted."""
    if host.is_opening:
        logging.shutdown()
        os._exit(code)
