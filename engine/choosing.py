"""The best of several completions: the one with which the text around the hole is likeliest.

Who writes from left to right cannot know how well the suffix will follow before it is its turn. So
several completions are written, and of

    log P(completion, first tokens of the suffix | prompt)

the greatest wins. The first one is what the request gives by itself. Each other one *turns* from
one before it: at the likeliest place, over all of them, where another token could have been taken;
so none is written twice. Some are written at once, a token of each in one pass of the model; what
they share is computed once. A completion is given up once it is less likely than the best one is
with the suffix, or the last of as many as are wanted, and so is the search, when all turns are:
then no other completion of the likeliest tokens of each place can be better. Figures:
docs/results.md.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from midfill.engine.api import CompletionChunk
from midfill.engine.generation import Course, Generation
from midfill.engine.strands import Tree
from midfill.engine.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from midfill.engine.api import CompletionRequest, GeneratedToken
    from midfill.engine.generation import Machine, Passes, Turn
    from midfill.engine.infilling import Prompt
    from midfill.engine.kv_cache import Slot
    from midfill.engine.scheduler import Job
    from midfill.engine.strands import Branch

SUFFIX_TOKENS = 32
"""Of the suffix, at most, that count."""
MOST_TOKENS = 512
"""Written by the tries behind the first: long ones are few, so that nobody waits for long."""
AT_ONCE = 4
"""Tries; each token more makes a pass take longer, and fewer know of one another's turns."""
_LONG_TOKEN = 12
"""Characters; so many of the suffix are encoded for each of them."""
_ROWS = 64
"""Of logits at once: each has as many numbers as the vocabulary tokens."""


class Scale:
    """Weighs completions of a prompt by how well its suffix would follow them."""

    def __init__(self, machine: Machine, request: CompletionRequest, prompt: Prompt) -> None:
        self._machine, self._prompt = machine, prompt
        tokenizer = machine.tokenizer
        begin = request.suffix[: SUFFIX_TOKENS * _LONG_TOKEN] if request.suffix.strip() else ""
        ids = tokenizer.encode(begin)[:SUFFIX_TOKENS]
        size = len(b"".join(map(tokenizer.token_bytes, ids)))
        self.suffix = begin.encode(errors="replace")[:size].decode(errors="ignore")
        """As much of it as counts; without any, completions cannot be told apart."""
        self._is_whole_line = Surroundings.of(request.prefix, request.suffix).is_whole_line

    def tree(self, slot: Slot) -> Tree:
        """Of all completions, with the prompt's last token as its root."""
        return Tree(self._machine.model, slot, len(self._prompt.ids) - 1)

    def weigh(self, text: str, tokens: Sequence[GeneratedToken], branch: Branch) -> float:
        """The logarithm of the probability of a completion and the suffix's begin behind it.

        Args:
            text: The completion.
            tokens: Those of a branch of the tree; only what differs from them is computed.
            branch: Where they stand, behind the root; the last ones may lack.
        """
        ids = self._encode(text)
        pairs = zip(tokens, ids, branch.nodes, strict=False)
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0].id == pair[1], pairs))
        total = sum(token.logprob for token in tokens[:same])
        start = branch.length - len(branch.nodes) + same
        fork = branch.fork(start)
        while same < len(ids):  # all, where a completion goes on as the suffix does
            wanted = ids[same : same + _ROWS]
            hidden = fork.read([self._prompt.ids[-1], *ids][same : same + len(wanted)])
            logits = fork.logits(hidden)[:, : self._machine.tokenizer.vocab_size]
            row = logits.gather(1, torch.tensor(wanted, device=logits.device)[:, None])[:, 0]
            total += float((row - logits.logsumexp(1)).sum())
            same += len(wanted)
        fork.cut(start)
        return total

    def _encode(self, text: str) -> list[int]:
        if self._is_whole_line and not text.endswith("\n"):
            text += "\n"
        text = self._prompt.held.decode(errors="ignore") + text + self.suffix
        ids = self._machine.tokenizer.encode(text, leading_space=False)
        return ids[: self._machine.context_length - len(self._prompt.ids)]


@dataclass(slots=True)
class _Try:
    """One completion that is being written."""

    course: Course
    branch: Branch
    passes: Passes[None] | None = None
    ids: list[int] = field(default_factory=list)
    """To be read next; none: it has come to its end."""

    def go_on(self, logits: torch.Tensor | None) -> None:
        """Behind what was read, with its logits."""
        assert self.passes, "this one has been written"
        try:
            self.ids = next(self.passes) if logits is None else self.passes.send(logits)
        except StopIteration:
            self.ids = []


class Choice:
    """One job on a machine that asks for several tries; ``run`` answers it completely."""

    def __init__(self, machine: Machine, job: Job) -> None:
        self._machine, self._job = machine, job
        self._started = time.perf_counter()
        self._courses = [Course()]
        self._first = Generation(machine, job, self._courses[0])
        self._scale = Scale(machine, job.request, self._first.prompt)
        self._weighed = dict[str, tuple[float, Course]]()
        self._turns: list[tuple[float, int, Turn, _Try]] = []
        self._numbers = itertools.count()

    @property
    def is_short(self) -> bool:
        """Whether there is a longer prompt, to be read when there is time."""
        return self._first.is_short

    def run(self) -> None:
        """Compute, and put the best completion on the job's stream, in one piece at the end."""
        slot = self._first.run()
        if self._may_go_on():
            with closing(self._scale.tree(slot)) as tree:
                self._settle(_Try(self._courses[0], tree.first))
                self._search(tree)
        self._put()

    def _search(self, tree: Tree) -> None:
        running = list[_Try]()
        while True:
            running += itertools.islice(self._begin(), AT_ONCE - len(running))
            if not running:
                return
            states = tree.read_each([(each.ids, each.branch) for each in running])
            logits = tree.logits(torch.cat(states)).split([len(part) for part in states])
            for each, rows in zip(running, logits, strict=True):
                each.go_on(rows)
            for each in running:
                if not each.ids:
                    self._settle(each)
            running = [each for each in running if each.ids]

    def _begin(self) -> Iterator[_Try]:
        """Further tries that are worth it, the likeliest first."""
        while self._turns and self._may_go_on() and -self._turns[0][0] >= self._floor:
            _, _, turn, parent = heapq.heappop(self._turns)
            begin = (*parent.course.tokens[: turn.place], turn.token)
            course = Course(self._floor)
            self._courses.append(course)
            generation = Generation(self._machine, self._job, course, self._first.prompt)
            branch = parent.branch.fork(len(self._first.prompt.ids) + turn.place)
            another = _Try(course, branch, generation.turn(begin, branch))
            another.go_on(None)
            if another.ids:
                yield another
            else:
                self._settle(another)

    def _ranked(self) -> list[tuple[float, Course]]:
        """By weight, the greatest in front, as many as are wanted."""
        ranked = sorted(self._weighed.values(), key=lambda each: -each[0])
        return ranked[: 1 + self._job.request.alternatives]

    @property
    def _floor(self) -> float:
        """What a completion must weigh to be wanted."""
        ranked = self._ranked()
        return ranked[-1][0] if len(ranked) > self._job.request.alternatives else -math.inf

    def _settle(self, done: _Try) -> None:
        """Weigh what has come to its end, and note where others may turn from it."""
        course = done.course
        for turn in course.turns:
            heapq.heappush(self._turns, (-turn.logprob, next(self._numbers), turn, done))
        is_known = course.text in self._weighed
        if is_known or course.logprob < course.floor or self._job.stream.interrupted:
            return
        weight = self._scale.weigh(course.text, course.tokens, done.branch)
        self._weighed[course.text] = weight, course
        for each in self._courses:
            each.floor = self._floor

    def _may_go_on(self) -> bool:
        request = self._job.request
        if self._job.stream.interrupted or len(self._courses) >= request.tries:
            return False
        is_told_apart = self._scale.suffix and self._courses[0].text.strip()
        if not (is_told_apart or request.alternatives):  # nothing to weigh, or nothing missing
            return False
        if sum(len(course.tokens) for course in self._courses[1:]) >= MOST_TOKENS:
            return False
        limit_ms = request.time_limit_ms or math.inf
        return 1e3 * (time.perf_counter() - self._started) < limit_ms

    def _put(self) -> None:
        best, *others = [course for _, course in self._ranked()] or self._courses[:1]
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
        alternatives = tuple(CompletionChunk(o.text, o.tokens, o.stats) for o in others)
        stream.put(CompletionChunk(best.text, best.tokens, stats, alternatives))
