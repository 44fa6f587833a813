"""The best of several completions: the one with which the text around the hole is likeliest.

Who writes from left to right cannot know how well the suffix will follow before it is its turn. So
several completions are written, and of

    log P(completion, first tokens of the suffix | prompt)

the greatest wins. The first one is what the request gives by itself. Each other one *turns* from
one before it: at the likeliest place, over all of them, where another token could have been taken;
so none is written twice, and what they share is read, not written. A completion is given up once it
is less likely than the best one is with the suffix, and so is the search, when all turns are: then
no other completion of the likeliest tokens of each place can be better. Figures: docs/results.md.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from midfill.engine.api import CompletionChunk
from midfill.engine.generation import Course, Generation
from midfill.engine.surroundings import Surroundings

if TYPE_CHECKING:
    from midfill.engine.generation import Machine, Turn
    from midfill.engine.scheduler import Job

SUFFIX_TOKENS = 32
"""Of the suffix, at most, that count."""
MOST_TOKENS = 512
"""Written by the tries behind the first: long ones are few, so that nobody waits for long."""
_LONG_TOKEN = 12
"""Characters; so many of the suffix are encoded for each of them."""
_ROWS = 64
"""Of logits at once: each has as many numbers as the vocabulary tokens."""


class Choice:
    """One job on a machine that asks for several tries; ``run`` answers it completely."""

    def __init__(self, machine: Machine, job: Job) -> None:
        self._machine, self._job = machine, job
        self._started = time.perf_counter()
        self._courses = [Course()]
        self._first = Generation(machine, job, self._courses[0])
        request, tokenizer = job.request, machine.tokenizer
        begin = request.suffix[: SUFFIX_TOKENS * _LONG_TOKEN] if request.suffix.strip() else ""
        ids = tokenizer.encode(begin)[:SUFFIX_TOKENS]
        size = len(b"".join(map(tokenizer.token_bytes, ids)))
        self._suffix = begin.encode(errors="replace")[:size].decode(errors="ignore")
        self._is_whole_line = Surroundings.of(request.prefix, request.suffix).is_whole_line

    @property
    def is_short(self) -> bool:
        """Whether there is a longer prompt, to be read when there is time."""
        return self._first.is_short

    def run(self) -> None:
        """Compute, and put the best completion on the job's stream, in one piece at the end."""
        self._first.run()
        best, weights = self._courses[0], dict[str, float]()
        turns: list[tuple[float, int, Turn, Course]] = []
        numbers = itertools.count()
        while self._may_go_on():
            last = self._courses[-1]
            if last.logprob >= last.floor and last.text not in weights:
                weights[last.text] = self.weigh(last.text)
                best = max(best, last, key=lambda course: weights[course.text])
            for turn in last.turns:
                heapq.heappush(turns, (-turn.logprob, next(numbers), turn, last))
            floor = weights[best.text]
            if not turns or -turns[0][0] < floor:
                break
            _, _, turn, last = heapq.heappop(turns)
            course = Course((*last.tokens[: turn.place], turn.token), floor)
            Generation(self._machine, self._job, course).run()
            self._courses.append(course)
        self._put(best)

    def _may_go_on(self) -> bool:
        request = self._job.request
        if self._job.stream.interrupted or len(self._courses) >= request.tries:
            return False
        if not (self._suffix and self._courses[0].text.strip()):  # nothing to weigh, or to write
            return False
        if sum(course.stats.generated_tokens for course in self._courses[1:]) >= MOST_TOKENS:
            return False
        limit_ms = request.time_limit_ms or math.inf
        return 1e3 * (time.perf_counter() - self._started) < limit_ms

    def _put(self, best: Course) -> None:
        first, stream = self._courses[0].stats, self._job.stream
        costs = [course.stats for course in self._courses]
        stats = replace(
            best.stats,
            finish_reason=stream.interrupted or best.stats.finish_reason,
            tries=len(costs),
            cached_tokens=first.cached_tokens,
            prefilled_tokens=first.prefilled_tokens,
            generated_tokens=sum(cost.generated_tokens for cost in costs),
            drafted_tokens=sum(cost.drafted_tokens for cost in costs),
            accepted_tokens=sum(cost.accepted_tokens for cost in costs),
            queue_ms=first.queue_ms,
            prefill_ms=first.prefill_ms,
            decode_ms=1e3 * (time.perf_counter() - self._started) - first.prefill_ms,
        )
        self._machine.last_middle[:] = [token.id for token in best.tokens]
        stream.put(CompletionChunk(best.text, best.tokens, stats))

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
        hidden = machine.model.forward(ids[start - 1 : -1], slot)
        wanted = torch.tensor(ids[start:], device=hidden.device)[:, None]
        total = 0.0
        for states, tokens in zip(hidden.split(_ROWS), wanted.split(_ROWS), strict=True):
            logits = machine.model.logits(states)[:, : machine.tokenizer.vocab_size]
            total += float((logits.gather(1, tokens)[:, 0] - logits.logsumexp(1)).sum())
        return total
