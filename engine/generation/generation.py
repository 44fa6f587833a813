"""One completion from request to last chunk: prompt, prefill, healing, decode, stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.engine.api import CompletionChunk, CompletionStats, FinishReason, Priority
from midfill.engine.generation.attempt import run_alone
from midfill.engine.generation.cost import Cost
from midfill.engine.generation.drafting import Drafter
from midfill.engine.generation.middle import Middle
from midfill.engine.generation.sampler import Sampler
from midfill.engine.generation.spelling import begin
from midfill.engine.model.token_tree import SlotText
from midfill.engine.stopping.end_of_line import EndOfLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from midfill.engine.api import GeneratedToken
    from midfill.engine.generation.attempt import Attempt, Passes
    from midfill.engine.generation.machine import Machine
    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.model.token_tree import TokenText
    from midfill.engine.prompt.prompter import Prompt
    from midfill.engine.scheduling.scheduler import Job


class Generation:
    """One job on a machine; ``run`` answers it completely, or makes one attempt of several.

    Args:
        machine: The model's parts.
        job: What is asked, and where chunks go.
        last_middle: Ids of the last completion: the next one is often much the same.
        attempt: Where chunks go instead, for one of several.
        prompt: What the model is given; None: it is built.
    """

    def __init__(
        self,
        machine: Machine,
        job: Job,
        last_middle: Sequence[int] = (),
        attempt: Attempt | None = None,
        prompt: Prompt | None = None,
    ) -> None:
        request = job.request
        self._cost = Cost.starting(job.queued_at)
        self._machine, self._request, self._stream = machine, request, job.stream
        self._attempt = attempt
        self.prompt = prompt or machine.build_prompt(request)
        self._middle = Middle(machine, request, self.prompt.held)
        self._sampler = Sampler(request.sampling, machine.tokenizer.vocab_size)
        self._drafter = Drafter((last_middle, self.prompt.ids), machine.end_ids)
        dialect = machine.prompter.dialect
        self._end_of_line = EndOfLine(
            machine.tokenizer,
            machine.end_ids,
            dialect.end_at_line,
            dialect.end_weights,
            request.suffix,
            is_whole_line=self._middle.rules.is_whole_line,
        )
        self._sent = 0

    @property
    def middle_ids(self) -> list[int]:
        """The completion's tokens."""
        return [token.id for token in self._middle.tokens]

    def run(self) -> Slot:
        """Compute, and put every chunk on the job's stream, the last one with stats.

        Returns:
            The prompt and, behind it, what was read of the completion.
        """
        ids, machine = self.prompt.ids, self._machine
        is_guess = self._request.priority >= Priority.PREFETCH
        slot = machine.cache.take(ids, is_guess=is_guess)
        cached = slot.length
        hidden = machine.prefiller.run(ids[cached:], slot, self._stream.cancel_flag)
        self._cost.prefilled(cached, slot.length)
        reason = self._limit()
        if reason is None:
            assert hidden is not None, "a prefill without interruption has a last token"
            text = SlotText(machine.model, slot)
            logits = self._begin(hidden, text) if self.prompt.held else text.logits(hidden)
            reason = run_alone(self._decode(logits, text), text)
        self._finish(reason)
        return slot

    def resume(self, begin: Sequence[GeneratedToken], text: TokenText) -> Passes[None]:
        """Complete in passes, from these first tokens on; all but the last of them were read."""
        reason = [self._take(token) for token in begin][-1]
        if reason is None:
            logits = yield [begin[-1].id]
            reason = yield from self._decode(logits, text)
        self._finish(reason)

    def _decode(self, logits: torch.Tensor, text: TokenText) -> Passes[FinishReason]:
        """Token by token from the logits of the first one, (1, V), with drafts in between."""
        draft = list[int]()
        while True:
            length = text.length - len(draft)
            accepted = 0
            for row, drafted in enumerate([*draft, None]):
                accepted = row
                reason = self._step(logits[row], text, length + row)
                was_cut = text.length == length + row
                if reason is not None or self._middle.tokens[-1].id != drafted or was_cut:
                    break
            text.cut(length + accepted)
            self._cost.accepted_tokens += accepted
            if reason is not None:
                return reason
            room = self._machine.context_length - text.length - 1
            draft = self._drafter.draft(min(self._machine.draft_tokens, room))
            self._cost.drafted_tokens += len(draft)
            logits = yield [self._middle.tokens[-1].id, *draft]

    def _begin(self, hidden: torch.Tensor, text: TokenText) -> torch.Tensor:
        """Spell the held bytes but for a last token; the logits of that one, (1, V)."""
        healing = self._middle.healing
        start = begin(text, self._machine.index, hidden, healing.remaining)
        for token in start.tokens:
            self._take(token)
        healing.must_finish = start.is_best
        return start.logits

    def _step(self, logits: torch.Tensor, text: TokenText, length: int) -> FinishReason | None:
        """Choose a token by its logits, (V,), and send what settles; why to end, if so.

        They follow so many tokens of the text, which may lose the others.
        """
        middle = self._middle
        allowed = middle.allowed(
            may_be_empty=self._request.allow_empty, may_stay_open=not self._end_of_line.applies
        )
        token = self._sampler.choose(logits, self.middle_ids, allowed)
        ends = self._ends_with_line(logits, token.id, text, length)
        if self._attempt:
            row = logits[: self._machine.tokenizer.vocab_size].cpu().numpy()
            before = len(middle.tokens), middle.logprob
            self._attempt.note_forks(row, allowed, -1 if ends else token.id, before)
        return FinishReason.END_OF_MIDDLE if ends else self._take(token)

    def _take(self, token: GeneratedToken) -> FinishReason | None:
        """Send what settles with a token; why to end, if so."""
        self._drafter.add(token.id)
        text = self._middle.take(token)
        if token.id in self._machine.end_ids:
            return FinishReason.END_OF_MIDDLE
        if text:
            self._send(text)
        return self._limit()

    def _ends_with_line(
        self, logits: torch.Tensor, token_id: int, text: TokenText, length: int
    ) -> bool:
        """Whether a line ends before this token, and the middle with it; see ``EndOfLine``."""
        middle, rule = self._middle, self._end_of_line
        if not (rule.applies and middle.has_said) or token_id in self._machine.end_ids:
            return False
        last_id = middle.tokens[-1].id
        if not rule.is_between(last_id, token_id) or middle.rules.is_unfinished:
            return False
        return rule.ends(logits, last_id, text, length)

    def _limit(self) -> FinishReason | None:
        """What ends the text besides the model, the strongest first."""
        middle, request = self._middle, self._request
        if self._stream.interrupted:
            return self._stream.interrupted
        if middle.rules.reason:
            return middle.rules.reason
        if self._attempt and middle.logprob < self._attempt.floor:
            return FinishReason.MAX_TOKENS
        length = len(self.prompt.ids) + len(middle.tokens)
        most_new = self._machine.most_new_tokens(request)
        if middle.new_tokens >= most_new or length >= self._machine.context_length:
            return FinishReason.MAX_TOKENS
        is_late = request.time_limit_ms and self._cost.elapsed_ms > request.time_limit_ms
        return FinishReason.TIME_LIMIT if is_late and middle.rules.first_line_done else None

    def _finish(self, reason: FinishReason) -> None:
        middle = self._middle
        text = "" if reason is self._stream.interrupted else middle.last_text(reason)
        reason = middle.rules.reason or reason
        self._send(text, self._cost.stats(reason, self.prompt, len(middle.tokens), middle.logprob))

    def _send(self, text: str, stats: CompletionStats | None = None) -> None:
        tokens = tuple(self._middle.tokens[self._sent :])
        self._sent = len(self._middle.tokens)
        chunk = CompletionChunk(text, tokens, stats)
        if self._attempt:
            self._attempt.chunks.append(chunk)
        else:
            self._stream.put(chunk)
