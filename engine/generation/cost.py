"""What a completion costs: counts and times, until they become its statistics."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from midfill.engine.api import CompletionStats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.engine.api import FinishReason
    from midfill.engine.prompt.prompter import Prompt


@dataclass(slots=True)
class Cost:
    """Counts and clock of one completion; times are of ``time.perf_counter``, in seconds."""

    queued_at: float
    started: float
    prefilled_at: float
    cached_tokens: int = 0
    prefilled_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0

    @classmethod
    def starting(cls, queued_at: float) -> Cost:
        """The cost of a completion that starts now."""
        now = time.perf_counter()
        return cls(queued_at, started=now, prefilled_at=now)

    @property
    def elapsed_ms(self) -> float:
        """Milliseconds since the start."""
        return 1e3 * (time.perf_counter() - self.started)

    def prefilled(self, cached: int, length: int) -> None:
        """Note that the prompt is read: so many tokens were cached, and so many are now."""
        self.cached_tokens, self.prefilled_tokens = cached, length - cached
        self.prefilled_at = time.perf_counter()

    def stats(
        self, reason: FinishReason, prompt: Prompt, generated_tokens: int, logprob: float
    ) -> CompletionStats:
        """The statistics of a completion that ends now, with its tokens' log-probability."""
        return CompletionStats(
            reason,
            order=prompt.order,
            prompt_tokens=len(prompt.ids),
            cached_tokens=self.cached_tokens,
            prefilled_tokens=self.prefilled_tokens,
            healed_tokens=prompt.healed_tokens,
            generated_tokens=generated_tokens,
            drafted_tokens=self.drafted_tokens,
            accepted_tokens=self.accepted_tokens,
            context_pieces=prompt.context_pieces,
            is_short=prompt.is_short,
            mean_logprob=logprob / max(1, generated_tokens),
            queue_ms=1e3 * (self.started - self.queued_at),
            prefill_ms=1e3 * (self.prefilled_at - self.started),
            decode_ms=1e3 * (time.perf_counter() - self.prefilled_at),
        )


def stats_of_best(
    best: CompletionStats, attempts: Sequence[CompletionStats], elapsed_ms: float
) -> CompletionStats:
    """The statistics of a completion that was the best of several attempts, the first in front."""
    first = attempts[0]
    return replace(
        best,
        tries=len(attempts),
        cached_tokens=first.cached_tokens,
        prefilled_tokens=first.prefilled_tokens,
        generated_tokens=sum(stats.generated_tokens for stats in attempts),
        drafted_tokens=sum(stats.drafted_tokens for stats in attempts),
        accepted_tokens=sum(stats.accepted_tokens for stats in attempts),
        queue_ms=first.queue_ms,
        prefill_ms=first.prefill_ms,
        decode_ms=elapsed_ms - first.prefill_ms,
    )
