"""Encoding of long texts that change at their end, as a file's text before the cursor does."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from midfill.engine.tokens.tokenizer import Tokenizer

_BLOCK = 1024
"""Characters. A keystroke encodes at most two blocks anew."""
_HEADS = 1024
"""Blocks remembered, the longest unused one is forgotten first."""


class _Head(NamedTuple):
    """The begin of texts, block by block, as far as nothing behind it can change its encoding."""

    number: int
    """The begin's number: no other has it."""
    ids: list[int]
    """Those that the last block adds."""
    characters: int
    """Which all ids so far encode."""


class IncrementalEncoder:
    """``Tokenizer.encode`` with the same result, and the work on long common beginnings saved.

    It rests on ``stable_length``: the stable ids of a beginning start the encoding of any text that
    begins so, and what is behind them is encoded as if it stood alone.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._heads: dict[tuple[int, str], _Head] = {}
        self._numbers = count(1)

    def encode(self, text: str) -> list[int]:
        """The ids of user text."""
        head = _Head(0, [], 0)
        ids: list[int] = []
        for end in range(_BLOCK, len(text) - _BLOCK, _BLOCK):
            head = self._longer(head, text, end)
            ids += head.ids
        return ids + self._behind(head, text)

    def _longer(self, head: _Head, text: str, end: int) -> _Head:
        """The begin that ends there, from the one a block before."""
        key = head.number, text[end - _BLOCK : end]
        longer = self._heads.pop(key, None) or self._stable(head, text[:end])
        self._heads[key] = longer  # now the youngest
        if len(self._heads) > _HEADS:
            del self._heads[next(iter(self._heads))]
        return longer

    def _stable(self, head: _Head, text: str) -> _Head:
        number, new = next(self._numbers), self._behind(head, text)
        stable = self._tokenizer.stable_length(text[head.characters :], new)
        unstable = b"".join(map(self._tokenizer.token_bytes, new[stable:]))
        longer = _Head(number, new[:stable], len(text) - len(unstable.decode("utf-8", "replace")))
        # A character that the vocabulary lacks is not in the bytes: then the place is wrong.
        if stable and self._behind(longer, text) == new[stable:]:
            return longer
        return _Head(number, [], head.characters)

    def _behind(self, head: _Head, text: str) -> list[int]:
        at = head.characters
        return self._tokenizer.encode(text[at:], leading_space=not at)
