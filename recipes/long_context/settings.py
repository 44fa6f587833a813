"""What ``midfill eval long`` is asked, and by which options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.evaluation.settings import Seed
from midfill.recipes.options import Option, ascending, count, distinct

TAIL = 512
"""Tokens that are read behind contexts of several lengths."""


@dataclass(frozen=True, slots=True)
class LongSettings:
    """The texts that are read, how far, and the keys that are hidden in them."""

    texts: Annotated[
        tuple[Path, ...],
        Option(
            "files, folders (each one document), or corpora: JSON lines with text, repo and path",
            "PATH",
            flag="--text",
            group="texts",
        ),
    ]
    suffix: Annotated[str, Option("of the files that count")] = ".py"
    separate: Annotated[bool, Option("each file is a document")] = False
    limit: Annotated[int | None, Option("documents at most, drawn by seed", "N", parse=count)] = (
        None
    )
    seed: Seed = 0
    positions: Annotated[
        int, Option("tokens of a document that are read; 0: no perplexity", "N")
    ] = 16384
    contexts: Annotated[
        tuple[int, ...],
        Option(
            f"read the last {TAIL} of the positions again, behind only so many tokens before them",
            "N",
            collect=ascending,
        ),
    ] = ()
    key_lengths: Annotated[
        tuple[int, ...],
        Option(
            "lengths of prompts",
            "TOKENS",
            flag="--keys",
            group="key retrieval",
            parse=count,
            collect=distinct,
        ),
    ] = ()
    key_depths: Annotated[
        tuple[float, ...],
        Option("of the key, from 0 to 1", "D", flag="--depths", collect=distinct),
    ] = (0.0, 0.25, 0.5, 0.75, 1.0)
    key_trials: Annotated[
        int, Option("of each length and depth", "N", flag="--trials", parse=count)
    ] = 4
    key_plot: Annotated[Path | None, Option("the heat map", "FILE.svg")] = None
    against: Annotated[
        str | None, Option("a second model, on the same texts", "NAME|PATH", group="beside it")
    ] = None
    against_adapter: Annotated[str | None, Option("the second model's", "PATH")] = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if self.positions < 0 or (self.positions == 0 and not self.key_lengths):
            raise InvalidRequestError(
                f"positions is {self.positions}; it must be 1 or more, or 0 together with --keys"
            )
        if not all(0 <= context <= self.positions - TAIL for context in self.contexts):
            raise InvalidRequestError(
                f"contexts are {self.contexts}; each must be 0 to {self.positions - TAIL}, "
                f"the positions less the {TAIL} tokens behind the context"
            )
        if not all(0 <= depth <= 1 for depth in self.key_depths):
            raise InvalidRequestError(f"depths are {self.key_depths}; each must be 0 to 1")
