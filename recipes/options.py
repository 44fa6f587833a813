"""How a field of a settings class is asked for on a command line.

A recipe's settings are a frozen dataclass in a light module of its room; ``midfill.cli`` makes the
arguments from its annotations, so that a name, a default and a meaning stand once::

    rounds: Annotated[int, Option("rounds of all holes", metavar="N", parse=count)] = 3

Invariant: this module and the settings import the engine's boundary and Python's library only.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def distinct(values: Sequence[Any]) -> tuple[Any, ...]:
    """Each value once, in the order of its first place."""
    return tuple(dict.fromkeys(values))


def ascending(values: Sequence[Any]) -> tuple[Any, ...]:
    """Each value once, the least first."""
    return tuple(sorted(set(values)))


def count(text: str) -> int:
    """A whole number from 1, as an argparse type."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


@dataclass(frozen=True, slots=True)
class Option:
    """What the annotation of a field says to the command line."""

    meaning: str = ""
    """The help text, without the default."""
    metavar: str | None = None
    """The name of the value in the help text; None: the field's, in capitals, or the choices."""
    flag: str | None = None
    """The name on the command line; None: the field's, with dashes; empty: it is positional."""
    group: str = ""
    """The heading of a group that begins here; empty: the group of the field before."""
    default: str | None = None
    """The default as the help tells it; None: by its value; empty: the meaning tells it."""
    parse: Callable[[str], Any] | None = None
    """An argparse type for a value, or an element; None: the annotation's."""
    nargs: str = "+"
    """How many elements a tuple has, as in argparse."""
    collect: Callable[[Sequence[Any]], tuple[Any, ...]] = tuple
    """What makes a tuple of the elements."""
