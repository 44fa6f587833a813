"""The files that a recipe's results go to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from midfill.recipes.options import Option

_HEADING = "output; a table goes to standard output"


@dataclass(frozen=True, slots=True)
class Output:
    """The files of one run; None: it is not written."""

    json: Annotated[
        Path | None, Option("all results, as JSON", "FILE.json", flag="--out", group=_HEADING)
    ] = None
    plot: Annotated[Path | None, Option("a plot; .png, .pdf too", "FILE.svg")] = None
