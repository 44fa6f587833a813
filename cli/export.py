"""``midfill models export``: a model as a file or folder of its own, for other programs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.cli.terminal import progress_bar

if TYPE_CHECKING:
    import argparse

DONE = 0

DESCRIPTION = """Write a model, with the adapters over it merged into its weights: as a GGUF file
for llama.cpp, or as a folder with safetensors for transformers. The GGUF says which tokens are for
infilling, so that llama-server's /infill works with it. An interruption leaves nothing behind."""

_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n\s*", re.DOTALL)


def add_arguments(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``export``."""
    verb = verbs.add_parser(
        "export", help="write a model for llama.cpp or transformers", description=DESCRIPTION
    )
    verb.add_argument("model", metavar="NAME|PATH", help="see midfill models list")
    verb.add_argument("--to", required=True, metavar="FORMAT", help="gguf or safetensors")
    verb.add_argument("--out", required=True, type=Path, metavar="PATH", help="file or folder")
    verb.add_argument("--adapter", metavar="FOLDER", help="a LoRA adapter to lay over the model")
    verb.add_argument(
        "--dtype", default="bf16", help="bf16, f32, and in GGUF q8_0 (default: %(default)s)"
    )
    verb.add_argument("--force", action="store_true", help="replace what is there")
    verb.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the model and print where it is."""
    from midfill.weights.checkpoint import open_checkpoint
    from midfill.weights.export import Target, export

    licence, notes = _registry_says(args.model)
    if args.adapter is not None:
        notes = _card_of(Path(args.adapter).expanduser()) or notes
    out = args.out.expanduser().absolute()
    target = Target(out, args.to, args.dtype, args.force, licence, notes)
    target.check()
    checkpoint = open_checkpoint(args.model, args.adapter)
    with progress_bar() as on_progress:
        export(checkpoint, target, on_progress)
    print(out)
    return DONE


def _registry_says(model: str) -> tuple[str | None, str]:
    """The licence of a model that it knows, and the card of the adapter in it, if there is one."""
    from midfill.weights import registry, shipped

    known = {entry.name: entry for entry in registry.entries()}
    if model not in known:
        return None, ""
    entry = known[model]
    if isinstance(entry, registry.AdaptedEntry):
        return entry.licence, _card_of(shipped.folder(entry))
    return entry.licence, ""


def _card_of(adapter: Path) -> str:
    """The text of an adapter's card without the front matter, which is about the adapter alone."""
    file = adapter / "README.md"
    return _FRONT_MATTER.sub("", file.read_text("utf-8")) if file.is_file() else ""
