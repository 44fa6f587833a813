"""The choice of the next token, a function of logits, options and what was generated so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from midfill.engine.api import GeneratedToken

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from midfill.engine.api import Sampling


class Sampler:
    """Chooses tokens for one request; owns its generator, so a seed repeats a completion."""

    def __init__(self, sampling: Sampling, vocab_size: int) -> None:
        self._sampling = sampling
        self._vocab_size = vocab_size
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
        """
        logits = logits[: self._vocab_size].cpu()
        ids = None if allowed is None else torch.tensor(allowed)
        candidates = logits if ids is None else logits[ids]
        place = self._place(candidates, history, ids)
        token_id = place if ids is None else int(ids[place])
        return GeneratedToken(token_id, float(logits[token_id] - logits.logsumexp(0)))

    def _place(
        self, candidates: torch.Tensor, history: Sequence[int], allowed: torch.Tensor | None
    ) -> int:
        """The index of the chosen one among the candidates' logits, (n,)."""
        options = self._sampling
        if options.repetition_penalty != 1.0 and history:
            candidates = _penalize(candidates, history, allowed, options.repetition_penalty)
        if options.temperature == 0.0:
            return int(candidates.argmax())
        probabilities = truncate((candidates / options.temperature).softmax(0), options)
        return int(torch.multinomial(probabilities, 1, generator=self._generator))


def probability(logits: torch.Tensor, ids: Collection[int]) -> float:
    """Of any of these tokens to come next, by raw logits, (V,); ids beyond them count nothing."""
    known = [token_id for token_id in ids if token_id < len(logits)]
    return float((logits[known].logsumexp(0) - logits.logsumexp(0)).exp()) if known else 0.0


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
    candidates: torch.Tensor, history: Sequence[int], allowed: torch.Tensor | None, penalty: float
) -> torch.Tensor:
    """Positive logits of seen tokens divided by the penalty, negative ones multiplied."""
    seen = torch.tensor(sorted(set(history)))
    if allowed is not None:
        seen = torch.isin(allowed, seen).nonzero().squeeze(1)
    candidates = candidates.clone()
    chosen = candidates[seen]
    candidates[seen] = torch.where(chosen > 0, chosen / penalty, chosen * penalty)
    return candidates
