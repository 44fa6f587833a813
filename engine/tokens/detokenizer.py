"""Token ids to text as they come, never half a character."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midfill.engine.tokens.tokenizer import Tokenizer


class StreamingDetokenizer:
    """Turns generated tokens into text; what it returned is never taken back.

    Joined, the text is that of all bytes after the first ``skip_bytes``, with U+FFFD for bytes that
    are no UTF-8. A character whose bytes are not all there yet is held until they are; one that is
    incomplete at the end is dropped.

    Args:
        tokenizer: Gives each token's bytes.
        skip_bytes: How many leading bytes to swallow, because the user's text already has them
            (``len(held)`` after healing); they may end inside a token.
    """

    def __init__(self, tokenizer: Tokenizer, skip_bytes: int = 0) -> None:
        self._tokenizer = tokenizer
        self._skip_bytes = skip_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_id: int) -> str:
        """The text that this token completes; empty while a character is incomplete."""
        token = self._tokenizer.token_bytes(token_id)
        new = token[self._skip_bytes :]
        self._skip_bytes -= len(token) - len(new)
        return self._decoder.decode(new)
