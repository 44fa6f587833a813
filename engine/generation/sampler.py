"""The choice of the next token, a function of logits, options and what was generated so far.

Sums and the greedy choice run in numpy: for one row of 50,000 logits torch needs ten times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from midfill.engine.api import GeneratedToken
from midfill.engine.model.logits import log_total

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from midfill.engine.api import Sampling


class Sampler:
    """Chooses tokens for one request; owns its generator, so a seed repeats a completion."""

    def __init__(self, sampling: Sampling, vocab_size: int) -> None:
        self._sampling = sampling
        self._vocab_size = vocab_size
        self._scratch = np.empty(vocab_size, np.float32)
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed)

    def choose(
        self,
        logits: torch.Tensor,
        history: Sequence[int],
        allowed: NDArray[np.int64] | None = None,
    ) -> GeneratedToken:
        """The next token.

        Args:
            logits: Raw, fp32, (V,). Padding rows beyond the vocabulary are never chosen.
            history: Ids generated so far, for the repetition penalty.
            allowed: Ids to choose from, (n,); None allows all.

        Raises:
            CorruptModelError: a logit is not a number, or infinite.
        """
        row = logits[: self._vocab_size].cpu().numpy()
        total = log_total(row, self._scratch)
        place = self._place(row if allowed is None else row[allowed], history, allowed)
        token_id = place if allowed is None else int(allowed[place])
        return GeneratedToken(token_id, float(row[token_id]) - total)

    def _place(
        self,
        candidates: NDArray[np.float32],
        history: Sequence[int],
        allowed: NDArray[np.int64] | None,
    ) -> int:
        """The index of the chosen one among the candidates' logits, (n,)."""
        options = self._sampling
        if options.repetition_penalty != 1.0 and history:
            candidates = _penalize(candidates, history, allowed, options.repetition_penalty)
        if options.temperature == 0.0:
            return int(candidates.argmax())
        scaled = torch.from_numpy(candidates) / options.temperature
        probabilities = truncate(scaled.softmax(0), options)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))


def truncate(probabilities: torch.Tensor, options: Sampling) -> torch.Tensor:
    """Zero what top-k, top-p and min-p exclude, (n,) to (n,), not renormalized; the best stays."""
    ordered, order = probabilities.sort(descending=True)
    keep = torch.ones_like(ordered, dtype=torch.bool)
    if options.top_k:
        keep[options.top_k :] = False
    if options.top_p < 1.0:
        keep &= ordered.cumsum(0) - ordered < options.top_p
    keep &= ordered >= options.min_p * ordered[0]
    return torch.zeros_like(probabilities).scatter_(0, order[keep], ordered[keep])


def _penalize(
    candidates: NDArray[np.float32],
    history: Sequence[int],
    allowed: NDArray[np.int64] | None,
    penalty: float,
) -> NDArray[np.float32]:
    """Positive logits of seen tokens divided by the penalty, negative ones multiplied."""
    seen = np.unique(history)
    if allowed is not None:
        seen = np.flatnonzero(np.isin(allowed, seen))
    candidates = candidates.copy()
    chosen = candidates[seen]
    candidates[seen] = np.where(chosen > 0, chosen / penalty, chosen * penalty)
    return candidates
