"""Where a line ends, does the middle end too? How well the suffix would follow is a sign of it.

Suffix first, prefix and middle are one running text to the model, and a small model hardly learns
where that text meets the suffix which it has read long before. What it knows well is how text goes
on. So the suffix's first tokens are run through it as if they came next. The least of

    logit of the token - greatest logit of its place

over them is the *gap*: 0 if the model itself would write the suffix now, and far below where the
suffix would make no sense yet. The gap and the model's own log-probability of the end make the odds
that the middle ends, by logistic regression. Its weights are fitted on held-out files, where the
true middles are known (``recipes.join_fit``; figures: docs/results.md). It costs a pass of some
tokens for each line that is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.engine.kv_cache import Slot
    from midfill.engine.model import Decoder
    from midfill.engine.tokenizer import Tokenizer

JOINED_TOKENS = 8
"""Of the suffix, at most; more did not tell more."""


@dataclass(frozen=True, slots=True)
class JoinWeights:
    """Of the logistic regression; the log-odds that a middle ends are their weighted sum."""

    bias: float
    end: float
    """Times the natural logarithm of the probability that the model gives the end."""
    gap: float

    def log_odds(self, end: float, gap: float) -> float:
        """Above 0 the middle ends."""
        return self.bias + self.end * end + self.gap * gap


class Joint:
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
        self._before_line_end = tokenizer.encode(line_end + below)[:JOINED_TOKENS]
        self._behind_line_end = tokenizer.encode(below)[:JOINED_TOKENS]

    def ids(self, *, behind_line_end: bool) -> list[int]:
        """What must follow a line, or its line end; nothing where that cannot be told."""
        return self._behind_line_end if behind_line_end else self._before_line_end


def gap(model: Decoder, logits: torch.Tensor, slot: Slot, ids: Sequence[int]) -> float:
    """How far the model is from writing these tokens itself: 0 or less.

    Args:
        model: The decoder.
        logits: Of what follows the slot's tokens, (V,).
        slot: The sequence; it is left with the tokens that it has.
        ids: At least one.
    """
    length = slot.length
    rows = logits[None]
    if len(ids) > 1:
        rows = torch.cat([rows, model.logits(model.forward(ids[:-1], slot))])
        slot.cut(length)
    wanted = rows.gather(1, torch.tensor(ids, device=rows.device)[:, None])[:, 0]
    return float((wanted - rows.amax(1)).min())
