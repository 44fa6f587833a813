"""The requests of a document in a queue, and which of them is still wanted.

A request is *wanted* while it is the newest of its document and the document has the version that
it was asked for. One that is not wanted any more gets no answer (None), at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from midfill.lsp_server.completion.runs import Runs
from midfill.lsp_server.text.documents import DocumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.lsp_server.completion.filling import Filling
    from midfill.lsp_server.request.place import Place, Suggestion
    from midfill.lsp_server.text.documents import Documents

    Show = Callable[[list[Suggestion]], None]


class DocumentQueue:
    """The requests of one document, and the runs that answer them.

    Args:
        uri: The document's.
        documents: The client's, to see whether a version is still current.
    """

    def __init__(self, uri: str, documents: Documents) -> None:
        self.runs = Runs()
        self._uri = uri
        self._documents = documents
        self._newest = 0

    def ticket(self, place: Place, show: Show | None = None) -> Ticket:
        """A place in front of all other requests, which are told to look around."""
        self._newest += 1
        self.runs.wake()
        return Ticket(place, self, self._newest, show)

    def has_turn(self, ticket: Ticket) -> bool:
        """Whether this is the newest request, and for the document as it is."""
        try:
            current = self._documents.get(self._uri)
        except DocumentError:
            return False
        asked = ticket.place.ask.snapshot
        return ticket.number == self._newest and current.version == asked.version

    def closed(self) -> None:
        """The document was closed: nobody waits any more, and nothing is known."""
        self._newest += 1
        self.runs.forget()


@dataclass(frozen=True, slots=True)
class Ticket:
    """One request's place in the queue of its document."""

    place: Place
    queue: DocumentQueue
    number: int
    """1 for the document's first request."""
    show: Show | None = None
    """Gets each state of a growing completion; None: nobody wants to see it."""

    @property
    def is_wanted(self) -> bool:
        """Whether the request still wants an answer."""
        return self.queue.has_turn(self)

    @property
    def runs(self) -> Runs:
        """The runs of its document."""
        return self.queue.runs

    def quiet(self) -> Ticket:
        """This ticket again, for work that nobody sees until it is done."""
        return replace(self, show=None)

    def insists(self, filling: Filling) -> bool:
        """Whether somebody asks for text, and this filling was free to find nothing missing."""
        return self.place.ask.is_invoked and filling.origin.asked.request.allow_empty

    def show_new(self, offered: list[Suggestion], shown: list[Suggestion]) -> list[Suggestion]:
        """Show what is offered unless it is shown already; returns what is shown now."""
        if self.show is None or not offered or offered == shown:
            return shown
        self.show(offered)
        return offered
