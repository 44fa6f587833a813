"""Where a completion goes, and what is offered there: from a snapshot to suggestions.

Invariant: accepting a suggestion changes nothing outside of its range
(test_accepting_keeps_every_other_byte).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import Priority
from midfill.lsp_server.request.display import Display
from midfill.lsp_server.text.documents import Edit
from midfill.lsp_server.text.lines import line_end_of, with_line_ends, with_newlines

if TYPE_CHECKING:
    from midfill.lsp_server.text.documents import Snapshot


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


@dataclass(frozen=True, slots=True)
class Hole:
    """The place to fill, as the engine sees it."""

    prefix: str
    suffix: str

    def typed_since(self, earlier: Hole) -> str | None:
        """What was typed at the earlier hole to make this one; None if something else happened."""
        if self.suffix != earlier.suffix or not self.prefix.startswith(earlier.prefix):
            return None
        return self.prefix[len(earlier.prefix) :]

    def typed_in(self, document: str) -> str | None:
        """What stands in the hole in a later text of the document; None if more has changed."""
        end = len(document) - len(self.suffix)
        is_around = document.startswith(self.prefix) and document.endswith(self.suffix)
        return document[len(self.prefix) : end] if is_around and end >= len(self.prefix) else None


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
