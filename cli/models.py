"""``midfill models``: list, pull, verify, info, path, export.

On a terminal the output is a table; in a pipe it is one line per model with tabs between the
fields, or JSON. Progress is drawn on standard error, and only if that is a terminal.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from midfill.cli import export
from midfill.cli.terminal import progress_bar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from midfill.weights.architecture import Checkpoint
    from midfill.weights.registry import Model

DONE = 0

Command = tuple[str, str, "Callable[[argparse.Namespace], int]"]


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``models`` and its commands, each with ``run(args) -> exit code``."""
    models = commands.add_parser(
        "models", help="list, download and check models", description="The models on this machine."
    )
    verbs = models.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = verbs.add_parser(
        "list",
        help="the models that midfill knows by name",
        description="The models that midfill knows by name, and which are on this machine.",
    )
    _add_json(listing)
    listing.set_defaults(run=run_list)
    for name, run, help_line, description in (
        ("pull", run_pull, "download a model", PULL),
        ("verify", run_verify, "check a downloaded model", VERIFY),
        ("path", run_path, "where a model's file is", PATH),
        ("info", run_info, "what a model is and where it comes from", INFO),
    ):
        verb = verbs.add_parser(name, help=help_line, description=description)
        verb.add_argument(
            "model", nargs="?", metavar="MODEL", help="its name (default: the default model)"
        )
        verb.set_defaults(run=run)
        if name == "info":
            _add_json(verb)
    prune = verbs.add_parser(
        "prune", help="free the disk of what can be made again", description=PRUNE
    )
    prune.add_argument("--dry-run", action="store_true", help="print it, and remove nothing")
    prune.set_defaults(run=run_prune)
    export.add_arguments(verbs)


PULL = """Download a model through pip and its configuration, check it against the registry, and
put it into the store. Does nothing if it is there and intact. An interrupted download leaves
nothing behind that would be used."""

VERIFY = """Read a downloaded model through and compare its size and sha256 with the registry's."""

PATH = """Print where the model's file is, or would be; for an adapter over a base, the base's file
and, in a second line, the adapter's folder. The store is the folder named by the environment
variable MIDFILL_HOME, or else the platform's folder for user data."""

INFO = """Show a model's source, licence, dialect and, if it is on this machine, its architecture.
MODEL may also be the path of a GGUF file or of a Hugging Face folder."""

PRUNE = """Remove the packed weights in the user's cache, and print how large they were. They make
the second opening of a model fast, and come again with the next one."""


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_list(args: argparse.Namespace) -> int:
    """Print every model of the registry."""
    from midfill.weights import registry

    rows = [_facts(entry) for entry in registry.entries()]
    if args.json:
        _print_json(rows)
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        for row in rows:
            print("\t".join(_cells(row)))
    return DONE


def run_pull(args: argparse.Namespace) -> int:
    """Put the model into the store and print its path."""
    from midfill.weights import store

    entry = _entry(args.model)
    with progress_bar() as on_progress:
        file = store.pull(entry.pulled, on_progress)
    print(file)
    return DONE


def run_verify(args: argparse.Namespace) -> int:
    """Check the model in the store and say that it is intact."""
    from midfill.weights import registry, shipped, store

    entry = _entry(args.model)
    with progress_bar() as on_progress:
        store.verify(entry.pulled, on_progress)
    parts: list[Model] = [entry.pulled]
    if isinstance(entry, registry.AdaptedEntry):
        shipped.verify(entry)
        parts.append(entry)
    for part in parts:
        print(f"{part.name}: {part.size_bytes} bytes, sha256 {part.sha256}, as promised")
    return DONE


def run_path(args: argparse.Namespace) -> int:
    """Print where the model's file is, or would be, and where the adapter over it, if any."""
    from midfill.weights import registry, shipped, store

    entry = _entry(args.model)
    print(store.path(entry.pulled))
    if isinstance(entry, registry.AdaptedEntry):
        print(shipped.folder(entry))
    return DONE


def run_info(args: argparse.Namespace) -> int:
    """Print all that is known of the model."""
    facts = _info(args.model)
    if args.json:
        _print_json(facts)
    else:
        _print_facts(facts)
    return DONE


def run_prune(args: argparse.Namespace) -> int:
    """Print the files of packed weights with their sizes, and remove them."""
    from midfill.engine.kernels import packed_files

    sizes = {file: file.stat().st_size for file in packed_files.packed_files()}
    for file, size in sizes.items():
        print(f"{file}: {size} bytes")
    if not args.dry_run:
        packed_files.remove_all()
    done = "would be removed" if args.dry_run else "removed"
    print(f"{len(sizes)} files, {sum(sizes.values())} bytes {done}")
    return DONE


def _entry(name: str | None) -> Model:
    from midfill.weights import registry

    return registry.entry(registry.default_name() if name is None else name)


def _facts(entry: Model) -> dict[str, Any]:
    """Size, source and path are those of what is pulled; an adapter over it adds its own."""
    from midfill.weights import registry, shipped, store

    pulled = entry.pulled
    facts = {
        "name": entry.name,
        "size_bytes": pulled.size_bytes,
        "licence": entry.licence,
        "pulled": store.is_pulled(pulled),
        "default": entry.default,
        "dialect": entry.dialect,
        "description": entry.description,
        "source": pulled.source.requirement,
        "sha256": pulled.sha256,
        "path": str(store.path(pulled)),
    }
    if isinstance(entry, registry.AdaptedEntry):
        facts |= {
            "base": entry.base.name,
            "adapter": str(shipped.folder(entry)),
            "adapter_bytes": entry.size_bytes,
            "adapter_sha256": entry.sha256,
        }
    return facts


def _info(model: str | None) -> dict[str, Any]:
    """The registry's facts where it knows the model, the checkpoint's where it can be opened."""
    from midfill.weights import registry
    from midfill.weights.checkpoint import open_checkpoint

    name = registry.default_name() if model is None else model
    if name not in {entry.name for entry in registry.entries()}:
        return _opened_facts(open_checkpoint(name))
    facts = _facts(registry.entry(name))
    return facts | (_opened_facts(open_checkpoint(name)) if facts["pulled"] else {})


def _opened_facts(checkpoint: Checkpoint) -> dict[str, Any]:
    from collections import Counter
    from dataclasses import asdict
    from math import prod

    from midfill.engine.prompt.dialects import choose_dialect, why_no_infilling
    from midfill.engine.tokens.tokenizer import open_tokenizer

    tokenizer = open_tokenizer(checkpoint.tokenizer)
    dialect = choose_dialect(tokenizer, checkpoint.dialect)
    warning = why_no_infilling(tokenizer, dialect)
    tensors = checkpoint.tensors.values()
    blocks = (tensor.blocks() for tensor in tensors)
    types = Counter("plain" if block is None else block[0] for block in blocks)
    return {
        "name": checkpoint.name,
        "path": str(checkpoint.path),
        "parameters": sum(prod(tensor.shape) for tensor in tensors),
        "tensors": dict(types),
        "tokenizer": type(checkpoint.tokenizer).__name__,
        "dialect": dialect.name,
        "orders": [order.value for order in dialect.orders],
        **({"warning": warning} if warning else {}),
        "architecture": asdict(checkpoint.architecture),
        "ignored_keys": list(checkpoint.ignored),
    }


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        f"{(row['size_bytes'] + row.get('adapter_bytes', 0)) / 1e6:.0f} MB",
        row["licence"],
        "pulled" if row["pulled"] else "not pulled",
        "default" if row["default"] else "",
        row["description"],
    )


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "size", "licence", "", "", "what it is", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*_cells(row), style="green" if row["pulled"] else None)
    Console().print(table)


def _print_facts(facts: dict[str, Any]) -> None:
    """One ``name: value`` per line; what belongs together is indented."""
    for name, value in facts.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for inner_name, inner in value.items():
                print(f"  {inner_name}: {inner}")
        else:
            print(f"{name}: {value}")
