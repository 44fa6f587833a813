"""The vocabulary sorted by bytes: which tokens could spell the next bytes of a given string."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midfill.engine.tokens.tokenizer import Tokenizer


class ByteIndex:
    """All tokens that add bytes, in the order of these bytes; build one per tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        entries = sorted(
            (token, i) for i in range(tokenizer.vocab_size) if (token := tokenizer.token_bytes(i))
        )
        self._tokens = [token for token, _ in entries]
        self._ids = np.array([i for _, i in entries], dtype=np.int64)
        is_line_end = [b"\n" in token and not token.strip() for token, _ in entries]
        self.line_ends = self._ids[is_line_end]
        """The ids of tokens that are line ends and blanks only."""
        self.vocab_size = tokenizer.vocab_size
        self._longest = max(map(len, self._tokens), default=0)
        self.token_bytes = tokenizer.token_bytes
        self.beginning = lru_cache(maxsize=256)(self._beginning)
        """The ids, ascending, of tokens that are a prefix of the bytes given, but not all of them.

        The array is shared and read-only, as those of the others are."""
        self.covering = lru_cache(maxsize=256)(self._covering)
        """The ids, ascending, of tokens that have the bytes given as their prefix."""
        self.allowed = lru_cache(maxsize=256)(self._allowed)
        """The ids of both, ascending."""

    def _beginning(self, held: bytes) -> NDArray[np.int64]:
        lengths = range(1, min(len(held) - 1, self._longest) + 1)
        return _shared([self._run(held[:n], whole=True) for n in lengths])

    def _covering(self, held: bytes) -> NDArray[np.int64]:
        return _shared([self._run(held, whole=False)])

    def _allowed(self, held: bytes) -> NDArray[np.int64]:
        return _shared([self._beginning(held), self._covering(held)])

    def _run(self, start: bytes, *, whole: bool) -> NDArray[np.int64]:
        """The ids of tokens that are ``start`` (whole), or that start with it."""
        first = bisect_left(self._tokens, start)
        if whole:
            last = bisect_right(self._tokens, start, lo=first)
        else:
            size = len(start)
            last = bisect_right(self._tokens, start, lo=first, key=lambda token: token[:size])
        return self._ids[first:last]


def _shared(runs: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    ids = np.sort(np.concatenate([np.empty(0, np.int64), *runs]))
    ids.flags.writeable = False
    return ids
