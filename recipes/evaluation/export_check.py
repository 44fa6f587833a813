"""Whether llama.cpp, given an exported model, fills holes with the same tokens as we do.

The model is exported as GGUF into a temporary folder and opened by llama.cpp's server, in this
process, through xllamacpp. Each hole is the rest of a line, behind its first word. Both engines get
the same token ids, laid out by us without the tail that healing holds back, and continue greedily
until a control token or a number of tokens; no stop rule cuts either. Where they part, our two
likeliest tokens and the gap between their logits tell a near-tie, which rounding may decide, from a
fault.

Run ``python -P -m midfill.recipes.evaluation.export_check --help``; xllamacpp is not among
midfill's packages: ``pip install xllamacpp`` (prebuilt wheels).
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import re
import tempfile
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from midfill.engine import CompletionRequest, EngineConfig, Order
from midfill.engine.backend import use_threads
from midfill.engine.model.kv_cache import Slot
from midfill.engine.runtime import open_runtime
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import InvalidRequestError
from midfill.weights.export import Target, export
from midfill.weights.registry import default_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from midfill.engine.generation.machine import Machine

PROMPTS = Path("tests/data/prompts.json")
"""A file of a checkout: 20 pieces of code in 17 languages."""
DTYPES = {"bf16": "bf16", "f32": "fp32"}
"""The formats of the file, and what our engine calls the same."""
BUDGET = 2048
"""Tokens of a prompt, at most."""
TIMEOUT_S = 600


@dataclass(frozen=True, slots=True)
class LineHole:
    """A line taken out of a piece of code."""

    language: str
    prefix: str
    suffix: str


@dataclass(frozen=True, slots=True)
class Parting:
    """The place where two outputs part: the next token of each, None for the end."""

    position: int
    ours: int | None
    theirs: int | None
    gap: float
    """The difference of our two largest logits there."""


@dataclass(frozen=True, slots=True)
class LineOutcome:
    """What came of one hole."""

    language: str
    prompt_tokens: int
    tokens: int
    """Tokens of our output."""
    text: str
    parting: Parting | None
    """None: the outputs are the same."""


def read_holes(file: Path) -> list[LineHole]:
    """A hole from each piece: ``[{"language": "python", "lines": ["def f(x):", ...]}, ...]``."""
    pieces = json.loads(file.read_text("utf-8"))
    return [_hole(piece["language"], piece["lines"]) for piece in pieces]


def greedy(machine: Machine, ids: Sequence[int], count: int) -> tuple[list[int], list[float]]:
    """Our likeliest tokens behind a prompt, up to a control token, and the gaps to the second.

    There is one gap more than tokens if a control token came next.
    """
    model = machine.model
    slot = Slot(model.architecture, model.dtype, model.device)
    tokens: list[int] = []
    gaps: list[float] = []
    new = list(ids)
    while len(tokens) < count:
        logits = model.logits(model.forward(new, slot)[-1:])[0].float()
        (first, second), (token, _) = (pair.tolist() for pair in logits.topk(2))
        gaps.append(first - second)
        if token in machine.end_ids:
            break
        tokens.append(token)
        new = [token]
    return tokens, gaps


def parting(ours: Sequence[int], theirs: Sequence[int], gaps: Sequence[float]) -> Parting | None:
    """The first place where two outputs differ; an output that ends has None next."""
    for position in range(max(len(ours), len(theirs))):
        pair = [tokens[position] if position < len(tokens) else None for tokens in (ours, theirs)]
        if pair[0] != pair[1]:
            return Parting(position, pair[0], pair[1], gaps[position])
    return None


def compare(
    machine: Machine, complete: Callable[[list[int], int], list[int]], hole: LineHole, args: Any
) -> LineOutcome:
    """Fill one hole twice.

    Args:
        machine: Ours.
        complete: Theirs: ids of a prompt and a number of tokens to the ids of the output.
        hole: The hole.
        args: ``order`` and ``max_tokens``.
    """
    request = CompletionRequest(
        hole.prefix, hole.suffix, order=Order(args.order), max_tokens=args.max_tokens
    )
    ids = machine.prompter.build(request, BUDGET, lambda _ids: 0).ids
    ours, gaps = greedy(machine, ids, args.max_tokens)
    theirs = _until(complete(ids, args.max_tokens), machine.end_ids)
    text = b"".join(map(machine.tokenizer.token_bytes, ours)).decode("utf-8", "replace")
    return LineOutcome(hole.language, len(ids), len(ours), text, parting(ours, theirs, gaps))


@contextmanager
def llama_cpp(file: Path, threads: int) -> Iterator[Callable[[list[int], int], list[int]]]:
    """The greedy output's ids of llama.cpp's server for a GGUF file.

    Raises:
        InvalidRequestError: xllamacpp is not installed.
    """
    try:
        library: Any = importlib.import_module("xllamacpp")
    except ImportError as error:
        raise InvalidRequestError(
            "llama.cpp is run through xllamacpp, which is not installed here; run"
            " `python -m pip install xllamacpp`"
        ) from error
    settings = library.CommonParams()
    settings.model.path, settings.hostnames, settings.port = str(file), ["127.0.0.1"], 0
    settings.n_ctx, settings.n_parallel, settings.n_gpu_layers = 2 * BUDGET, 1, 0
    settings.warmup, settings.verbosity = False, 0
    if threads:
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    server = library.Server(settings)

    def complete(ids: list[int], count: int) -> list[int]:
        body = {
            "prompt": ids,
            "n_predict": count,
            "temperature": 0,
            "return_tokens": True,
            "cache_prompt": False,
        }
        address = f"{server.listening_address}/completion"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:  # noqa: S310
            tokens: list[int] = json.load(reply)["tokens"]
        return tokens

    yield complete


def as_table(outcomes: Sequence[LineOutcome]) -> Table:
    """A row for each hole."""
    table = Table("language", "prompt tokens", "tokens", "the same", "text")
    for outcome in outcomes:
        same = "yes" if outcome.parting is None else _parted(outcome.parting)
        counts = (str(outcome.prompt_tokens), str(outcome.tokens))
        table.add_row(outcome.language, *counts, same, ascii(outcome.text[:40]))
    return table


def as_json(outcomes: Sequence[LineOutcome], args: Any) -> str:
    """The outcomes, and everything that is needed to get them again."""
    document = {
        "recipe": "export_check",
        "date": date.today().isoformat(),
        "settings": {
            name: getattr(args, name)
            for name in ("model", "adapter", "dtype", "order", "max_tokens")
        },
        "machine": platform.machine(),
        "versions": {"python": platform.python_version()}
        | {name: _version(name) for name in ("midfill", "torch", "gguf", "xllamacpp")},
        "same": sum(outcome.parting is None for outcome in outcomes),
        "holes": len(outcomes),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(document, indent=1) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Export, compare, print the table, write the JSON; 1 if too few outputs are the same."""
    args = _parser().parse_args(argv)
    console = Console(soft_wrap=True)
    holes = read_holes(args.prompts)
    with tempfile.TemporaryDirectory(prefix="midfill-export-") as folder:
        file = Path(folder) / "model.gguf"
        checkpoint = open_checkpoint(args.model, args.adapter)
        export(checkpoint, Target(file, "gguf", args.dtype), lambda _phase, _done, _total: None)
        runtime = open_runtime(
            EngineConfig(args.model, args.adapter, dtype=DTYPES[args.dtype], threads=args.threads)
        )
        runtime.close()  # the worker thread; the parts stay
        use_threads(runtime.machine.model, args.threads or 1)
        with llama_cpp(file, args.threads) as complete:
            outcomes = [
                compare(runtime.machine, complete, hole, args)
                for hole in track(holes, "holes", console=Console(stderr=True))
            ]
    same = sum(outcome.parting is None for outcome in outcomes)
    console.print(as_table(outcomes))
    console.print(f"{same} of {len(outcomes)} are the same; {args.at_least} are wanted")
    written = sum(outcome.tokens > 0 for outcome in outcomes)
    console.print(f"{written} outputs have a token, all together {sum(o.tokens for o in outcomes)}")
    if args.json:
        args.json.write_text(as_json(outcomes, args), encoding="utf-8")
    return 0 if same >= args.at_least else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=default_name(), help="(default: %(default)s)")
    parser.add_argument("--adapter", metavar="FOLDER", help="a LoRA adapter to lay over it")
    parser.add_argument(
        "--prompts", type=Path, default=PROMPTS, help="pieces of code (default: %(default)s)"
    )
    parser.add_argument(
        "--order",
        choices=[order.value for order in Order],
        default=Order.AUTO.value,
        help="(default: %(default)s, the one that the model does better)",
    )
    parser.add_argument(
        "--dtype", choices=DTYPES, default="bf16", help="of both engines (default: %(default)s)"
    )
    parser.add_argument("--max-tokens", type=int, default=32, help="(default: %(default)s)")
    parser.add_argument("--at-least", type=int, default=18, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    return parser


def _hole(language: str, lines: list[str]) -> LineHole:
    """The rest of a line behind its first word: without one, many outputs are empty."""
    middle = len(lines) // 2
    line = lines[middle]
    word = re.match(r"\s*\S+ ?", line)
    cut = word.end() if word else 0
    before, behind = "\n".join(lines[:middle]), "\n".join(lines[middle + 1 :])
    return LineHole(language, f"{before}\n{line[:cut]}", f"\n{behind}\n")


def _until(tokens: list[int], end_ids: frozenset[int]) -> list[int]:
    end = next((n for n, token in enumerate(tokens) if token in end_ids), len(tokens))
    return tokens[:end]


def _parted(parting: Parting) -> str:
    return (
        f"no: token {parting.position} is {parting.ours}, theirs {parting.theirs},"
        f" gap {parting.gap:.3f}"
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    raise SystemExit(main())
