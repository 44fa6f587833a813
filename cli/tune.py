"""``midfill tune``: teach the model a repository of the user's own."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.cli.terminal import loading
from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midfill.recipes.training.examples import Document
    from midfill.recipes.training.tune import Quality, Tuned

DONE = 0
NO_GAIN = 1

_EPILOG = """\
A tenth of the files is held out. On them, perplexity and exactly filled lines are measured before
and after; training ends early when the loss on them rises. Everything stays on this machine. Use
the adapter with `midfill infill --adapter FOLDER` or the setting midfill.adapter.

exit codes:
  0 done, 1 no gain on the held-out files (nothing is written), 2 bad usage, 3 model not available
"""


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``tune`` with its ``run(args) -> exit code``."""
    parser = commands.add_parser(
        "tune",
        help="teach the model a repository",
        description="Train an adapter on a repository's files, and measure what it gains.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    parser.add_argument("path", type=Path, metavar="PATH", help="the repository's top folder")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: PATH/.midfill/adapter")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="(default: 10)")
    parser.add_argument("--model", metavar="NAME|PATH", help="see midfill models list")
    parser.add_argument("--adapter", type=Path, metavar="FOLDER", help="to go on with")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default: 0)")
    parser.add_argument("--json", action="store_true", help="print what came of it as JSON")


def run(args: argparse.Namespace) -> int:
    """Tune; the exit code.

    Raises:
        MidfillError: the folder or an option is of no use, or the model cannot be tuned.
    """
    if args.minutes <= 0:
        raise InvalidRequestError(f"--minutes is {args.minutes}; it must be more than 0")
    if not args.path.is_dir():
        raise InvalidRequestError(f"{args.path} is no folder: name a repository's top")
    from midfill.lsp_server.settings import Settings
    from midfill.recipes.training.tune import TuneConfig, Tuner, hold_out

    documents = hold_out(list(source_files(args.path.absolute())))
    out = args.out or args.path / ".midfill" / "adapter"
    config = replace(TuneConfig(), minutes=args.minutes, seed=args.seed)
    model = args.model or Settings().model
    with loading("reading the repository") as on_progress:
        tuner = Tuner(documents, model, args.adapter, config)
        tuned = tuner.run(out, on_progress or (lambda _doing, _share: None))
    if tuned.is_better and args.out is None:
        (out.parent / ".gitignore").write_text("*\n", "utf-8")
    _report(tuned, out, as_json=args.json)
    return DONE if tuned.is_better else NO_GAIN


def source_files(root: Path) -> Iterator[Document]:
    """The sources below a folder that completion may see as context, by path."""
    from midfill.lsp_server.context.workspace_files import WorkspaceFiles
    from midfill.lsp_server.text.languages import language, language_id_of
    from midfill.recipes.training.examples import Document

    files = WorkspaceFiles((root,))
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if files.allows(Path(folder, f, "any")))
        for path in (Path(folder, name) for name in sorted(names)):
            is_source = language(language_id_of(path.name)).definition is not None
            text = files.read(path) if is_source else None
            if text is not None and text.strip():
                yield Document(root.name, path.relative_to(root).as_posix(), text)


def _report(tuned: Tuned, out: Path, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(tuned) | {"adapter": str(out) if tuned.is_better else None}))
        return
    print(f"held-out files   before: {_told(tuned.before)}")
    print(f"                  after: {_told(tuned.after)}")
    print(f"best after {tuned.steps} steps, {tuned.tokens:,} tokens; ended by {tuned.ended}")
    if tuned.is_better:
        print(f"the adapter is in {out}")
    else:
        print("no gain on the held-out files: nothing was written")


def _told(quality: Quality) -> str:
    exact = f"{quality.exact} of {quality.holes} lines exact"
    return f"perplexity {quality.perplexity:.2f} a token, {exact}"
