"""The open documents of a client: which version is current, and where it was edited lately.

::

    Documents(encoding)
        .open(item) -> Snapshot  .change(uri, version, changes) -> Snapshot  .close(uri)
        .get(uri) -> Snapshot    .others(uri) -> (OpenDocument, ...)       frozen, for any thread

    DocumentError (a MidfillError)
    ├── PositionError         a position or offset that the text does not have
    ├── UnknownDocumentError  the client never opened it, or closed it
    └── OutOfSyncError        a change did not fit; until the client sends the whole text again
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lsprotocol import types

from midfill.lsp_server.text.lines import LineRange
from midfill.lsp_server.text.snapshot import (
    DocumentError,
    Edit,
    PositionEncoding,
    PositionError,
    Snapshot,
    negotiate,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DocumentError",
    "Documents",
    "Edit",
    "OpenDocument",
    "OutOfSyncError",
    "PositionEncoding",
    "PositionError",
    "Snapshot",
    "UnknownDocumentError",
    "negotiate",
]

_MAX_EDITED_RANGES = 8


class UnknownDocumentError(DocumentError):
    """The document is not open."""


class OutOfSyncError(DocumentError):
    """The client's text and ours differ, or would after this change."""


@dataclass(frozen=True, slots=True)
class OpenDocument:
    """What is known of an open document, at one moment."""

    snapshot: Snapshot
    edited: tuple[LineRange, ...] = ()
    """Lines that were edited lately, as they are counted now; the last edit last."""
    edit_age: int | None = None
    """Documents that were edited since this one was; None: it never was."""


def _with_edit(
    ranges: tuple[LineRange, ...], before: Snapshot, edit: Edit, after: Snapshot
) -> tuple[LineRange, ...]:
    """Recently edited ranges, in lines after the edit, with its own (and what it touches) last."""
    first, last = before.line_of(edit.start), before.line_of(edit.end)
    # Counted, because a "\n" put behind a "\r" adds no line.
    shift = after.line_count - before.line_count
    start, end = after.line_of(edit.start), after.line_of(edit.start + len(edit.text)) + 1
    apart: list[LineRange] = []
    for known in ranges:
        if known.end < first:
            apart.append(known)
        elif known.start > last + 1:
            apart.append(LineRange(known.start + shift, known.end + shift))
        else:
            start, end = min(start, known.start), max(end, known.end + shift)
    return (*apart, LineRange(start, end))[-_MAX_EDITED_RANGES:]


@dataclass(slots=True)
class _Open:
    """An open document: its text, where it was edited, and why it is out of sync, if it is."""

    snapshot: Snapshot
    edited: tuple[LineRange, ...] = ()
    problem: str | None = None


class Documents:
    """The open documents of one client; notebook cells are documents like any other."""

    def __init__(self, encoding: PositionEncoding = PositionEncoding.Utf16) -> None:
        self.encoding = encoding
        self._open: dict[str, _Open] = {}
        self._edits: dict[str, None] = {}  # an ordered set of URIs, the last edited one last

    def negotiate(self, offered: Sequence[PositionEncoding | str] | None) -> None:
        """Agree with the client on the encoding of positions, before the first document."""
        self.encoding = negotiate(offered)

    def open(self, item: types.TextDocumentItem) -> Snapshot:
        """Start to follow a document; one that is open already gets this text instead."""
        snapshot = Snapshot.of(
            item.text,
            uri=item.uri,
            language_id=str(getattr(item.language_id, "value", item.language_id)),
            version=item.version,
            encoding=self.encoding,
        )
        self._open[item.uri] = _Open(snapshot)
        return snapshot

    def change(
        self,
        uri: str,
        version: int | None,
        changes: Sequence[types.TextDocumentContentChangeEvent],
    ) -> Snapshot:
        """The document after the changes, all of them or none.

        Args:
            uri: The document's.
            version: Its version then; None, which LSP allowed before 3.16, means the next one.
            changes: Made one after the other.

        Raises:
            UnknownDocumentError: it is not open.
            OutOfSyncError: the version goes backwards, or a change does not fit the text. Edits on
                top of it would go astray, so the document is refused until its text comes whole.
        """
        document = self._find(uri)
        if version is None:
            version = document.snapshot.version + 1
        if changes and isinstance(changes[0], types.TextDocumentContentChangeWholeDocument):
            document.problem = None
        elif document.problem is None and version < document.snapshot.version:
            document.problem = f"version {version} came after {document.snapshot.version}"
        self._require_in_sync(document)
        try:
            self._apply(document, version, changes)
        except PositionError as error:
            document.problem = str(error)
            raise OutOfSyncError(self._sync_message(document)) from error
        self._edits.pop(uri, None)
        self._edits[uri] = None
        return document.snapshot

    def lose(self, uri: str | None, problem: str) -> None:
        """A change could not be read: refuse the document until its text comes whole.

        Args:
            uri: The document's, which need not be open; None: nobody knows, so it may be any.
            problem: What was wrong with the change.
        """
        for each, document in self._open.items():
            if uri in (None, each) and document.problem is None:
                document.problem = problem

    def close(self, uri: str) -> None:
        """Forget a document.

        Raises:
            UnknownDocumentError: it is not open.
        """
        self._find(uri)
        del self._open[uri]
        self._edits.pop(uri, None)

    def get(self, uri: str) -> Snapshot:
        """The current version.

        Raises:
            UnknownDocumentError: it is not open.
            OutOfSyncError: an earlier change did not fit.
        """
        document = self._find(uri)
        self._require_in_sync(document)
        return document.snapshot

    def others(self, uri: str) -> tuple[OpenDocument, ...]:
        """All that are in sync but this one, in order of opening."""
        ages = {edited: age for age, edited in enumerate(reversed(self._edits))}
        return tuple(
            OpenDocument(document.snapshot, document.edited, ages.get(other))
            for other, document in self._open.items()
            if other != uri and document.problem is None
        )

    def _find(self, uri: str) -> _Open:
        if uri not in self._open:
            raise UnknownDocumentError(f"{uri!r} is not open; send textDocument/didOpen first")
        return self._open[uri]

    def _apply(
        self,
        document: _Open,
        version: int,
        changes: Sequence[types.TextDocumentContentChangeEvent],
    ) -> None:
        snapshot, edited = document.snapshot, document.edited
        for change in changes:
            edit = snapshot.edit_of(change)
            whole = isinstance(change, types.TextDocumentContentChangeWholeDocument)
            changed = snapshot.replaced(edit)
            edited = () if whole else _with_edit(edited, snapshot, edit, changed)
            snapshot = changed
        document.snapshot, document.edited = replace(snapshot, version=version), edited

    def _require_in_sync(self, document: _Open) -> None:
        if document.problem is not None:
            raise OutOfSyncError(self._sync_message(document))

    def _sync_message(self, document: _Open) -> str:
        return (
            f"{document.snapshot.uri!r} is out of sync ({document.problem}); "
            "close and open it, or send its whole text"
        )
