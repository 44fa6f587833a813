"""The suggestions that a client was given lately: what they are, and what became of them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.lsp_server.request.explanation import Explanation

if TYPE_CHECKING:
    from midfill.lsp_server.completion.filling import Filling
    from midfill.lsp_server.completion.stats import Stats
    from midfill.lsp_server.request.origin import Source
    from midfill.lsp_server.request.place import Place, Suggestion

REMEMBERED = 32
"""Suggestions that are remembered; the last one of a document keeps its text, twice."""


@dataclass(slots=True)
class Item:
    """One suggestion; it stays the same while the user types it."""

    filling: Filling
    uri: str
    """The URI of its document."""
    place: Place | None
    """The place where it was offered last; None once another one was offered in the document."""
    typed: str
    """What of it was typed already when it was offered last."""
    text: str
    r"""What was offered there, with "\n" line ends."""
    source: Source
    is_shown: bool = False
    is_dismissed: bool = False
    is_touched: bool = False
    """Whether some of it was accepted."""
    is_accepted: bool = False
    """Whether all of it was accepted."""

    def explain(self) -> Explanation:
        """The suggestion's origin and cost, told to who asks."""
        filling = self.filling
        return Explanation(
            filling.origin,
            self.source,
            line=filling.hole.line,
            written=filling.text,
            shown=self.typed + self.text,
            stats=filling.stats,
        )


class Items:
    """The suggestions of one client.

    Args:
        stats: Counts what becomes of them.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._items: OrderedDict[str, Item] = OrderedDict()

    def offer(self, filling: Filling, place: Place, text: str, source: Source) -> list[Suggestion]:
        """A client is given this text of a filling at a place: one suggestion, or none."""
        item_id, uri, typed = filling.origin.item_id, place.snapshot.uri, filling.typed(place.hole)
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = Item(filling, uri, place, typed, text, source)
        item.place, item.typed, item.text, item.source = place, typed, text, source
        self._forget_places(uri, place)
        self._items.move_to_end(item_id)
        if len(self._items) > REMEMBERED:
            self._items.popitem(last=False)
        return [place.suggestion(text, item_id)] if text else []

    def closed(self, uri: str) -> None:
        """A document was closed: nothing of it is remembered."""
        for item_id in [item_id for item_id, item in self._items.items() if item.uri == uri]:
            del self._items[item_id]

    def get(self, item_id: str | None) -> Item | None:
        """The item with this id, or the one offered last; None if there is none."""
        if item_id is not None:
            return self._items.get(item_id)
        return next(reversed(self._items.values()), None)

    def shown(self, item_id: str) -> Item | None:
        """A suggestion is on the screen; returns it, if it is known."""
        item = self._items.get(item_id)
        if item is not None:
            self._stats.shown += not item.is_shown
            item.is_shown = True
        return item

    def accepted(self, item_id: str, characters: int | None, *, is_whole: bool) -> None:
        """Characters of it are in the document: so many; None means all that was offered."""
        item = self._items.get(item_id)
        if item is None or item.is_accepted:
            return
        self._stats.accepted += not item.is_touched
        self._stats.accepted_characters += len(item.text) if characters is None else characters
        item.is_touched, item.is_accepted = True, is_whole

    def dismissed(self, item_id: str) -> None:
        """The user has turned a suggestion away."""
        item = self._items.get(item_id)
        if item is not None:
            self._stats.dismissed += not item.is_dismissed
            item.is_dismissed = True

    def _forget_places(self, uri: str, newest: Place) -> None:
        """Keep the text of a document for its newest place only."""
        for item in self._items.values():
            if item.uri == uri and item.place is not newest:
                item.place = None
