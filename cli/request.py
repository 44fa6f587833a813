"""What ``midfill infill`` asks the engine: the server's defaults, the options, the repository."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.cli.options.model import with_model_options
from midfill.cli.source_file import absolute
from midfill.engine.api import Order
from midfill.engine.errors import InvalidRequestError
from midfill.lsp_server.request.origin import Asked
from midfill.lsp_server.settings import Settings

if TYPE_CHECKING:
    import argparse

    from midfill.cli.source_file import Region, SourceFile
    from midfill.engine.api import ContextPiece

CONTEXT_TIME_LIMIT_MS = 5000
"""Milliseconds; longer than while typing: the same command should see the same context."""


def settings_of(args: argparse.Namespace) -> Settings:
    """The language server's defaults, with the options of the command line over them."""
    defaults = Settings()
    completion = replace(
        defaults.completion,
        max_tokens=args.max_tokens,
        multiline="never" if args.single_line else defaults.completion.multiline,
        time_limit_ms=None,
        heal=not args.no_heal,
        temperature=args.temperature,
        seed=args.seed,
    )
    context = replace(
        defaults.context, enabled=not args.no_context, time_limit_ms=CONTEXT_TIME_LIMIT_MS
    )
    settings = replace(defaults, completion=completion, context=context)
    return with_model_options(settings, args)


def find_root(path: Path | None, named: str | None) -> Path | None:
    """The folder that context may come from: the one named, or the file's git repository, if any.

    Raises:
        InvalidRequestError: the named one is no folder, or the file is not in it.
    """
    if named is None:
        above = () if path is None else absolute(path).parents
        return next((folder for folder in above if (folder / ".git").exists()), None)
    root = absolute(Path(named))
    if not root.is_dir():
        raise InvalidRequestError(f"--repo {named} is no folder: name the repository's top")
    if path is not None and not absolute(path).is_relative_to(root):
        raise InvalidRequestError(f"{path} is not in --repo {named}: name a folder above it")
    return root


def request_of(
    args: argparse.Namespace, settings: Settings, source: SourceFile, hole: Region
) -> Asked:
    """The request to fill the hole, with context from the repository.

    Raises:
        InvalidRequestError: an option is out of range.
    """
    from midfill.lsp_server.context.gatherer import ContextGatherer
    from midfill.lsp_server.request.build import build_request
    from midfill.lsp_server.text.located import Hole, Located

    root = find_root(source.path, args.repo)
    roots = () if root is None else (root,)
    started = time.perf_counter()
    around = Hole.of(source.text, hole.start, hole.end)
    located = Located.of(source.snapshot, hole.start, around, roots)
    context = ContextGatherer(roots, settings.context).gather(located, ())
    context_ms = (time.perf_counter() - started) * 1000
    request = build_request(located, settings, context=without(args.marker, context.pieces))
    request = replace(request, order=Order(args.order))
    return Asked(request, context.provenance, context_ms, context.skipped)


def without(marker: str | None, pieces: tuple[ContextPiece, ...]) -> tuple[ContextPiece, ...]:
    """Context in which no other hole is marked: its marker would be copied into this one."""
    if not marker:
        return pieces
    return tuple(replace(piece, text=piece.text.replace(marker, "")) for piece in pieces)
