"""The queue of a document: which request is wanted, and what is shown for it."""

from __future__ import annotations

from lsprotocol import types

from midfill.lsp_server.completion.ticket import DocumentQueue
from midfill.lsp_server.request.place import Ask, Place, Suggestion
from midfill.lsp_server.text.documents import Documents

URI = "file:///a.py"


class Case:
    """An open document and its queue."""

    def __init__(self) -> None:
        self.documents = Documents()
        self.queue = DocumentQueue(URI, self.documents)

    def place(self, version: int = 1) -> Place:
        """The end of a version of the document, which is open from now on."""
        item = types.TextDocumentItem(URI, "python", version, "x")
        return Place(Ask(self.documents.open(item), 1))


def test_the_newest_request_is_wanted_and_no_other() -> None:
    """One document has one cursor."""
    case = Case()
    first = case.queue.ticket(case.place())
    assert first.is_wanted
    second = case.queue.ticket(case.place())
    assert (first.is_wanted, second.is_wanted) == (False, True)
    assert second.quiet().is_wanted


def test_a_request_is_wanted_for_the_version_that_it_is_for() -> None:
    """And only while the document is open."""
    case = Case()
    ticket = case.queue.ticket(case.place())
    case.place(version=2)
    assert not ticket.is_wanted
    ticket = case.queue.ticket(case.place(version=3))
    assert ticket.is_wanted
    case.documents.close(URI)
    assert not ticket.is_wanted


def test_after_closing_nobody_waits_even_if_the_same_version_is_opened_again() -> None:
    """The editor has forgotten the request."""
    case = Case()
    ticket = case.queue.ticket(case.place())
    case.queue.closed()
    case.place()
    assert not ticket.is_wanted


def test_only_what_is_new_is_shown() -> None:
    """Editors redraw; and what is shown is not taken back."""
    seen: list[list[Suggestion]] = []
    case = Case()
    ticket = case.queue.ticket(case.place(), seen.append)
    one, more = [Suggestion(1, 1, "a", "1")], [Suggestion(1, 1, "ab", "1")]
    shown = ticket.show_new(one, [])
    for offered in (one, [], more):
        shown = ticket.show_new(offered, shown)
    assert seen == [one, more]
    assert shown == more
    assert ticket.quiet().show_new(one, shown) == more
    assert len(seen) == 2
