"""The place where a completion goes, and what is offered there.

Invariant: accepting a suggestion changes nothing outside of its range
(test_accepting_keeps_every_other_byte).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import Priority
from midfill.lsp_server.request.display import Display
from midfill.lsp_server.text.documents import Edit
from midfill.lsp_server.text.lines import line_end_of, with_line_ends
from midfill.lsp_server.text.located import Hole

if TYPE_CHECKING:
    from midfill.lsp_server.text.documents import Snapshot


@dataclass(frozen=True, slots=True)
class Ask:
    """A place to complete."""

    snapshot: Snapshot
    offset: int
    is_invoked: bool = False
    """Whether the user asked; otherwise the editor did, while the user typed."""
    selected: Edit | None = None
    """What the editor's own popup would insert; the completion starts with it."""

    @property
    def edit(self) -> Edit:
        """What is certain to be inserted."""
        return self.selected or Edit(self.offset, self.offset, "")

    @property
    def priority(self) -> Priority:
        """The priority of the engine's request."""
        return Priority.INVOKED if self.is_invoked else Priority.TYPING


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Put ``text`` in place of the characters from ``start`` to ``end`` of the asked snapshot."""

    start: int
    end: int
    text: str
    """The text to put there, with the document's line ends."""
    item_id: str


class Place:
    """A place where a completion goes; turns the engine's text into suggestions."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.snapshot = ask.snapshot.replaced(ask.edit) if ask.selected else ask.snapshot
        """The document as the engine sees it, with the popup's text accepted."""
        self.offset = ask.edit.start + len(ask.edit.text)
        self.hole = Hole.of(self.snapshot.text, self.offset, self.offset)
        self.display = Display(
            self.hole.prefix,
            self.hole.suffix,
            ask.snapshot.language_id,
            is_asked=ask.is_invoked,
        )
        self._line_end = line_end_of(self.snapshot.text)

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
