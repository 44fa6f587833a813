"""Encoding of long texts that change at their end, as a file's text before the cursor does."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from midfill.engine.tokenizer import Tokenizer

_BLOCK = 1024
"""Characters. A keystroke encodes at most two blocks anew."""
_HEADS = 256
"""Beginnings remembered, the longest unused one is forgotten first."""


class _Head(NamedTuple):
    """The part of an encoded text that nothing behind it can change."""

    ids: list[int]
    characters: int


class IncrementalEncoder:
    """``Tokenizer.encode`` with the same result, and the work on long common beginnings saved.

    It rests on ``stable_length``: the stable ids of a beginning start the encoding of any text that
    begins so.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._heads: dict[str, _Head] = {}

    def encode(self, text: str) -> list[int]:
        """The ids of user text."""
        head = _Head([], 0)
        for end in range(_BLOCK, len(text) - _BLOCK, _BLOCK):
            head = self._head(head, text[:end])
        return self._behind(head, text)

    def _head(self, before: _Head, text: str) -> _Head:
        head = self._heads.pop(text, None) or self._stable(self._behind(before, text), text)
        self._heads[text] = head  # now the youngest
        if len(self._heads) > _HEADS:
            del self._heads[next(iter(self._heads))]
        return head

    def _stable(self, ids: list[int], text: str) -> _Head:
        stable = self._tokenizer.stable_length(text, ids)
        if not stable:
            return _Head([], 0)
        unstable = b"".join(map(self._tokenizer.token_bytes, ids[stable:]))
        head = _Head(ids[:stable], len(text) - len(unstable.decode("utf-8", "replace")))
        # A character that the vocabulary lacks is not in the bytes: then the place is wrong.
        return head if self._behind(head, text) == ids else _Head([], 0)

    def _behind(self, head: _Head, text: str) -> list[int]:
        rest = self._tokenizer.encode(text[head.characters :], leading_space=not head.ids)
        return head.ids + rest
