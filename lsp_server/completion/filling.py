"""What the engine wrote for a hole, and which of it is remembered so that typing it costs nothing.

Text has newlines for line ends here.

Invariant: what a filling gives in a later hole, put after that hole's prefix, is what the engine
wrote after the old one (test_a_remainder_after_the_typed_text_makes_the_same_document).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.engine.api import FinishReason
from midfill.lsp_server.request.origin import Source

if TYPE_CHECKING:
    from midfill.engine.api import CompletionStats
    from midfill.lsp_server.request.origin import Origin
    from midfill.lsp_server.text.located import Hole

_CUT_SHORT = (FinishReason.CANCELLED, FinishReason.SUPERSEDED)
_REMEMBERED = 16
"""Fillings of a document; each keeps the document's text. Twice the candidates of a place."""


class Filling:
    """A text for a hole; a run of the engine is one that still grows.

    Args:
        origin: Who asked for it, and how.
        hole: What it fills.
        text: All of it, or what has settled so far.
        stats: What it cost; None until it has come to its end without an error.
    """

    def __init__(
        self, origin: Origin, hole: Hole, text: str = "", stats: CompletionStats | None = None
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
        typed = hole.typed_since(self.hole)
        return typed is not None and self.text.startswith(typed)

    def rest(self, hole: Hole) -> str:
        """What is left of the text in a hole that it fits."""
        return self.text[len(hole.prefix) - len(self.hole.prefix) :]

    def is_prefetched_for(self, hole: Hole) -> bool:
        """Whether it was prepared for this very hole before anybody asked."""
        return self.origin.source is Source.PREFETCHED and self.hole == hole

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
            if known.fits(hole) and (known.rest(hole) or hole == known.hole):
                return known
        return None

    def all_of(self, hole: Hole) -> list[Filling]:
        """The fillings of this very hole, the one that answers first in front."""
        return [known for known in reversed(self._known) if known.hole == hole]

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
