"""One attempt of several at a completion: what it wrote, and where others may fork from it.

A completion is written by *passes*: a generator yields what the model is to read next and gets the
logits behind it, so that one pass of the model can serve several attempts.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch

from midfill.engine.api import GeneratedToken
from midfill.engine.model.logits import likeliest, log_total

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midfill.engine.api import CompletionChunk, CompletionStats
    from midfill.engine.model.token_tree import TokenText

_T = TypeVar("_T")

FORKS = 4
"""Tokens of a place that are looked at, the one that is taken included."""

Passes: TypeAlias = Generator[list[int], torch.Tensor, _T]
"""Yields what the model is to read next, and wants the logits behind each token, (T, V)."""


def run_alone(passes: Passes[_T], text: TokenText) -> _T:
    """Have one text read it all."""
    try:
        ids = next(passes)
        while True:
            ids = passes.send(text.logits(text.read(ids)))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


class Fork(NamedTuple):
    """Another token that a completion could have had."""

    logprob: float
    """Log-probability of the tokens before it and itself."""
    place: int
    """How many tokens stand before it."""
    token: GeneratedToken


@dataclass(slots=True)
class Attempt:
    """A completion that is one of several, and so is not sent."""

    floor: float = -math.inf
    """It is given up when the logarithm of its probability is less."""
    chunks: list[CompletionChunk] = field(default_factory=list)
    """What would have been sent."""
    forks: list[Fork] = field(default_factory=list)
    """Behind what it begins with: the likeliest of each place, if not under the floor."""

    @property
    def text(self) -> str:
        """What all chunks say."""
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def tokens(self) -> tuple[GeneratedToken, ...]:
        """The tokens of all chunks."""
        return tuple(token for chunk in self.chunks for token in chunk.tokens)

    @property
    def logprob(self) -> float:
        """Log-probability of all tokens."""
        return sum(token.logprob for token in self.tokens)

    @property
    def stats(self) -> CompletionStats:
        """What the last chunk tells."""
        stats = self.chunks[-1].stats
        assert stats is not None, "the last chunk of a completion has its stats"
        return stats

    def note_forks(
        self,
        row: NDArray[np.float32],
        allowed: NDArray[np.int64] | None,
        taken: int,
        before: tuple[int, float],
    ) -> None:
        """Note the likeliest tokens of a place that are not taken.

        Args:
            row: The place's logits, (V,).
            allowed: Ids to choose from, (n,); None: all.
            taken: The id that is taken; -1: the text ends here.
            before: How many tokens stand before the place, and their log-probability.
        """
        place, logprob_before = before
        ids = np.arange(len(row)) if allowed is None else allowed
        total = log_total(row)
        for token_id in ids[likeliest(row[ids], FORKS)].tolist():
            token = GeneratedToken(token_id, float(row[token_id]) - total)
            logprob = logprob_before + token.logprob
            if token_id != taken and logprob > self.floor:
                self.forks.append(Fork(logprob, place, token))
