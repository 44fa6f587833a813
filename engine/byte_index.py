"""The vocabulary sorted by bytes: which tokens could spell the next bytes of a given string."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from midfill.engine.tokenizer import Tokenizer


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
        self._longest = max(map(len, self._tokens), default=0)
        self.token_bytes = tokenizer.token_bytes
        self._cached = lru_cache(maxsize=256)(self._search)

    def allowed(self, held: bytes) -> NDArray[np.int64]:
        """The ids, ascending, of tokens that are a prefix of ``held`` or have it as theirs.

        The array is shared and read-only.
        """
        return self._cached(held)

    def _search(self, held: bytes) -> NDArray[np.int64]:
        lengths = range(1, min(len(held) - 1, self._longest) + 1)
        runs = [self._run(held[:n], whole=True) for n in lengths]
        ids = np.sort(np.concatenate([*runs, self._run(held, whole=False)]))
        ids.flags.writeable = False
        return ids

    def _run(self, start: bytes, *, whole: bool) -> NDArray[np.int64]:
        """The ids of tokens that are ``start`` (whole), or that start with it."""
        first = bisect_left(self._tokens, start)
        if whole:
            last = bisect_right(self._tokens, start, lo=first)
        else:
            size = len(start)
            last = bisect_right(self._tokens, start, lo=first, key=lambda token: token[:size])
        return self._ids[first:last]
