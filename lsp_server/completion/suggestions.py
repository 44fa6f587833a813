"""The suggestions that a client was given lately: what they are, and what became of them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.lsp_server.request.explanation import Explanation

if TYPE_CHECKING:
    from midfill.lsp_server.completion.engine_run import EngineRun
    from midfill.lsp_server.completion.stats import Stats
    from midfill.lsp_server.request.origin import Source
    from midfill.lsp_server.request.place import Place

REMEMBERED = 32
"""Each keeps the text of its document, twice."""


@dataclass(slots=True)
class Item:
    """One suggestion; it stays the same while the user types it."""

    generation: EngineRun
    place: Place
    """Where it was offered last."""
    text: str
    r"""What was offered there, with "\n" line ends."""
    source: Source
    is_shown: bool = False
    is_dismissed: bool = False
    is_touched: bool = False
    """Some of it was accepted."""
    is_accepted: bool = False
    """All of it was."""

    @property
    def uri(self) -> str:
        """Of its document."""
        return self.place.snapshot.uri

    def explain(self) -> Explanation:
        """How it came about."""
        generation, hole = self.generation, self.place.hole
        typed = hole.typed_since(generation.hole) or ""
        return Explanation(
            generation.origin,
            self.source,
            line=generation.hole.prefix.count("\n") + 1,
            written=generation.text,
            shown=typed + self.text,
            stats=generation.stats,
        )


class Items:
    """Those of one client.

    Args:
        stats: Where it counts what became of them.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._items: OrderedDict[str, Item] = OrderedDict()

    def offer(self, generation: EngineRun, place: Place, text: str, source: Source) -> None:
        """A client is given this text of a generation at a place."""
        item_id = generation.origin.item_id
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = Item(generation, place, text, source)
        item.place, item.text, item.source = place, text, source
        self._items.move_to_end(item_id)
        if len(self._items) > REMEMBERED:
            self._items.popitem(last=False)

    def get(self, item_id: str | None) -> Item | None:
        """The item with this id, or the one offered last; None if there is none."""
        if item_id is not None:
            return self._items.get(item_id)
        return next(reversed(self._items.values()), None)

    def shown(self, item_id: str) -> Item | None:
        """It is on the screen; the item, if it is known."""
        item = self._items.get(item_id)
        if item is not None:
            self._stats.shown += not item.is_shown
            item.is_shown = True
        return item

    def accepted(self, item_id: str, characters: int | None, *, is_whole: bool) -> None:
        """So many characters of it are in the document; None means all that was offered."""
        item = self._items.get(item_id)
        if item is None or item.is_accepted:
            return
        self._stats.accepted += not item.is_touched
        self._stats.accepted_characters += len(item.text) if characters is None else characters
        item.is_touched, item.is_accepted = True, is_whole

    def dismissed(self, item_id: str) -> None:
        """The user has turned it away."""
        item = self._items.get(item_id)
        if item is not None:
            self._stats.dismissed += not item.is_dismissed
            item.is_dismissed = True
