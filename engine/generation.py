"""One completion from request to last chunk: prompt, prefill, healing, decode, stop."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch

from midfill.engine.api import (
    CompletionChunk,
    CompletionStats,
    FinishReason,
    GeneratedToken,
    Priority,
)
from midfill.engine.detokenizer import StreamingDetokenizer
from midfill.engine.drafting import Drafter
from midfill.engine.healing import HealingState
from midfill.engine.joining import Joint, read_signs
from midfill.engine.sampler import Sampler, likeliest, log_total, probability
from midfill.engine.spelling import begin
from midfill.engine.stopping import Stopper
from midfill.engine.strands import Line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from midfill.engine.byte_index import ByteIndex
    from midfill.engine.infilling import Prompt, Prompter
    from midfill.engine.kv_cache import KVCache, Slot
    from midfill.engine.model import Decoder
    from midfill.engine.prefill import Prefiller
    from midfill.engine.scheduler import Job
    from midfill.engine.strands import Strand
    from midfill.engine.tokenizer import Tokenizer

_T = TypeVar("_T")

TURNS = 4
"""Of a place, with the token that is taken."""
_MARGIN = 16
"""Tokens of a slot kept free, for what healing generates again."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What every completion of a model shares."""

    model: Decoder
    tokenizer: Tokenizer
    index: ByteIndex
    prompter: Prompter
    cache: KVCache
    prefiller: Prefiller
    context_length: int
    """Tokens a slot may hold."""
    draft_tokens: int = 0
    """Guessed at most between two of the model's."""
    last_middle: list[int] = field(default_factory=list)
    """Tokens of the last completion: the next one is often much the same."""

    @property
    def stops(self) -> frozenset[int]:
        """Tokens that end a middle: no control token has a place in one."""
        return self.tokenizer.special_ids | self.tokenizer.eos_ids

    def content_ids(self, *, line_ends: bool) -> NDArray[np.int64]:
        """All other tokens, (n,), or those of them that are not line ends and blanks only."""
        is_content = np.ones(self.tokenizer.vocab_size, bool)
        is_content[sorted(self.stops)] = False
        if not line_ends:
            is_content[self.index.line_ends] = False
        return np.flatnonzero(is_content)


Passes: TypeAlias = Generator[list[int], torch.Tensor, _T]
"""Yields what the model is to read next, and wants the logits behind each token, (T, V)."""


def _run(passes: Passes[_T], strand: Strand) -> _T:
    """Have one strand read it all."""
    try:
        ids = next(passes)
        while True:
            ids = passes.send(strand.logits(strand.read(ids)))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


class Turn(NamedTuple):
    """Another token that a completion could have had."""

    logprob: float
    """Of the tokens before it and itself."""
    place: int
    """How many stand before it."""
    token: GeneratedToken


@dataclass(slots=True)
class Course:
    """Of a completion that is one of several, and so not sent."""

    floor: float = -math.inf
    """It is given up when the logarithm of its probability is less."""
    chunks: list[CompletionChunk] = field(default_factory=list)
    """What would have been sent."""
    turns: list[Turn] = field(default_factory=list)
    """Behind what it begins with: the likeliest of each place, if not under the floor."""

    @property
    def text(self) -> str:
        """Of all chunks."""
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def tokens(self) -> tuple[GeneratedToken, ...]:
        """Of all chunks."""
        return tuple(token for chunk in self.chunks for token in chunk.tokens)

    @property
    def logprob(self) -> float:
        """Of all tokens."""
        return sum(token.logprob for token in self.tokens)

    @property
    def stats(self) -> CompletionStats:
        """Of the last chunk."""
        stats = self.chunks[-1].stats
        assert stats is not None, "the last chunk of a completion has its stats"
        return stats


class Generation:
    """One job on a machine; ``run`` answers it completely, or goes one of several courses."""

    def __init__(
        self,
        machine: Machine,
        job: Job,
        course: Course | None = None,
        prompt: Prompt | None = None,
    ) -> None:
        request = job.request
        self._course, self._logprob = course, 0.0
        self._machine, self._request, self._stream = machine, request, job.stream
        self._put = job.stream.put if course is None else course.chunks.append
        self._started = time.perf_counter()
        self._queue_ms = 1e3 * (self._started - job.queued_at)
        self._max_new = min(request.max_tokens, machine.context_length // 2)
        self._prompt = prompt or self._build_prompt()
        self._detokenizer = StreamingDetokenizer(machine.tokenizer, len(self._prompt.held))
        self._healing = HealingState(machine.index, self._prompt.held)
        self._sampler = Sampler(request.sampling, machine.tokenizer.vocab_size)
        scope = machine.prompter.scope(request)
        self._stopper = Stopper(request.prefix, request.suffix, scope)
        self._tokens: list[GeneratedToken] = []
        self._new_tokens = 0
        self._has_said = False
        dialect = machine.prompter.dialect
        self._is_unsure = dialect.end_at_line < 1.0 or dialect.joining is not None
        self._sent = 0
        sources = (machine.last_middle, self._prompt.ids)
        self._drafter = Drafter(sources, machine.stops)
        self._drafted = self._accepted = self._cached = self._prefilled = 0
        self._prefilled_at = self._started
        is_whole_line = self._stopper.is_whole_line
        self._joint = dialect.joining and Joint(
            machine.tokenizer, request.suffix, is_whole_line=is_whole_line
        )

    @property
    def prompt(self) -> Prompt:
        """What the model is given."""
        return self._prompt

    @property
    def is_short(self) -> bool:
        """Whether there is a longer prompt, to be read when there is time."""
        return self._prompt.is_short

    def run(self) -> Slot:
        """Compute, and put every chunk on the job's stream, the last one with stats.

        Returns:
            The prompt and, behind it, what was read of the completion.
        """
        ids, machine = self._prompt.ids, self._machine
        is_guess = self._request.priority >= Priority.PREFETCH
        slot = machine.cache.take(ids, is_guess=is_guess)
        self._cached = slot.length
        hidden = machine.prefiller.run(ids[slot.length :], slot, self._stream.stop)
        self._prefilled, self._prefilled_at = slot.length - self._cached, time.perf_counter()
        reason = self._limit()
        if reason is None:
            assert hidden is not None, "a prefill without interruption has a last token"
            line = Line(machine.model, slot)
            logits = self._begin(hidden, line) if self._prompt.held else line.logits(hidden)
            reason = _run(self._decode(logits, line), line)
        self._finish(reason)
        machine.last_middle[:] = [token.id for token in self._tokens]
        return slot

    def turn(self, begin: Sequence[GeneratedToken], strand: Strand) -> Passes[None]:
        """Complete in parts, from these first tokens on; all but the last of them were read."""
        reason = [self._take(token) for token in begin][-1]
        if reason is None:
            logits = yield [begin[-1].id]
            reason = yield from self._decode(logits, strand)
        self._finish(reason)

    def _decode(self, logits: torch.Tensor, strand: Strand) -> Passes[FinishReason]:
        """Token by token from the logits of the first one, (1, V), with guesses in between."""
        draft = list[int]()
        while True:
            length = strand.length - len(draft)
            for row, guess in enumerate([*draft, None]):
                reason = self._step(logits[row], strand, length + row)
                was_cut = strand.length == length + row
                if reason is not None or self._tokens[-1].id != guess or was_cut:
                    break
            strand.cut(length + row)
            self._accepted += row
            if reason is not None:
                return reason
            room = self._machine.context_length - strand.length - 1
            draft = self._drafter.draft(min(self._machine.draft_tokens, room))
            self._drafted += len(draft)
            logits = yield [self._tokens[-1].id, *draft]

    def _begin(self, hidden: torch.Tensor, strand: Strand) -> torch.Tensor:
        """Spell the held bytes but for a last token; the logits of that one, (1, V)."""
        healing = self._healing
        start = begin(strand, self._machine.index, hidden, healing.remaining)
        for token in start.tokens:
            self._take(token)
        healing.must_finish = start.is_best
        return start.logits

    def _step(self, logits: torch.Tensor, strand: Strand, length: int) -> FinishReason | None:
        """Choose a token by its logits, (V,), and send what settles; why to end, if so.

        They follow so many tokens of the strand, which may lose the others.
        """
        allowed = self._allowed()
        token = self._sampler.choose(logits, [token.id for token in self._tokens], allowed)
        ends = self._ends_with_line(logits, token.id, strand, length)
        if self._course:
            self._note_turns(self._course, logits, allowed, -1 if ends else token.id)
        return FinishReason.END_OF_MIDDLE if ends else self._take(token)

    def _note_turns(
        self,
        course: Course,
        logits: torch.Tensor,
        allowed: NDArray[np.int64] | None,
        taken: int,
    ) -> None:
        row = logits[: self._machine.tokenizer.vocab_size].cpu().numpy()
        ids = np.arange(len(row)) if allowed is None else allowed
        total = log_total(row)
        for token_id in ids[likeliest(row[ids], TURNS)].tolist():
            token = GeneratedToken(token_id, float(row[token_id]) - total)
            logprob = self._logprob + token.logprob
            if token_id != taken and logprob > course.floor:
                course.turns.append(Turn(logprob, len(self._tokens), token))

    def _take(self, token: GeneratedToken) -> FinishReason | None:
        """Send what settles with a token; why to end, if so."""
        self._tokens.append(token)
        self._logprob += token.logprob
        self._drafter.add(token.id)
        if token.id in self._machine.stops:
            return FinishReason.END_OF_MIDDLE
        held = len(self._healing.remaining)
        self._healing.advance(token.id)
        new = self._machine.tokenizer.token_bytes(token.id)[held:]
        self._new_tokens += bool(new)
        self._has_said |= bool(new.strip())
        text = self._stopper.feed(self._detokenizer.feed(token.id))
        if text:
            self._send(text)
        return self._limit()

    def _allowed(self) -> NDArray[np.int64] | None:
        """The tokens to choose from; None: any.

        A model unsure of ends may leave nothing open, and none that must write may write nothing.
        """
        if self._healing.remaining:
            return self._healing.allowed()
        must_write = not (self._request.allow_empty or self._has_said)
        if must_write or (self._is_unsure and self._stopper.is_unfinished):
            return self._machine.content_ids(line_ends=not self._stopper.ends_blank)
        return None

    def _ends_with_line(
        self, logits: torch.Tensor, token_id: int, strand: Strand, length: int
    ) -> bool:
        """Whether a line ends here, and the middle with it; see ``Dialect.end_at_line``."""
        machine, dialect = self._machine, self._machine.prompter.dialect
        if not (self._is_unsure and self._has_said) or token_id in machine.stops:
            return False
        is_next = machine.tokenizer.token_bytes(token_id).startswith(b"\n")
        was_last = machine.tokenizer.token_bytes(self._tokens[-1].id).endswith(b"\n")
        if not (is_next or was_last) or self._stopper.is_unfinished:
            return False
        suffix = self._joint.ids(behind_line_end=was_last) if self._joint else []
        if not (dialect.joining and suffix):
            return probability(logits, machine.stops) >= dialect.end_at_line
        strand.cut(length)
        signs = read_signs(strand, logits, suffix, machine.stops)
        return dialect.joining.log_odds(signs) > 0

    def _lacks_line_end(self) -> bool:
        """Whether the middle is a line of its own before another, and has no end yet."""
        machine = self._machine
        spelled = [t.id for t in self._tokens if t.id not in machine.stops]
        ended = spelled and machine.tokenizer.token_bytes(spelled[-1]).endswith(b"\n")
        return self._has_said and self._stopper.is_whole_line and not ended

    def _build_prompt(self) -> Prompt:
        request, machine = self._request, self._machine
        room = machine.context_length - self._max_new - _MARGIN
        in_haste = request.read_ms is not None and request.priority < Priority.PREFETCH
        patience = machine.prefiller.tokens_in(request.read_ms or 0) if in_haste else None
        return machine.prompter.build(
            request, min(request.max_prompt_tokens, room), machine.cache.match, patience
        )

    def _limit(self) -> FinishReason | None:
        """What ends the text besides the model, the strongest first."""
        if self._stream.interrupted:
            return self._stream.interrupted
        if self._stopper.reason:
            return self._stopper.reason
        if self._course and self._logprob < self._course.floor:
            return FinishReason.MAX_TOKENS
        length = len(self._prompt.ids) + len(self._tokens)
        if self._new_tokens >= self._max_new or length >= self._machine.context_length:
            return FinishReason.MAX_TOKENS
        limit_ms = self._request.time_limit_ms
        elapsed_ms = 1e3 * (time.perf_counter() - self._started)
        if limit_ms and elapsed_ms > limit_ms and self._stopper.first_line_done:
            return FinishReason.TIME_LIMIT
        return None

    def _last_text(self, reason: FinishReason) -> str:
        """What was held back and may now go out, but never half a character."""
        if reason is self._stream.interrupted or self._stopper.reason:
            return ""
        text = ""
        if reason is FinishReason.END_OF_MIDDLE and self._lacks_line_end():
            text = self._stopper.feed("\n")
        return text if self._stopper.reason else text + self._stopper.finish(reason)

    def _finish(self, reason: FinishReason) -> None:
        text = self._last_text(reason)
        stats = CompletionStats(
            self._stopper.reason or reason,
            order=self._prompt.order,
            prompt_tokens=len(self._prompt.ids),
            cached_tokens=self._cached,
            prefilled_tokens=self._prefilled,
            healed_tokens=self._prompt.healed_tokens,
            generated_tokens=len(self._tokens),
            drafted_tokens=self._drafted,
            accepted_tokens=self._accepted,
            context_pieces=self._prompt.context_pieces,
            is_short=self._prompt.is_short,
            mean_logprob=self._mean_logprob(),
            queue_ms=self._queue_ms,
            prefill_ms=1e3 * (self._prefilled_at - self._started),
            decode_ms=1e3 * (time.perf_counter() - self._prefilled_at),
        )
        self._send(text, stats)

    def _send(self, text: str, stats: CompletionStats | None = None) -> None:
        tokens = tuple(self._tokens[self._sent :])
        self._sent = len(self._tokens)
        self._put(CompletionChunk(text, tokens, stats))

    def _mean_logprob(self) -> float:
        return self._logprob / max(1, len(self._tokens))
