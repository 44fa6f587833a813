"""``midfill eval``: what a model is worth, measured on problems, a repository or long texts.

The recipes in ``recipes/`` do the work; they are imported when their command runs.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midfill.engine.api import CompletionRequest, EngineConfig, Order, Sampling, Scope
from midfill.lsp_server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.cli.infill import EngineOpener

DONE = 0

_DEFAULT = CompletionRequest(prefix="")
_SANDBOX = """\
Generated programs run in a sandbox: an own process without network, with limits of time, memory and
file size, in a temporary folder. It stops slips, not attackers: run models that you do not trust in
a container. Results are kept beside --out in a .jsonl file, and a rerun goes on from there.
docs/evaluation.md says what each number means.
"""


def add_arguments(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], open_engine: EngineOpener
) -> None:
    """Add ``eval`` and its commands, each with ``run(args) -> exit code``."""
    evaluate = commands.add_parser(
        "eval", help="measure what a model is worth", description="Measure what a model is worth."
    )
    verbs = evaluate.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_infill(verbs, open_engine)
    _add_repo(verbs, open_engine)
    _add_code(verbs, open_engine)
    _add_long(verbs)


def _add_infill(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], open_engine: EngineOpener
) -> None:
    parser = _verb(
        verbs,
        "infill",
        "fill the holes of HumanEval infilling problems and run their tests",
        partial(run_infill, open_engine=open_engine),
        _SANDBOX,
    )
    group = parser.add_argument_group("problems")
    _add_data(group)
    group.add_argument(
        "--cut-words",
        action="store_true",
        help="move the cursor to the middle of a word of the missing line (single-line data)",
    )
    group = parser.add_argument_group("how the model is asked; each combination is one cell")
    group.add_argument(
        "--order",
        nargs="+",
        choices=[order.value for order in Order],
        default=[_DEFAULT.order.value],
        help="of prefix and suffix in the prompt (default: %(default)s)",
    )
    group.add_argument(
        "--heal",
        nargs="+",
        choices=("on", "off"),
        default=["on"],
        help="token healing (default: %(default)s)",
    )
    group.add_argument(
        "--tries",
        nargs="+",
        type=_count,
        default=[_DEFAULT.tries],
        metavar="N",
        help="completions of which the best is taken (default: %(default)s)",
    )
    group.add_argument(
        "--scope",
        choices=[scope.value for scope in Scope],
        default=_DEFAULT.scope.value,
        help="how far a completion may reach (default: %(default)s)",
    )
    group.add_argument(
        "--raw", action="store_true", help="the engine's text, without what is done to show it"
    )
    _add_max_tokens(group, _DEFAULT.max_tokens)
    _add_sandbox(parser)


def run_infill(args: argparse.Namespace, open_engine: EngineOpener) -> int:
    """Run ``recipes/evaluation/infill.py``."""
    from midfill.recipes.evaluation import infill
    from midfill.recipes.reports.journal import Output

    cells = tuple(
        infill.Cell(Order(order), heal == "on", tries)
        for order in dict.fromkeys(args.order)
        for heal in dict.fromkeys(args.heal)
        for tries in dict.fromkeys(args.tries)
    )
    settings = infill.Settings(
        data=args.data,
        cells=cells,
        limit=args.limit,
        seed=args.seed,
        cut_words=args.cut_words,
        scope=Scope(args.scope),
        max_tokens=args.max_tokens,
        raw=args.raw,
        workers=args.workers,
        limits=_limits(args),
    )
    infill.run(settings, engine_config(args), open_engine, Output(args.out, args.plot))
    return DONE


def _add_repo(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], open_engine: EngineOpener
) -> None:
    parser = _verb(
        verbs,
        "repo",
        "complete lines that need other files of their repository, with and without context",
        partial(run_repo, open_engine=open_engine),
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="the top of a repository"
    )
    group = parser.add_argument_group("points")
    group.add_argument(
        "--points",
        type=_count,
        default=100,
        metavar="N",
        help="lines of each repository (default: 100)",
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")
    _add_max_tokens(group, 64)


def run_repo(args: argparse.Namespace, open_engine: EngineOpener) -> int:
    """Run ``recipes/evaluation/repo.py``."""
    from midfill.cli.request import CONTEXT_TIME_LIMIT_MS
    from midfill.recipes.evaluation import repo
    from midfill.recipes.reports.journal import Output

    settings = repo.Settings(
        roots=tuple(args.paths),
        points=args.points,
        seed=args.seed,
        max_tokens=args.max_tokens,
        context_time_limit_ms=CONTEXT_TIME_LIMIT_MS,
    )
    repo.run(settings, engine_config(args), open_engine, Output(args.out, args.plot))
    return DONE


def _add_code(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], open_engine: EngineOpener
) -> None:
    parser = _verb(
        verbs,
        "code",
        "write the functions of HumanEval or MBPP problems and run their tests",
        partial(run_code, open_engine=open_engine),
        _SANDBOX,
    )
    _add_data(parser.add_argument_group("problems"))
    group = parser.add_argument_group("how the model is asked")
    group.add_argument(
        "--samples", type=_count, default=1, metavar="N", help="of each problem (default: 1)"
    )
    group.add_argument(
        "--k", type=_count, nargs="+", default=[1], metavar="K", help="of pass@k (default: 1)"
    )
    group.add_argument(
        "--temperature", type=float, default=0.0, metavar="T", help="0: greedy (default)"
    )
    group.add_argument(
        "--top-p", type=float, default=_DEFAULT.sampling.top_p, metavar="P", help="1: all (default)"
    )
    group.add_argument("--no-heal", action="store_true", help="keep the prompt's last tokens as is")
    _add_max_tokens(group, 512)
    _add_sandbox(parser)


def run_code(args: argparse.Namespace, open_engine: EngineOpener) -> int:
    """Run ``recipes/evaluation/code.py``."""
    from midfill.recipes.evaluation import code
    from midfill.recipes.reports.journal import Output

    settings = code.Settings(
        data=args.data,
        limit=args.limit,
        seed=args.seed,
        samples=args.samples,
        ks=tuple(dict.fromkeys(args.k)),
        sampling=Sampling(temperature=args.temperature, top_p=args.top_p),
        heal=not args.no_heal,
        max_tokens=args.max_tokens,
        workers=args.workers,
        limits=_limits(args),
    )
    code.run(settings, engine_config(args), open_engine, Output(args.out, args.plot))
    return DONE


def _add_long(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _verb(
        verbs, "long", "measure perplexity by position, and look for keys in long texts", run_long
    )
    parser.add_argument("--against", metavar="NAME|PATH", help="a second model, on the same texts")
    parser.add_argument("--against-adapter", metavar="PATH", help="the second model's")
    group = parser.add_argument_group("texts")
    group.add_argument(
        "--text",
        type=Path,
        nargs="+",
        required=True,
        metavar="PATH",
        help="files, folders (each one document), or corpora: JSON lines with text, repo and path",
    )
    group.add_argument("--suffix", default=".py", help="of the files that count (default: .py)")
    group.add_argument("--separate", action="store_true", help="each file is a document")
    _add_drawing(group, "documents")
    group.add_argument(
        "--positions",
        type=int,
        default=16384,
        metavar="N",
        help="tokens of a document that are read; 0: no perplexity (default: %(default)s)",
    )
    group.add_argument(
        "--contexts",
        type=int,
        nargs="+",
        default=[],
        metavar="N",
        help="read the last 512 of the positions again, behind this many tokens before them only",
    )
    group = parser.add_argument_group("key retrieval")
    group.add_argument(
        "--keys", type=_count, nargs="+", default=[], metavar="TOKENS", help="lengths of prompts"
    )
    group.add_argument(
        "--depths",
        type=float,
        nargs="+",
        default=[0.0, 0.25, 0.5, 0.75, 1.0],
        metavar="D",
        help="of the key, from 0 to 1 (default: quarters)",
    )
    group.add_argument("--trials", type=_count, default=4, metavar="N", help="(default: 4)")
    group.add_argument("--key-plot", type=Path, metavar="FILE.svg", help="the heat map")


def run_long(args: argparse.Namespace) -> int:
    """Run ``recipes/long_context/run.py``."""
    from midfill.recipes.long_context import run as long
    from midfill.recipes.long_context.report import Output

    settings = long.Settings(
        texts=tuple(args.text),
        suffix=args.suffix,
        separate=args.separate,
        limit=args.limit,
        seed=args.seed,
        positions=args.positions,
        contexts=tuple(sorted(set(args.contexts))),
        key_lengths=tuple(dict.fromkeys(args.keys)),
        key_depths=tuple(dict.fromkeys(args.depths)),
        key_trials=args.trials,
    )
    configs = [engine_config(args)]
    if args.against or args.against_adapter:
        model = args.against or configs[0].model
        configs.append(replace(configs[0], model=model, adapter=args.against_adapter))
    long.run(settings, configs, Output(args.out, args.plot, args.key_plot))
    return DONE


def engine_config(args: argparse.Namespace) -> EngineConfig:
    """How to open the model that the options name; the defaults are the language server's."""
    asked: dict[str, Any] = {
        name: value
        for name in ("model", "adapter", "dialect", "dtype", "device", "threads")
        if (value := getattr(args, name, None)) is not None
    }
    return EngineConfig(**({"model": Settings().model} | asked))


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    help_line: str,
    run: Callable[[argparse.Namespace], int],
    epilog: str = "",
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=help_line,
        description=f"{help_line.capitalize()}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    group = parser.add_argument_group("the model")
    group.add_argument("--model", metavar="NAME|PATH", help="see midfill models list")
    group.add_argument("--adapter", metavar="PATH", help="a LoRA adapter's folder, applied")
    group.add_argument("--dialect", metavar="NAME", help="prompt layout; default: the model's")
    group.add_argument("--dtype", help="auto, bf16, fp32, int8 or int4 (default: auto)")
    group.add_argument("--device", help="auto, cpu, cuda or mps (default: auto)")
    group.add_argument("--threads", type=int, metavar="N", help="default: one for each core")
    group = parser.add_argument_group("output; a table goes to standard output")
    group.add_argument("--out", type=Path, metavar="FILE.json", help="all results, as JSON")
    group.add_argument("--plot", type=Path, metavar="FILE.svg", help="a plot; .png, .pdf too")
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data", type=Path, required=True, metavar="FILE", help="JSON lines, gzipped or not"
    )
    _add_drawing(group, "problems")


def _add_drawing(group: argparse._ArgumentGroup, what: str) -> None:
    group.add_argument("--limit", type=_count, metavar="N", help=f"{what} at most, drawn by seed")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="(default: %(default)s)")


def _add_max_tokens(group: argparse._ArgumentGroup, default: int) -> None:
    group.add_argument(
        "--max-tokens", type=int, default=default, metavar="N", help="(default: %(default)s)"
    )


def _add_sandbox(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the sandbox")
    group.add_argument("--workers", type=_count, default=1, metavar="N", help="(default: 1)")
    group.add_argument("--cpu-seconds", type=int, metavar="N", help="of a program, at most")
    group.add_argument("--wall-seconds", type=float, metavar="N", help="the same by the clock")
    group.add_argument("--memory-mib", type=int, metavar="N", help="of address space, at most")


def _limits(args: argparse.Namespace) -> Any:
    from midfill.recipes.sandbox.pool import Limits

    asked = {
        "cpu_seconds": args.cpu_seconds,
        "wall_seconds": args.wall_seconds,
        "memory_bytes": args.memory_mib and args.memory_mib << 20,
    }
    return Limits(**{name: value for name, value in asked.items() if value is not None})


def _count(text: str) -> int:
    """A whole number from 1, as an argparse type."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)
