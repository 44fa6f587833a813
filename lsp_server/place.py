"""Where a completion goes, and what is offered there: from a snapshot to suggestions.

Invariant: accepting a suggestion changes nothing outside of its range
(test_accepting_keeps_every_other_byte).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import Priority
from midfill.lsp_server.documents import Edit
from midfill.lsp_server.postprocess import Display, line_end_of, with_line_ends, with_newlines
from midfill.lsp_server.reuse import Hole

if TYPE_CHECKING:
    from midfill.lsp_server.documents import Snapshot


@dataclass(frozen=True, slots=True)
class Ask:
    """A place to complete."""

    snapshot: Snapshot
    offset: int
    is_invoked: bool = False
    """The user asked for it; otherwise the editor did, while the user typed."""
    selected: Edit | None = None
    """What the editor's own popup would insert; the completion starts with it."""

    @property
    def edit(self) -> Edit:
        """What is certain to be inserted."""
        return self.selected or Edit(self.offset, self.offset, "")

    @property
    def priority(self) -> Priority:
        """Of the engine's request."""
        return Priority.INVOKED if self.is_invoked else Priority.TYPING


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Put ``text`` in place of the characters from ``start`` to ``end`` of the asked snapshot."""

    start: int
    end: int
    text: str
    """With the document's line ends."""
    item_id: str


class Place:
    """Where a completion goes: turns the engine's text into suggestions."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.snapshot = ask.snapshot.replaced(ask.edit) if ask.selected else ask.snapshot
        """The document as the engine sees it, with the popup's text accepted."""
        self.offset = ask.edit.start + len(ask.edit.text)
        text = self.snapshot.text
        self.hole = Hole(with_newlines(text[: self.offset]), with_newlines(text[self.offset :]))
        self.display = Display(self.hole.prefix.rpartition("\n")[2], self.hole.suffix)
        self._line_end = line_end_of(text)

    def suggestion(self, text: str, item_id: str) -> Suggestion:
        """What to offer for a text to show."""
        edit = self.ask.edit
        full = edit.text + with_line_ends(text, self._line_end)
        return Suggestion(edit.start, edit.end, full, item_id)

    def after(self, text: str) -> Place:
        """The place behind a text that was shown here, once it is accepted."""
        inserted = with_line_ends(text, self._line_end)
        accepted = self.snapshot.replaced(Edit(self.offset, self.offset, inserted))
        return Place(Ask(accepted, self.offset + len(inserted)))
