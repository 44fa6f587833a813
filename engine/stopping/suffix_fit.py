"""Where a line ends, does the middle end too? How well the suffix would follow is a sign of it.

Suffix first, prefix and middle are one running text to the model, and a small model hardly learns
where that text meets the suffix which it has read long before. What it knows well is how text goes
on. So the suffix's first tokens are run through it as if they came next. The least of

    logit of the token - greatest logit of its place

over them is the *gap*: 0 if the model itself would write the suffix now, and far below where the
suffix would make no sense yet. The gap and the model's own log-probability of the end make the odds
that the middle ends, by logistic regression. Its weights are fitted on held-out files, where the
true middles are known (``recipes.fitting.suffix_fit``; figures: docs/results.md). It costs a pass
of some tokens for each line that is written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch

from midfill.engine.model.logits import probability

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from midfill.engine.model.token_tree import TokenText
    from midfill.engine.tokens.tokenizer import Tokenizer

FIT_TOKENS = 8
"""Tokens of the suffix, at most; more did not tell more."""


_LEAST = 1e-9
"""Taken for the probability of an end that is less."""


class EndEvidence(NamedTuple):
    """What speaks for the end of a middle at one place."""

    end: float
    """Natural logarithm of the probability that the model gives it."""
    gap: float
    """How far the model is from writing the suffix itself: 0 or less."""


@dataclass(frozen=True, slots=True)
class EndWeights:
    """Weights of the logistic regression on EndEvidence."""

    bias: float
    end: float
    gap: float

    def log_odds(self, evidence: EndEvidence) -> float:
        """Above 0 the middle ends."""
        return self.bias + self.end * evidence.end + self.gap * evidence.gap


class SuffixFit:
    """The place where a suffix is to follow a middle that ends with a line.

    Args:
        tokenizer: The model's.
        suffix: The text behind the hole.
        is_whole_line: The hole is a line of its own, so that a line end comes before the suffix.
    """

    def __init__(self, tokenizer: Tokenizer, suffix: str, *, is_whole_line: bool) -> None:
        text = "\n" + suffix if is_whole_line else suffix
        begin, line_end, below = text.partition("\n")
        filled = below.lstrip()
        if begin.strip() or not filled:  # the suffix goes on in the cursor's line, or is blank
            below = filled = line_end = ""
        below = below[: len(below) - len(filled)] + filled.partition("\n")[0].rstrip()
        self._before_line_end = tokenizer.encode(line_end + below)[:FIT_TOKENS]
        self._behind_line_end = tokenizer.encode(below)[:FIT_TOKENS]

    def ids(self, *, behind_line_end: bool) -> list[int]:
        """What must follow a line, or its line end; nothing where that cannot be told."""
        return self._behind_line_end if behind_line_end else self._before_line_end


def read_evidence(
    text: TokenText, logits: torch.Tensor, suffix: Sequence[int], end_ids: Collection[int]
) -> EndEvidence:
    """What the model says of an end here.

    Args:
        text: What was read; it is left with the tokens that it has.
        logits: Of what follows them, (V,).
        suffix: The tokens that would follow, at least one.
        end_ids: Those that end a middle.
    """
    length, rows = text.length, logits[None]
    if len(suffix) > 1:
        rows = torch.cat([rows, text.logits(text.read(suffix[:-1]))])
        text.cut(length)
    wanted = rows.gather(1, torch.tensor(suffix, device=rows.device)[:, None])[:, 0]
    end = math.log(max(probability(logits, end_ids), _LEAST))
    return EndEvidence(end, float((wanted - rows.amax(1)).min()))
