"""The completion that would follow the one on the screen, prepared while the user still reads.

It starts when the client says that a suggestion is shown and the suggestion is complete, and runs
behind all work that somebody waits for (``Priority.PREFETCH``). What it gives goes where finished
completions go (``runs.py``), and answers the request after the acceptance.

Invariant: it is stopped by any edit that the suggestion does not go on with
(test_any_other_edit_ends_what_is_prepared).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from midfill.lsp_server.completion.background import logged

if TYPE_CHECKING:
    from midfill.lsp_server.completion.runs import Runs
    from midfill.lsp_server.completion.starter import Starter
    from midfill.lsp_server.completion.suggestions import Item
    from midfill.lsp_server.settings import Settings


class Prefetcher:
    """Prepares for one client; one completion at a time.

    Args:
        starter: Starts what is prepared.
    """

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._is_on = True
        self._item: Item | None = None
        self._task: asyncio.Task[None] | None = None

    def configure(self, settings: Settings) -> None:
        """Use these settings from now on."""
        self._is_on = settings.prefetch

    def shown(self, item: Item, runs: Runs) -> None:
        """A suggestion is on the screen; nothing new if it is the same as before.

        Args:
            item: The suggestion.
            runs: Those of its document, where the guess goes.
        """
        if self._item is not None and item.filling is self._item.filling:
            return
        self.stop()
        if self._is_on:
            self._item = item
            self._task = asyncio.create_task(self._prepare(item, runs))
            self._task.add_done_callback(self._ended)

    def edited(self, uri: str, document: str) -> None:
        """A document has this text now: stop unless the suggestion goes on."""
        item = self._item
        if item is not None and item.uri == uri and not item.filling.goes_on_in(document):
            self.stop()

    def closed(self, uri: str) -> None:
        """A document was closed: nothing follows in it."""
        if self._item is not None and self._item.uri == uri:
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

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task is self._task:
            self._task = None  # a cancelled one would keep the document's text

    async def _prepare(self, item: Item, runs: Runs) -> None:
        with logged():
            await item.filling.ended()
            place = item.place
            if place is None or not item.filling.is_complete:
                return
            hole = place.hole
            text = place.display.finished(item.filling.rest(hole), item.filling.typed(hole))
            if text:
                await self._starter.guess(runs, place.after(text), text)
