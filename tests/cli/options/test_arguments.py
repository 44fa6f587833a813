"""Arguments from annotations: what a settings class says is what the command line understands."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pytest

from midfill.cli.options.arguments import add_settings, read_settings
from midfill.engine.api import Order
from midfill.recipes.benchmarks.settings import DraftBenchSettings, EngineBenchSettings
from midfill.recipes.evaluation.settings import Cell, CodeSettings, InfillSettings, RepoSettings
from midfill.recipes.keystrokes.settings import KeystrokeSettings, StartupSettings
from midfill.recipes.long_context.settings import LongSettings
from midfill.recipes.options import Option, ascending, count, distinct
from midfill.recipes.reports.output import Output
from midfill.recipes.sandbox.limits import SandboxLimits

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Walls:
    """Nested settings."""

    height: Annotated[float, Option("of a wall", "M")] = 2.5


@dataclass(frozen=True, slots=True)
class House:
    """One field of each kind."""

    doors: Annotated[tuple[int, ...], Option("widths", "CM", flag="", parse=count)]
    colour: str
    """No argument: the caller knows it."""
    name: Annotated[str, Option("on the door", group="people")] = "Ada"
    guests: Annotated[int | None, Option("at most", "N")] = None
    order: Annotated[Order, Option("of rooms")] = Order.AUTO
    orders: Annotated[tuple[Order, ...], Option(collect=distinct)] = (Order.PSM, Order.SPM)
    lit: Annotated[tuple[bool, ...], Option("lamps")] = (True, False)
    has_roof: Annotated[bool, Option("leave it open", flag="--no-roof")] = True
    has_garden: Annotated[bool, Option("a garden, too")] = False
    years: Annotated[tuple[int, ...], Option("of repairs", nargs="*", collect=ascending)] = ()
    plan: Annotated[Path | None, Option("a drawing", default="none")] = None
    walls: Walls = field(default_factory=Walls)


def parse(words: str) -> House:
    """The house that the words describe."""
    return read_settings(House, parser_of(House).parse_args(words.split()), colour="red")


def parser_of(cls: type) -> ArgumentParser:
    """A parser with the arguments of a class."""
    parser = ArgumentParser(prog="build")
    add_settings(parser, cls)
    return parser


def test_what_is_not_given_is_the_default_of_the_class() -> None:
    """An element of a tuple is converted like a value."""
    assert parse("80 90") == House((80, 90), "red")


def test_every_kind_of_field_is_read() -> None:
    """Words of several are collected as the option says."""
    words = "80 --name Bo --guests 3 --order spm --orders psm psm --lit off on --no-roof"
    words += " --has-garden --years 1999 1950 1999 --plan a.svg --height 3"
    assert parse(words) == House(
        doors=(80,),
        colour="red",
        name="Bo",
        guests=3,
        order=Order.SPM,
        orders=(Order.PSM,),
        lit=(False, True),
        has_roof=False,
        has_garden=True,
        years=(1950, 1999),
        plan=Path("a.svg"),
        walls=Walls(3.0),
    )


def test_the_help_tells_meanings_and_defaults() -> None:
    """In the words of the command line; a switch has none."""
    told = parser_of(House).format_help()
    assert "people:" in told
    for line in (
        "on the door (default: Ada)",
        "of rooms (default: auto)",
        "(default: psm spm)",
        "lamps (default: on off)",
        "a drawing (default: none)",
        "of a wall (default: 2.5)",
    ):
        assert line in told
    assert "leave it open\n" in told
    assert "at most\n" in told


@pytest.mark.parametrize("words", ["", "0", "80 --order up", "80 --lit dim", "80 --guests many"])
def test_what_is_not_understood_ends_with_2(words: str) -> None:
    """As everything that argparse refuses."""
    with pytest.raises(SystemExit, match="2"):
        parse(words)


@pytest.mark.parametrize(
    ("cls", "required", "others"),
    [
        (DraftBenchSettings, [], {}),
        (EngineBenchSettings, [], {}),
        (KeystrokeSettings, [], {}),
        (StartupSettings, [], {}),
        (InfillSettings, ["--data", "d"], {"data": Path("d")}),
        (CodeSettings, ["--data", "d"], {"data": Path("d")}),
        (LongSettings, ["--text", "t"], {"texts": (Path("t"),)}),
        (RepoSettings, ["r"], {"roots": (Path("r"),), "context_time_limit_ms": 1}),
        (Output, [], {}),
    ],
)
def test_a_command_without_options_is_the_class_without_arguments(
    cls: type, required: Sequence[str], others: dict[str, object]
) -> None:
    """So that a default stands in one place."""
    args = parser_of(cls).parse_args(required)
    known = {n: v for n, v in others.items() if n == "context_time_limit_ms"}
    assert read_settings(cls, args, **known) == cls(**others)


def test_the_cells_of_an_evaluation_are_all_combinations() -> None:
    """Order, then healing, then tries; what is named twice counts once."""
    words = "--data d --order psm spm psm --heal off --tries 1 2 --memory-mib 3 --cpu-seconds 7"
    settings = read_settings(InfillSettings, parser_of(InfillSettings).parse_args(words.split()))
    assert settings.cells == (
        Cell(Order.PSM, heal=False, tries=1),
        Cell(Order.PSM, heal=False, tries=2),
        Cell(Order.SPM, heal=False, tries=1),
        Cell(Order.SPM, heal=False, tries=2),
    )
    assert settings.limits == SandboxLimits(cpu_seconds=7, memory_bytes=3 << 20)
