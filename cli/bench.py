"""``midfill bench``: how fast it is on this machine, alone or beside llama.cpp.

The recipes in ``recipes/`` do the work; they are imported when their command runs.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from midfill.cli.options.arguments import add_settings, read_settings
from midfill.recipes.benchmarks.settings import DraftBenchSettings, EngineBenchSettings
from midfill.recipes.keystrokes.settings import KeystrokeSettings, SoakSettings, StartupSettings
from midfill.recipes.reports.output import Output

if TYPE_CHECKING:
    import argparse

DONE = 0
_EPILOG = "docs/benchmarks.md says what each number means, and what was measured."
_VERBS: tuple[tuple[str, str, str, type[Any]], ...] = (
    (
        "engine",
        "benchmarks.engine",
        "measure how fast prompts are read and tokens written",
        EngineBenchSettings,
    ),
    (
        "drafts",
        "benchmarks.drafts",
        "fill holes in real code with drafted tokens and without",
        DraftBenchSettings,
    ),
    (
        "keystrokes",
        "keystrokes.run",
        "replay editing sessions through the language server",
        KeystrokeSettings,
    ),
    (
        "startup",
        "keystrokes.startup",
        "measure how soon the language server answers",
        StartupSettings,
    ),
    (
        "soak",
        "keystrokes.soak",
        "type for an hour, and see whether the language server grows",
        SoakSettings,
    ),
)
"""Name, recipe, help line and settings of each command."""


def add_arguments(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``bench`` and its commands, each with ``run(args) -> exit code``."""
    bench = commands.add_parser(
        "bench", help="measure how fast it is", description="Measure how fast midfill is here."
    )
    verbs = bench.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, recipe, help_line, settings in _VERBS:
        description = f"{help_line.capitalize()}."
        parser = verbs.add_parser(name, help=help_line, description=description, epilog=_EPILOG)
        add_settings(parser, settings)
        add_settings(parser, Output)
        parser.set_defaults(run=partial(run, recipe, settings))


def run(recipe: str, settings: type[Any], args: argparse.Namespace) -> int:
    """Run a recipe with the settings that the options give."""
    asked = read_settings(settings, args), read_settings(Output, args)
    import_module(f"midfill.recipes.{recipe}").run(*asked)
    return DONE
