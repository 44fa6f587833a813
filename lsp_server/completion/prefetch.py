"""The completion that would follow the one on the screen, prepared while the user still reads.

It starts when the client says that a suggestion is shown and the suggestion is complete, and runs
behind all work that somebody waits for (``Priority.PREFETCH``). What it gives goes where finished
completions go (``reuse.py``), and answers the request after the acceptance.

Invariant: it is stopped by any edit that the suggestion does not go on with
(test_any_other_edit_ends_what_is_prepared).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from midfill.engine.api import Priority
from midfill.lsp_server.errors import reported
from midfill.lsp_server.text.lines import with_newlines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from midfill.lsp_server.completion.suggestions import Item
    from midfill.lsp_server.request.origin import Asked
    from midfill.lsp_server.request.place import Place
    from midfill.lsp_server.text.documents import Snapshot

    Start = Callable[["Item", "Place", "Asked", str], None]


class Prefetcher:
    """Prepares for one client; one completion at a time.

    Args:
        make_request: Gathers context and builds the engine's request; may take a while.
        start: Starts a guess: after this item, at this place, with this request, once this text of
            the item is accepted.
    """

    def __init__(self, make_request: Callable[[Place], Awaitable[Asked]], start: Start) -> None:
        self.is_on = True
        self._make_request = make_request
        self._start = start
        self._item: Item | None = None
        self._task: asyncio.Task[None] | None = None

    def shown(self, item: Item) -> None:
        """A suggestion is on the screen; nothing new if it is the same as before."""
        if self._item is not None and item.generation is self._item.generation:
            return
        self.stop()
        if self.is_on:
            self._item = item
            self._task = asyncio.create_task(self._prepare(item))

    def edited(self, snapshot: Snapshot) -> None:
        """A document changed: stop unless the suggestion goes on."""
        item = self._item
        if item is not None and item.uri == snapshot.uri:
            typed = item.generation.hole.typed_in(with_newlines(snapshot.text))
            if typed is None or not item.generation.text.startswith(typed):
                self.stop()

    def stop(self) -> None:
        """Give up what has not started yet."""
        self._item = None
        if self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """Stop, and wait for the end."""
        self.stop()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _prepare(self, item: Item) -> None:
        with reported():
            await item.generation.ended()
            if not item.generation.is_complete:
                return
            text = item.place.display.finished(item.generation.rest(item.place.hole))
            if not text:
                return
            place = item.place.after(text)
            asked = await self._make_request(place)
            request = replace(asked.request, priority=Priority.PREFETCH)
            self._start(item, place, replace(asked, request=request), text)
