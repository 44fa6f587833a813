"""What is shown of the texts around a hole, as tokens: whole lines, where they allow it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from midfill.engine.tokens import healing

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.engine.tokens.tokenizer import Tokenizer

CUT_STEPS = 8
"""A prefix that is too long is cut in steps of this fraction of its share, and at line starts, so
that the cut stays where it is while a user types."""
_LONG_TOKEN = 8
"""Characters; code has fewer in a token, so no more than this are encoded for each one wanted."""


class Before(NamedTuple):
    """What stands before a hole."""

    head: str
    """Shown whole, before the rest."""
    prefix: str
    heal: bool
    """Whether what more text could change is held back."""


class Split(NamedTuple):
    """The text before a hole as tokens."""

    prefix: list[int]
    begun: list[int]
    """What the middle begins with."""
    held: bytes
    """The bytes of the healed tail."""
    healed_tokens: int


class Windows:
    """Cuts texts to fit.

    Args:
        tokenizer: The model's.
        encode: Gives a text's token ids.
    """

    def __init__(self, tokenizer: Tokenizer, encode: Callable[[str], list[int]]) -> None:
        self._tokenizer, self._encode = tokenizer, encode

    def whole(self, before: Before, room: int) -> Split:
        """All of it as the prefix, of which the end fits."""
        text = before.head + self._end(before.prefix, room)
        ids = self._encode(text)
        kept, held = self._healed(text, ids, heal=before.heal)
        return Split(kept, [], held, len(ids) - len(kept))

    def split(self, before: Before, place: int, room: int) -> Split:
        """What is before a place as the prefix, of which the end fits; the rest begins a middle."""
        text = before.prefix[place:]
        ids = self._tokenizer.encode(text, leading_space=False)
        kept, held = self._healed(text, ids, heal=before.heal)
        prefix = self._encode(before.head + self._end(before.prefix[:place], room))
        return Split(prefix, kept, held, len(ids) - len(kept))

    def suffix(self, text: str, room: int) -> list[int]:
        """As many whole lines after the hole as fit, without SentencePiece's dummy space."""
        shown = text[: _LONG_TOKEN * room]
        ids = self._tokenizer.encode(shown, leading_space=False)
        if len(ids) <= room and shown == text:
            return ids
        shown = self._text(ids[:room])
        whole_lines = shown[: shown.rfind("\n") + 1] or shown
        return self._tokenizer.encode(whole_lines, leading_space=False)[:room]

    def _healed(self, text: str, ids: list[int], *, heal: bool) -> tuple[list[int], bytes]:
        if not heal:
            return ids, b""
        healed = healing.split(self._tokenizer, text, ids)
        return healed.ids, healed.held

    def _end(self, text: str, room: int) -> str:
        """The end of the text before the hole, from a line start that moves in large steps."""
        text = _tail(text, _LONG_TOKEN * room)
        ids = self._encode(text)
        over = len(ids) - room
        if over <= 0:
            return text
        step = max(1, room // CUT_STEPS)
        dropped = -(-over // step) * step
        start = len(text) - len(self._text(ids[dropped:]))
        line = text.find("\n", start, start + len(self._text(ids[dropped : dropped + step]))) + 1
        return text[line or start :]

    def _text(self, ids: list[int]) -> str:
        return b"".join(map(self._tokenizer.token_bytes, ids)).decode("utf-8", "ignore")


def _tail(text: str, characters: int) -> str:
    """So many characters of a text's end, up to twice as many so that they seldom start anew."""
    over = len(text) - 2 * characters
    return text[max(0, -(-over // characters)) * characters :]
