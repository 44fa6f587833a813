"""``midfill eval``: what a model is worth, measured on problems, a repository or long texts.

The recipes in ``recipes/`` do the work; they are imported when their command runs.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from midfill.cli.options.arguments import add_settings, read_settings
from midfill.engine.api import EngineConfig
from midfill.lsp_server.settings import Settings
from midfill.recipes.evaluation.settings import CodeSettings, InfillSettings, RepoSettings
from midfill.recipes.long_context.settings import LongSettings
from midfill.recipes.reports.output import Output

if TYPE_CHECKING:
    from midfill.cli.infill import EngineOpener

DONE = 0

_SANDBOX = """\
Generated programs run in a sandbox: an own process without network, with limits of time, memory and
file size, in a temporary folder, with no other file of yours in sight. What this system does not
grant of it is said at the start, and in the report. Results are kept beside --out in a .jsonl file,
and a rerun goes on from there.
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
    infill = "fill the holes of HumanEval infilling problems and run their tests"
    repo = "complete lines that need other files of their repository, with and without context"
    code = "write the functions of HumanEval or MBPP problems and run their tests"
    long = "measure perplexity by position, and look for keys in long texts"
    for name, help_line, settings, run, epilog in (
        ("infill", infill, InfillSettings, partial(run_infill, open_engine=open_engine), _SANDBOX),
        ("repo", repo, RepoSettings, partial(run_repo, open_engine=open_engine), ""),
        ("code", code, CodeSettings, partial(run_code, open_engine=open_engine), _SANDBOX),
        ("long", long, LongSettings, run_long, ""),
    ):
        parser = verbs.add_parser(
            name,
            help=help_line,
            description=f"{help_line.capitalize()}.",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(run=run)
        _add_model(parser)
        add_settings(parser, settings)
        add_settings(parser, Output)


def run_infill(args: argparse.Namespace, open_engine: EngineOpener) -> int:
    """Run ``recipes/evaluation/infill.py``."""
    from midfill.recipes.evaluation import infill

    settings, output = read_settings(InfillSettings, args), read_settings(Output, args)
    infill.run(settings, engine_config(args), open_engine, output)
    return DONE


def run_repo(args: argparse.Namespace, open_engine: EngineOpener) -> int:
    """Run ``recipes/evaluation/repo.py``."""
    from midfill.cli.request import CONTEXT_TIME_LIMIT_MS
    from midfill.recipes.evaluation import repo

    settings = read_settings(RepoSettings, args, context_time_limit_ms=CONTEXT_TIME_LIMIT_MS)
    repo.run(settings, engine_config(args), open_engine, read_settings(Output, args))
    return DONE


def run_code(args: argparse.Namespace, open_engine: EngineOpener) -> int:
    """Run ``recipes/evaluation/code.py``."""
    from midfill.recipes.evaluation import code

    settings, output = read_settings(CodeSettings, args), read_settings(Output, args)
    code.run(settings, engine_config(args), open_engine, output)
    return DONE


def run_long(args: argparse.Namespace) -> int:
    """Run ``recipes/long_context/run.py``."""
    from midfill.recipes.long_context import run as long

    settings, output = read_settings(LongSettings, args), read_settings(Output, args)
    long.run(settings, engine_config(args), output)
    return DONE


def engine_config(args: argparse.Namespace) -> EngineConfig:
    """The model that the options name, to be opened; the defaults are the language server's."""
    asked: dict[str, Any] = {
        name: value
        for name in ("model", "adapter", "dialect", "dtype", "device", "threads")
        if (value := getattr(args, name)) is not None
    }
    return EngineConfig(**({"model": Settings().model} | asked))


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the model")
    group.add_argument("--model", metavar="NAME|PATH", help="see midfill models list")
    group.add_argument("--adapter", metavar="PATH", help="a LoRA adapter's folder, applied")
    group.add_argument("--dialect", metavar="NAME", help="prompt layout; default: the model's")
    group.add_argument("--dtype", help="auto, bf16, fp32, int8 or int4 (default: auto)")
    group.add_argument("--device", help="auto, cpu, cuda or mps (default: auto)")
    group.add_argument("--threads", type=int, metavar="N", help="default: one for each core")
