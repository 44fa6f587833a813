"""What the engine wrote for a hole, and which of it is remembered so that typing it costs nothing.

Text has newlines for line ends here.

Invariant: what a filling gives in a later hole, put after that hole's prefix, is what the engine
wrote after the old one (test_a_remainder_after_the_typed_text_makes_the_same_document).

Invariant: of the document around a hole nothing is kept but lengths and hashes
(test_many_remembered_completions_keep_few_texts).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import FinishReason
from midfill.lsp_server.request.origin import Source

if TYPE_CHECKING:
    from midfill.engine.api import CompletionStats
    from midfill.lsp_server.request.origin import Origin
    from midfill.lsp_server.text.located import Hole

_CUT_SHORT = (FinishReason.CANCELLED, FinishReason.SUPERSEDED)
_REMEMBERED = 16
"""Fillings of a document: twice the candidates of a place."""


@dataclass(frozen=True, slots=True)
class KeptHole:
    """A hole without the text around it; enough to know it again in a later text.

    Two texts of one length count as the same if Python's 64-bit hashes of them are.
    """

    prefix_length: int
    suffix_length: int
    prefix_hash: int
    suffix_hash: int
    line: int
    """The line that it starts in, from 1."""

    @classmethod
    def of(cls, hole: Hole) -> KeptHole:
        """What is to be kept of a hole."""
        prefix, suffix = hole.prefix, hole.suffix
        lengths = len(prefix), len(suffix)
        return cls(*lengths, hash(prefix), hash(suffix), prefix.count("\n") + 1)

    def typed_length(self, hole: Hole) -> int:
        """Characters that were typed at this hole to make a later one, if nothing else happened."""
        return len(hole.prefix) - self.prefix_length

    def leads_to(self, hole: Hole) -> bool:
        """Whether typing at this hole, or nothing, makes the other one."""
        is_long = self.typed_length(hole) >= 0 and len(hole.suffix) == self.suffix_length
        return is_long and self._is_around(hole.prefix[: self.prefix_length], hole.suffix)

    def is_at(self, hole: Hole) -> bool:
        """Whether it is the same hole."""
        return self.typed_length(hole) == 0 and self.leads_to(hole)

    def has_start_of(self, text: str, document: str) -> bool:
        """Whether a document is the text around this hole with the start of another text in it."""
        end = len(document) - self.suffix_length
        typed = document[self.prefix_length : end]
        if end < self.prefix_length or not text.startswith(typed):
            return False
        return self._is_around(document[: self.prefix_length], document[end:])

    def _is_around(self, prefix: str, suffix: str) -> bool:
        return hash(suffix) == self.suffix_hash and hash(prefix) == self.prefix_hash


class Filling:
    """A text for a hole; a run of the engine is one that still grows.

    Args:
        origin: Who asked for it, and how.
        hole: What it fills.
        text: All of it, or what has settled so far.
        stats: What it cost; None until it has come to its end without an error.
    """

    def __init__(
        self, origin: Origin, hole: KeptHole, text: str = "", stats: CompletionStats | None = None
    ) -> None:
        self.origin = origin
        self.hole = hole
        self.text = text
        self.stats = stats

    @property
    def is_complete(self) -> bool:
        """Whether it came to an end of its own, and so may be shown and remembered."""
        return self.stats is not None and self.stats.finish_reason not in _CUT_SHORT

    def fits(self, hole: Hole) -> bool:
        """Whether its text belongs there: in the hole, with some of it typed perhaps."""
        length = self.hole.typed_length(hole)
        if not 0 <= length <= len(self.text) or not hole.prefix.endswith(self.text[:length]):
            return False  # before any hash, which takes longer
        return self.hole.leads_to(hole)

    def goes_on_in(self, document: str) -> bool:
        """Whether a later text of its document has a start of it in the hole."""
        return self.hole.has_start_of(self.text, document)

    def typed(self, hole: Hole) -> str:
        """What of the text was typed in a hole that it fits."""
        return self.text[: self.hole.typed_length(hole)]

    def rest(self, hole: Hole) -> str:
        """What is left of the text in a hole that it fits."""
        return self.text[self.hole.typed_length(hole) :]

    def is_prefetched_for(self, hole: Hole) -> bool:
        """Whether it was prepared for this very hole before anybody asked."""
        return self.origin.source is Source.PREFETCHED and self.hole.is_at(hole)

    async def ended(self) -> None:
        """Wait until nothing is added to the text any more."""


class Fillings:
    """The finished fillings of one document, a few."""

    def __init__(self) -> None:
        self._known: list[Filling] = []
        """The one that answers first comes last."""

    def first(self, hole: Hole) -> Filling | None:
        """The one of which the user typed a part, or nothing yet.

        None if there is none, or if it was typed to its end.
        """
        for known in reversed(self._known):
            if known.fits(hole) and (known.rest(hole) or not known.hole.typed_length(hole)):
                return known
        return None

    def all_of(self, hole: Hole) -> list[Filling]:
        """The fillings of this very hole, the one that answers first in front."""
        return [known for known in reversed(self._known) if known.hole.is_at(hole)]

    def prefer(self, filling: Filling) -> None:
        """Let this one answer before others, if it is known: the user has seen it."""
        if filling in self._known:
            self._known.remove(filling)
            self._known.append(filling)

    def add(self, filling: Filling) -> None:
        """Remember one; further candidates do not answer before the first one of their hole."""
        place = len(self._known)
        if filling.origin.source is Source.CANDIDATE:
            same = [n for n, known in enumerate(self._known) if known.hole == filling.hole]
            place = min(same, default=place)
        self._known.insert(place, filling)
        del self._known[:-_REMEMBERED]

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()
