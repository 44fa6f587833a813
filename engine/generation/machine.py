"""What every completion of a model shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from midfill.engine.api import Priority

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midfill.engine.api import CompletionRequest
    from midfill.engine.model.decoder import Decoder
    from midfill.engine.model.kv_cache import KVCache
    from midfill.engine.model.prefill import Prefiller
    from midfill.engine.prompt.prompter import Prompt, Prompter
    from midfill.engine.tokens.byte_index import ByteIndex
    from midfill.engine.tokens.tokenizer import Tokenizer

_MARGIN = 16
"""Tokens of a slot kept free, for what healing generates again."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A model with its tokenizer, prompts and cache; it remembers no completion."""

    model: Decoder
    tokenizer: Tokenizer
    index: ByteIndex
    prompter: Prompter
    cache: KVCache
    prefiller: Prefiller
    context_length: int
    """Tokens a slot may hold."""
    draft_tokens: int = 0
    """Tokens drafted at most between two of the model's."""

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a middle: no control token has a place in one."""
        return self.tokenizer.special_ids | self.tokenizer.eos_ids

    def ids(self, *, ends: bool, line_ends: bool, indented: bool) -> NDArray[np.int64]:
        """All tokens, (n,), but for some kinds.

        Args:
            ends: With those that end a middle.
            line_ends: With those that are line ends and blanks only.
            indented: With those that begin with a blank.
        """
        is_wanted = np.ones(self.tokenizer.vocab_size, bool)
        if not line_ends:
            is_wanted[self.index.line_ends] = False
        if not indented:
            for blank in (b" ", b"\t"):
                is_wanted[self.index.covering(blank)] = False
        is_wanted[sorted(self.end_ids)] = ends
        return np.flatnonzero(is_wanted)

    def most_new_tokens(self, request: CompletionRequest) -> int:
        """Tokens that its completion may have; half a slot is the prompt's."""
        return min(request.max_tokens, self.context_length // 2)

    def build_prompt(self, request: CompletionRequest) -> Prompt:
        """The prompt that fits the slot, and the time where somebody waits."""
        room = self.context_length - self.most_new_tokens(request) - _MARGIN
        in_haste = request.read_ms is not None and request.priority < Priority.PREFETCH
        patience = self.prefiller.tokens_in(request.read_ms or 0) if in_haste else None
        return self.prompter.build(
            request, min(request.max_prompt_tokens, room), self.cache.match, patience
        )
