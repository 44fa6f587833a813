"""The middle while it is written: its tokens, the held bytes they spell first, what may go out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.engine.api import FinishReason
from midfill.engine.stopping.rules import StopRules
from midfill.engine.tokens.detokenizer import StreamingDetokenizer
from midfill.engine.tokens.healing import HealingState

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from midfill.engine.api import CompletionRequest, GeneratedToken
    from midfill.engine.generation.machine import Machine


class Middle:
    """Takes tokens, and says what of their text is certain.

    Args:
        machine: The model's parts.
        request: What is completed.
        held: Bytes that the first tokens spell, which are not part of the text.
    """

    def __init__(self, machine: Machine, request: CompletionRequest, held: bytes) -> None:
        self.tokens: list[GeneratedToken] = []
        self.logprob = 0.0
        """Log-probability of all tokens."""
        self.new_tokens = 0
        """Tokens that have bytes behind the held ones."""
        self.has_said = False
        """Whether it has more than blanks."""
        self.healing = HealingState(machine.index, held)
        self._begins_file = not request.prefix.strip("\n")
        """Whether nothing stands before it: no file begins with an indented line."""
        scope = machine.prompter.scope(request)
        self.rules = StopRules(request.prefix, request.suffix, scope)
        self._machine = machine
        self._detokenizer = StreamingDetokenizer(machine.tokenizer, len(held))

    def take(self, token: GeneratedToken) -> str:
        """Put a token behind the others; the text that is certain by it."""
        self.tokens.append(token)
        self.logprob += token.logprob
        if token.id in self._machine.end_ids:
            return ""
        held = len(self.healing.remaining)
        self.healing.advance(token.id)
        new = self._machine.tokenizer.token_bytes(token.id)[held:]
        self.new_tokens += bool(new)
        self.has_said |= bool(new.strip())
        return self.rules.feed(self._detokenizer.feed(token.id))

    def allowed(self, *, may_be_empty: bool, may_stay_open: bool) -> NDArray[np.int64] | None:
        """The tokens to choose from; None: any.

        Args:
            may_be_empty: It may end before it has said anything.
            may_stay_open: It may end while something that it opened is open.
        """
        if self.healing.remaining:
            return self.healing.allowed()
        begins = self._begins_file and not self.has_said
        must_write = not (may_be_empty or self.has_said)
        must_write |= not may_stay_open and self.rules.is_unfinished
        if not (must_write or begins):
            return None
        may_end_line = not (begins or (must_write and self.rules.ends_blank))
        return self._machine.ids(ends=not must_write, line_ends=may_end_line, indented=not begins)

    def last_text(self, reason: FinishReason) -> str:
        """What was held back and may now go out, but never half a character."""
        if self.rules.reason:
            return ""
        text = ""
        if reason is FinishReason.END_OF_MIDDLE and self._lacks_line_end():
            text = self.rules.feed("\n")
        return text if self.rules.reason else text + self.rules.finish(reason)

    def _lacks_line_end(self) -> bool:
        """Whether it is a line of its own before another, and has no end yet."""
        machine = self._machine
        spelled = [token.id for token in self.tokens if token.id not in machine.end_ids]
        ended = spelled and machine.tokenizer.token_bytes(spelled[-1]).endswith(b"\n")
        return self.has_said and self.rules.is_whole_line and not ended
