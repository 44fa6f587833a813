"""The best of several completions: the one with which the text around the hole is likeliest.

Who writes from left to right cannot know how well the suffix will follow before it is its turn. So
several completions are written, and of

    log P(completion, first tokens of the suffix | prompt)

the greatest wins. The first one is what the request gives by itself. Each other one *forks* from
one before it: at the likeliest place, over all of them, where another token could have been taken;
so none is written twice. Some are written at once, a token of each in one pass of the model; what
they share is computed once. A completion is given up once it is less likely than the best one is
with the suffix, or the last of as many as are wanted, and so is the search, when all forks are:
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
from midfill.engine.generation.attempt import Attempt
from midfill.engine.generation.cost import stats_of_best
from midfill.engine.generation.generation import Generation
from midfill.engine.model.token_tree import Tree
from midfill.engine.stopping.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from midfill.engine.api import CompletionRequest, GeneratedToken
    from midfill.engine.generation.attempt import Fork, Passes
    from midfill.engine.generation.machine import Machine
    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.model.token_tree import Branch
    from midfill.engine.prompt.prompter import Prompt
    from midfill.engine.scheduling.scheduler import Job

SUFFIX_TOKENS = 32
"""Tokens of the suffix that count at most."""
MOST_TOKENS = 512
"""Tokens of all attempts behind the first: long ones are few, so that nobody waits for long."""
AT_ONCE = 4
"""Attempts; each token more makes a pass take longer, and fewer know of one another's forks."""
_LONG_TOKEN = 12
"""Characters; so many of the suffix are encoded for each of them."""
_ROWS = 64
"""Logits at once: each row has as many numbers as the vocabulary tokens."""


class SuffixScorer:
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
        """A tree of all completions, with the prompt's last token as its root."""
        return Tree(self._machine.model, slot, len(self._prompt.ids) - 1)

    def score(self, text: str, tokens: Sequence[GeneratedToken], branch: Branch) -> float:
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
class _Running:
    """One attempt that is being written."""

    attempt: Attempt
    branch: Branch
    passes: Passes[None] | None = None
    ids: list[int] = field(default_factory=list)
    """Tokens to be read next; none: it has come to its end."""

    def go_on(self, logits: torch.Tensor | None) -> None:
        """Go on behind what was read, with its logits."""
        assert self.passes, "this one has been written"
        try:
            self.ids = next(self.passes) if logits is None else self.passes.send(logits)
        except StopIteration:
            self.ids = []


class BestOf:
    """One job on a machine that asks for several tries; ``run`` answers it completely."""

    def __init__(self, machine: Machine, job: Job, last_middle: Sequence[int] = ()) -> None:
        self._machine, self._job = machine, job
        self._started = time.perf_counter()
        self._attempts = [Attempt()]
        self._first = Generation(machine, job, last_middle, self._attempts[0])
        self.prompt = self._first.prompt
        self._scorer = SuffixScorer(machine, job.request, self.prompt)
        self._scored = dict[str, tuple[float, Attempt]]()
        self._forks: list[tuple[float, int, Fork, _Running]] = []
        self._numbers = itertools.count()

    @property
    def middle_ids(self) -> list[int]:
        """The tokens of the best completion."""
        return [token.id for token in self._wanted()[0].tokens]

    def run(self) -> None:
        """Compute, and put the best completion on the job's stream, in one piece at the end."""
        slot = self._first.run()
        if self._may_go_on():
            with closing(self._scorer.tree(slot)) as tree:
                self._settle(_Running(self._attempts[0], tree.first))
                self._search(tree)
        self._put()

    def _search(self, tree: Tree) -> None:
        running = list[_Running]()
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

    def _begin(self) -> Iterator[_Running]:
        """Further attempts that are worth it, the likeliest first."""
        while self._forks and self._may_go_on() and -self._forks[0][0] >= self._floor:
            _, _, fork, parent = heapq.heappop(self._forks)
            begin = (*parent.attempt.tokens[: fork.place], fork.token)
            attempt = Attempt(self._floor)
            self._attempts.append(attempt)
            first = self._first
            generation = Generation(
                self._machine, self._job, first.middle_ids, attempt, self.prompt
            )
            branch = parent.branch.fork(len(self.prompt.ids) + fork.place)
            another = _Running(attempt, branch, generation.resume(begin, branch))
            another.go_on(None)
            if another.ids:
                yield another
            else:
                self._settle(another)

    def _ranked(self) -> list[tuple[float, Attempt]]:
        """The attempts by score, the greatest in front, as many as are wanted."""
        ranked = sorted(self._scored.values(), key=lambda each: -each[0])
        return ranked[: 1 + self._job.request.alternatives]

    def _wanted(self) -> list[Attempt]:
        """The best attempt and the alternatives to it."""
        return [attempt for _, attempt in self._ranked()] or self._attempts[:1]

    @property
    def _floor(self) -> float:
        """What a completion must score to be wanted."""
        ranked = self._ranked()
        return ranked[-1][0] if len(ranked) > self._job.request.alternatives else -math.inf

    def _settle(self, done: _Running) -> None:
        """Score what has come to its end, and note where others may fork from it."""
        attempt = done.attempt
        for fork in attempt.forks:
            heapq.heappush(self._forks, (-fork.logprob, next(self._numbers), fork, done))
        is_known = attempt.text in self._scored
        if is_known or attempt.logprob < attempt.floor or self._job.stream.interrupted:
            return
        score = self._scorer.score(attempt.text, attempt.tokens, done.branch)
        self._scored[attempt.text] = score, attempt
        for each in self._attempts:
            each.floor = self._floor

    def _may_go_on(self) -> bool:
        request = self._job.request
        if self._job.stream.interrupted or len(self._attempts) >= request.tries:
            return False
        is_told_apart = self._scorer.suffix and self._attempts[0].text.strip()
        if not (is_told_apart or request.alternatives):  # nothing to score, or nothing missing
            return False
        if sum(len(attempt.tokens) for attempt in self._attempts[1:]) >= MOST_TOKENS:
            return False
        return self._elapsed_ms < (request.time_limit_ms or math.inf)

    @property
    def _elapsed_ms(self) -> float:
        return 1e3 * (time.perf_counter() - self._started)

    def _put(self) -> None:
        best, *others = self._wanted()
        costs, stream = [attempt.stats for attempt in self._attempts], self._job.stream
        reason = stream.interrupted or best.stats.finish_reason
        stats = stats_of_best(replace(best.stats, finish_reason=reason), costs, self._elapsed_ms)
        alternatives = tuple(CompletionChunk(o.text, o.tokens, o.stats) for o in others)
        stream.put(CompletionChunk(best.text, best.tokens, stats, alternatives))
