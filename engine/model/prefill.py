"""A prompt's way into the cache, in pieces that are short beside the time between two keys.

So a cancel is seen in time, and a prompt that is cancelled at every key gets read in the end: what
was cut off in the middle of a piece is lost, what was finished before stays.

Sizes are powers of two: few shapes for the matrix library to prepare, and few ways to round.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from midfill.engine.scheduling.cancel import CancelledPassError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from midfill.engine.model.decoder import Decoder
    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.scheduling.cancel import CancelFlag

CHUNK_MS = 50.0
"""How long one forward pass of the prompt should take at most; fast typing is a key in 150."""
COMPLETION_ROOM = 512
"""Tokens that get room behind a prompt at once: while a slot grows, it is there twice."""
_SMALLEST, _LARGEST, _FIRST = 16, 512, 32
_MEMORY = 0.7
"""Weight of what was measured before against the newest chunk."""


class Prefiller:
    """Runs prompts through a model; the chunk size follows the measured rate where it has to.

    Args:
        model: The model.
        chunk: Tokens at most in one forward pass; 0 lets the rate decide.
    """

    def __init__(self, model: Decoder, chunk: int = 0) -> None:
        self._model = model
        self._fixed = chunk
        self._tokens_per_ms = 0.0

    @property
    def chunk(self) -> int:
        """Tokens of the next forward pass at most."""
        if self._fixed:
            return self._fixed
        if not self._tokens_per_ms:
            return _FIRST
        tokens = int(min(max(self._tokens_per_ms * CHUNK_MS, _SMALLEST), _LARGEST))
        return 1 << (tokens.bit_length() - 1)

    def tokens_in(self, ms: float) -> int | None:
        """How many tokens it reads in that time; None before it was measured."""
        return int(self._tokens_per_ms * ms) if self._tokens_per_ms else None

    def run(
        self, ids: Sequence[int], slot: Slot, cancel: CancelFlag | None = None
    ) -> torch.Tensor | None:
        """Put at least one token behind the slot's cached ones.

        Returns:
            The last token's final hidden state, (1, hidden), or None if ``cancel`` was set: then
            the slot holds the chunks that were finished.
        """
        hidden = None
        slot.reserve(slot.length + len(ids) + COMPLETION_ROOM)
        while ids:
            if cancel:
                return None
            started = time.perf_counter()
            chunk = ids[: self.chunk]
            try:
                hidden = self._model.forward(chunk, slot, cancel)[-1:]
            except CancelledPassError:
                return None
            ids = ids[len(chunk) :]
            self._learn(len(chunk), 1e3 * (time.perf_counter() - started))
        return hidden

    def _learn(self, tokens: int, elapsed_ms: float) -> None:
        if tokens < _SMALLEST:
            return  # too few to tell: most of their time is overhead
        rate = tokens / elapsed_ms
        old = self._tokens_per_ms or rate
        self._tokens_per_ms = _MEMORY * old + (1 - _MEMORY) * rate
