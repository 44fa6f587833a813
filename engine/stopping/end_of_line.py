"""Whether a middle ends where one of its lines does, for models that are unsure of ends.

Two measures: how well the suffix would follow (``suffix_fit``), where the suffix begins with lines
of its own and weights were fitted; elsewhere the probability of the end itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.engine.model.logits import probability
from midfill.engine.stopping.suffix_fit import SuffixFit, read_evidence

if TYPE_CHECKING:
    from collections.abc import Collection

    import torch

    from midfill.engine.model.token_tree import TokenText
    from midfill.engine.stopping.suffix_fit import EndWeights
    from midfill.engine.tokens.tokenizer import Tokenizer


class EndOfLine:
    """The rule of one completion.

    Args:
        tokenizer: The model's.
        end_ids: Tokens that end a middle.
        threshold: The probability of the end from which it is taken; 1: the sampler decides.
        weights: For the suffix's fit; None: none were fitted.
        suffix: The text behind the hole.
        is_whole_line: The hole is a line of its own.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        end_ids: Collection[int],
        threshold: float,
        weights: EndWeights | None,
        suffix: str,
        *,
        is_whole_line: bool,
    ) -> None:
        self.applies = threshold < 1.0 or weights is not None
        """Whether it has anything to say."""
        self._tokenizer, self._end_ids = tokenizer, end_ids
        self._threshold, self._weights = threshold, weights
        self._fit = weights and SuffixFit(tokenizer, suffix, is_whole_line=is_whole_line)

    def is_between(self, last_id: int, next_id: int) -> bool:
        """Whether a line ends between two tokens, or with the first one."""
        bytes_of = self._tokenizer.token_bytes
        return bytes_of(next_id).startswith(b"\n") or self._is_behind(last_id)

    def ends(self, logits: torch.Tensor, last_id: int, text: TokenText, length: int) -> bool:
        """Whether the middle ends with its line.

        Args:
            logits: What follows the line, (V,).
            last_id: The token before it.
            text: Its first ``length`` tokens are those before it; it may lose the others.
            length: See there.
        """
        suffix = self._fit.ids(behind_line_end=self._is_behind(last_id)) if self._fit else []
        if not (self._weights and suffix):
            return probability(logits, self._end_ids) >= self._threshold
        text.cut(length)
        evidence = read_evidence(text, logits, suffix, self._end_ids)
        return self._weights.log_odds(evidence) > 0

    def _is_behind(self, last_id: int) -> bool:
        return self._tokenizer.token_bytes(last_id).endswith(b"\n")
