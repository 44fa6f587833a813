"""What ``midfill eval infill``, ``repo`` and ``code`` are asked, and by which options."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product, starmap
from pathlib import Path
from typing import Annotated

from midfill.engine.api import CompletionRequest, Order, Sampling, Scope
from midfill.engine.errors import InvalidRequestError
from midfill.recipes.options import Option, count, distinct
from midfill.recipes.reports.statistics import pass_at_k
from midfill.recipes.sandbox.limits import SandboxLimits

_REQUEST = CompletionRequest(prefix="")

Data = Annotated[Path, Option("JSON lines, gzipped or not", "FILE", group="problems")]
Limit = Annotated[int | None, Option("problems at most, drawn by seed", "N", parse=count)]
Seed = Annotated[int, Option("of what is drawn", "N")]
MaxTokens = Annotated[int, Option("of a completion, at most", "N")]
Workers = Annotated[int, Option("processes", "N", group="the sandbox", parse=count)]


@dataclass(frozen=True, slots=True)
class Cell:
    """One way to ask."""

    order: Order
    heal: bool
    tries: int = 1

    @property
    def name(self) -> str:
        """The cell as tables and journals have it."""
        best = f", best of {self.tries}" if self.tries > 1 else ""
        return f"{self.order.value}, {'healed' if self.heal else 'not healed'}{best}"


@dataclass(frozen=True, slots=True)
class InfillSettings:
    """What is filled, how, and with which limits."""

    data: Data
    limit: Limit = None
    seed: Seed = 0
    cut_words: Annotated[
        bool,
        Option("move the cursor to the middle of a word of the missing line (single-line data)"),
    ] = False
    orders: Annotated[
        tuple[Order, ...],
        Option(
            "of prefix and suffix in the prompt",
            flag="--order",
            group="how the model is asked; each combination is one cell",
            collect=distinct,
        ),
    ] = (_REQUEST.order,)
    healing: Annotated[
        tuple[bool, ...], Option("token healing", flag="--heal", collect=distinct)
    ] = (True,)
    tries: Annotated[
        tuple[int, ...],
        Option("completions of which the best is taken", "N", parse=count, collect=distinct),
    ] = (_REQUEST.tries,)
    scope: Annotated[Scope, Option("how far a completion may reach")] = _REQUEST.scope
    raw: Annotated[bool, Option("the engine's text, without what is done to show it")] = False
    max_tokens: MaxTokens = _REQUEST.max_tokens
    workers: Workers = 1
    limits: SandboxLimits = field(default_factory=SandboxLimits)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Each combination of order, healing and tries."""
        return tuple(starmap(Cell, product(self.orders, self.healing, self.tries)))


@dataclass(frozen=True, slots=True)
class RepoSettings:
    """The lines that are completed."""

    roots: Annotated[tuple[Path, ...], Option("the top of a repository", "PATH", flag="")]
    context_time_limit_ms: int
    points: Annotated[
        int, Option("lines of each repository, at most", "N", group="points", parse=count)
    ] = 100
    """Each with both kinds of middles."""
    seed: Seed = 0
    max_tokens: MaxTokens = 64


@dataclass(frozen=True, slots=True)
class CodeSettings:
    """What is written, how often, and with which limits."""

    data: Data
    limit: Limit = None
    seed: Seed = 0
    """Samples have seeds that follow from it, too."""
    samples: Annotated[
        int, Option("of each problem", "N", group="how the model is asked", parse=count)
    ] = 1
    ks: Annotated[
        tuple[int, ...], Option("of pass@k", "K", flag="--k", parse=count, collect=distinct)
    ] = (1,)
    temperature: Annotated[float, Option("0: greedy", "T")] = 0.0
    top_p: Annotated[float, Option("1: all", "P")] = Sampling().top_p
    heal: Annotated[bool, Option("keep the prompt's last tokens as is", flag="--no-heal")] = True
    max_tokens: MaxTokens = 512
    workers: Workers = 1
    limits: SandboxLimits = field(default_factory=SandboxLimits)

    def __post_init__(self) -> None:
        """Refuse what makes no estimate."""
        for k in self.ks:
            pass_at_k(self.samples, 0, k)
        if self.samples > 1 and self.temperature == 0:
            raise InvalidRequestError(
                f"samples is {self.samples} and temperature 0: all samples would be equal; "
                "take one sample, or a temperature over 0"
            )

    @property
    def sampling(self) -> Sampling:
        """The part that chooses tokens, but for a sample's seed."""
        return Sampling(temperature=self.temperature, top_p=self.top_p)
