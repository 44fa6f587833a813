"""Token healing: let the model choose anew the tokens at the cursor that more text could change.

A cursor rarely stands where a token ends: "pri" is one token, but the text that goes on as "print"
never had it. So the unstable tail of the prefix is held back and its bytes become a constraint on
what is generated first; only what comes after them is new text (Dagan et al. 2024, "Getting the
most out of your tokenizer"; Lundberg 2023, "The art of prompt design: prompt boundaries and token
healing").

Invariant: generated tokens that follow ``HealingState.allowed`` spell the held bytes exactly, then
free text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from midfill.engine.tokens.byte_index import ByteIndex
    from midfill.engine.tokens.tokenizer import Tokenizer

MAX_HELD_TOKENS = 32
"""A tail without any stable boundary (minified code) is held back no further than this."""


@dataclass(frozen=True, slots=True)
class Healed:
    """A prefix cut back to where its tokens can no longer change."""

    ids: list[int]
    """Tokens to be prefilled."""
    held: bytes
    """Bytes of the tokens cut off, generated again first. Empty: nothing was unstable."""


def split(tokenizer: Tokenizer, text: str, ids: list[int]) -> Healed:
    """Cut the unstable tail off ``ids``, the encoding of user text (never markers).

    With SentencePiece, ``held`` of a text's very first word starts with the dummy space, just as
    the tokens that will replace it do.
    """
    kept = max(tokenizer.stable_length(text, ids), len(ids) - MAX_HELD_TOKENS)
    return Healed(ids[:kept], b"".join(map(tokenizer.token_bytes, ids[kept:])))


class HealingState:
    """How much of ``held`` one generation has still to spell.

    Args:
        index: Of the model's vocabulary.
        held: From ``split``.
    """

    def __init__(self, index: ByteIndex, held: bytes) -> None:
        self._index = index
        self._remaining = held
        self.must_finish = False
        """Whether the next token has to spell all that remains (see ``spelling``)."""

    @property
    def remaining(self) -> bytes:
        """Held bytes that no token has spelled yet."""
        return self._remaining

    def allowed(self) -> NDArray[np.int64] | None:
        """Ids that may come next, ascending and never none; None once ``held`` is used up."""
        if not self._remaining:
            return None
        fitting = self._index.covering if self.must_finish else self._index.allowed
        return fitting(self._remaining)

    def advance(self, token_id: int) -> None:
        """Take note of a generated token; it must be one of ``allowed()``."""
        token = self._index.token_bytes(token_id)
        left = self._remaining
        assert token or not left, f"special token {token_id} while {left!r} is held"
        assert left.startswith(token) or token.startswith(left), f"{token!r} against {left!r}"
        self._remaining = left[len(token) :]
