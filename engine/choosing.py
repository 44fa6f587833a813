"""The best of several completions: the one with which the text around the hole is likeliest.

Who writes from left to right cannot know how well the suffix will follow before it is its turn. So
several completions are drawn, and of

    log P(completion, first tokens of the suffix | prompt)

the greatest wins. The first one is what the request gives by itself. The others are cheap: a draw
is given up as soon as its own probability is less than the best one's with the suffix, and no more
are made once those found are nearly all that the model would ever write. Figures: docs/results.md.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from midfill.engine.api import CompletionChunk
from midfill.engine.generation import Generation
from midfill.engine.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.engine.api import CompletionStats
    from midfill.engine.generation import Machine
    from midfill.engine.scheduler import Job

SUFFIX_TOKENS = 32
"""Of the suffix, at most, that count."""
_LONG_TOKEN = 12
"""Characters; so many of the suffix are encoded for each of them."""
ENOUGH = 0.9
"""Of the model's probability, in the completions that were found."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One try, whole."""

    chunks: tuple[CompletionChunk, ...]

    @property
    def text(self) -> str:
        """Of all chunks."""
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def stats(self) -> CompletionStats:
        """Of the last chunk."""
        stats = self.chunks[-1].stats
        assert stats is not None, "the last chunk of a completion has its stats"
        return stats

    @property
    def logprob(self) -> float:
        """Of all its tokens, the logarithm of their probability."""
        return sum(token.logprob for chunk in self.chunks for token in chunk.tokens)


class Choice:
    """One job on a machine that asks for several tries; ``run`` answers it completely."""

    def __init__(self, machine: Machine, job: Job) -> None:
        self._machine, self._job = machine, job
        self._started = time.perf_counter()
        self._chunks: list[CompletionChunk] = []
        self._first = Generation(machine, job, self._chunks.append)
        request, tokenizer = job.request, machine.tokenizer
        begin = request.suffix[: SUFFIX_TOKENS * _LONG_TOKEN] if request.suffix.strip() else ""
        ids = tokenizer.encode(begin)[:SUFFIX_TOKENS]
        size = len(b"".join(map(tokenizer.token_bytes, ids)))
        self._suffix = begin.encode()[:size].decode(errors="ignore")
        self._is_whole_line = Surroundings.of(request.prefix, request.suffix).is_whole_line

    @property
    def is_short(self) -> bool:
        """Whether there is a longer prompt, to be read when there is time."""
        return self._first.is_short

    def run(self) -> None:
        """Compute, and put the best completion on the job's stream, in one piece at the end."""
        self._first.run()
        tries = [Completion(tuple(self._chunks))]
        best, weights = tries[0], dict[str, float]()
        while self._lacks(tries):
            if not weights:
                weights[best.text] = self.weigh(best.text)
            floor = weights[best.text]
            tries.append(self._draw(len(tries), floor))
            text = tries[-1].text
            if tries[-1].logprob >= floor and text not in weights:
                weights[text] = self.weigh(text)
                best = tries[-1] if weights[text] > floor else best
        self._put(best, tries)

    def _put(self, best: Completion, tries: Sequence[Completion]) -> None:
        first, stream = tries[0].stats, self._job.stream
        stats = replace(
            best.stats,
            finish_reason=stream.interrupted or best.stats.finish_reason,
            tries=len(tries),
            cached_tokens=first.cached_tokens,
            prefilled_tokens=first.prefilled_tokens,
            generated_tokens=sum(each.stats.generated_tokens for each in tries),
            drafted_tokens=sum(each.stats.drafted_tokens for each in tries),
            accepted_tokens=sum(each.stats.accepted_tokens for each in tries),
            queue_ms=first.queue_ms,
            prefill_ms=first.prefill_ms,
            decode_ms=1e3 * (time.perf_counter() - self._started) - first.prefill_ms,
        )
        tokens = tuple(token for chunk in best.chunks for token in chunk.tokens)
        stream.put(CompletionChunk(best.text, tokens, stats))

    def _lacks(self, tries: Sequence[Completion]) -> bool:
        """Whether another try could find something better, and may be made."""
        request = self._job.request
        limit_ms = request.time_limit_ms or math.inf
        if self._job.stream.interrupted or len(tries) >= request.tries:
            return False
        if not (self._suffix and tries[0].text.strip()):  # nothing to weigh with, or to write
            return False
        if 1e3 * (time.perf_counter() - self._started) > limit_ms:
            return False
        found = {each.text: math.exp(each.logprob) for each in tries}
        return sum(found.values()) < ENOUGH

    def _draw(self, number: int, weight: float) -> Completion:
        """Another try, given up where it can no longer have a greater weight than this."""
        request, chunks = self._job.request, list[CompletionChunk]()
        sampling = request.sampling.varied(number)
        request = replace(request, sampling=sampling, allow_empty=False)
        job = replace(self._job, request=request)
        Generation(self._machine, job, chunks.append, weight).run()
        return Completion(tuple(chunks))

    def weigh(self, text: str) -> float:
        """The logarithm of the probability of a completion and the suffix's begin behind it."""
        machine, prompt = self._machine, self._first.prompt
        start = len(prompt.ids)
        if self._is_whole_line and not text.endswith("\n"):
            text += "\n"
        text = prompt.held.decode(errors="ignore") + text + self._suffix
        ids = [*prompt.ids, *machine.tokenizer.encode(text, leading_space=False)]
        del ids[machine.context_length :]
        slot = machine.cache.take(prompt.ids)
        before = ids[slot.length : start - 1]
        if before and machine.prefiller.run(before, slot, self._job.stream.stop) is None:
            return -math.inf
        logits = machine.model.logits(machine.model.forward(ids[start - 1 : -1], slot))
        wanted = torch.tensor(ids[start:], device=logits.device)[:, None]
        rows = logits[:, : machine.tokenizer.vocab_size]
        return float((rows.gather(1, wanted)[:, 0] - rows.logsumexp(1)).sum())
