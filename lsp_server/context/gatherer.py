"""The parts of other files that go with a completion: gathered, ranked, then left alone.

Sources: recently edited documents, other open ones, files that the current one imports, and files
of the same folder. Only files that ``workspace_files`` allows are shown, open or not.

Gathering is repeated only when what it depends on has changed: other documents, the imports of the
current one, the files on disk (``invalidate``), or the cursor's region. In between, the very same
pieces come back, so that the engine's cache holds. Reading files is time-boxed; what was read by
then is used, and the rest follows with the next request.

::

    ContextGatherer(roots, settings, clock=)         one per client and settings; for one thread
        .gather(located, documents.others(uri)) -> Gathered(pieces, provenance)
        .invalidate()                                files on disk may have changed
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.lsp_server.context.cuts import Cuts
from midfill.lsp_server.context.imported_names import Spot, used_words
from midfill.lsp_server.context.imports import references
from midfill.lsp_server.context.look import Deadline, Look, Skip, Skipped
from midfill.lsp_server.context.ranking import Provenance, identifiers, in_stable_order, ranked
from midfill.lsp_server.context.sources import found_pieces
from midfill.lsp_server.context.workspace_files import WorkspaceFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from midfill.engine.api import ContextPiece
    from midfill.lsp_server.context.imports import Reference
    from midfill.lsp_server.settings import ContextSettings
    from midfill.lsp_server.text.documents import OpenDocument
    from midfill.lsp_server.text.located import Located
    from midfill.lsp_server.text.snapshot import Snapshot

NEAR_LINES = 30
"""Lines above and below the cursor, whose identifiers tell what is relevant."""
FAR_LINES = 60
"""Lines that the cursor has to move by for the context to be gathered anew."""
MAX_REMEMBERED = 32
"""Documents whose context is kept."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a context was gathered from, but for the place."""

    others: tuple[tuple[str, int], ...]
    """URIs and hashes of the texts of the other documents."""
    imports: tuple[Reference, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class Gathered:
    """A context, least relevant first, and why each part of it is shown."""

    pieces: tuple[ContextPiece, ...] = ()
    provenance: tuple[Provenance, ...] = ()
    """Why each piece is shown, in the same order."""
    skipped: tuple[Skip, ...] = ()
    """What was passed over because something is wrong with it."""
    refusal: str | None = None
    """Why the document itself may not reach the model; None: it may."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A context and what it holds for."""

    inputs: _Inputs
    line: int
    used_words: frozenset[str]
    context: Gathered
    is_complete: bool


class ContextGatherer:
    """Gathers context for one client, under one set of settings.

    Args:
        roots: The workspace folders, absolute; without any there is no context.
        settings: The section ``context``.
        clock: Seconds, ever growing; for the time box.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        settings: ContextSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._skipped = Skipped()
        self._cuts = Cuts(masks_secrets=settings.mask_secrets)
        self._files = WorkspaceFiles(
            roots, settings.exclude, settings.max_file_bytes, skipped=self._skipped
        )
        self._settings = settings
        self._clock = clock
        self._revision = self._seen_revision = 0
        self._gathered: OrderedDict[str, _Known] = OrderedDict()

    def gather(self, located: Located, others: Sequence[OpenDocument]) -> Gathered:
        """The context for a completion at a hole."""
        snapshot, path, root = located.snapshot, located.path, located.root
        refusal = None if path is None else self._refusal(path)
        if refusal is not None:
            return Gathered(skipped=(Skip("this document", refusal),), refusal=refusal)
        if path is None or root is None or not self._settings.enabled:
            return Gathered()
        line = snapshot.line_of(located.offset)
        texts = tuple((other.snapshot.uri, hash(other.snapshot.text)) for other in others)
        imports = references(snapshot.text, located.language)
        inputs = _Inputs(texts, imports, self._revision)
        known = self._gathered.get(snapshot.uri)
        if known is None or not _still_holds(known, inputs, line):
            used = used_words(snapshot.text)
            if known is not None and _is_same_work(known, inputs, line):
                used = known.used_words
            spot = Spot(path, root, located.language, imports, used)
            near = identifiers(_around(snapshot, line))
            shown = known.context.pieces if known else ()
            context, is_complete = self._gather(spot, near, others, shown)
            known = _Known(inputs, line, used, context, is_complete)
            self._remember(snapshot.uri, known)
        return known.context

    def invalidate(self) -> None:
        """Look at the files on disk again: one was saved, or changed behind the editor's back."""
        self._revision += 1

    def _refusal(self, path: Path) -> str | None:
        """Why a document that is open may not reach the model."""
        if self._seen_revision != self._revision:
            self._seen_revision = self._revision
            self._files.refresh()
        reason = self._files.hidden(path)
        if reason is not None:
            self._skipped.note(path, f"no completions in it, {reason}")
        return reason

    def _gather(
        self,
        spot: Spot,
        near: frozenset[str],
        others: Sequence[OpenDocument],
        shown: tuple[ContextPiece, ...],
    ) -> tuple[Gathered, bool]:
        self._skipped.clear()
        self._files.refresh()
        deadline = Deadline(self._clock, self._settings.time_limit_ms)
        look = Look(self._skipped, deadline)
        best: dict[ContextPiece, Provenance] = {}
        is_complete = True
        with self._skipped.guard("other files"):
            found, is_complete = found_pieces(
                spot, others, self._files, self._settings, look, self._cuts
            )
            best = ranked(found, near, self._settings)
        pieces = in_stable_order(best, shown)
        provenance = tuple(best[piece] for piece in pieces)
        return Gathered(pieces, provenance, self._skipped.all), is_complete

    def _remember(self, uri: str, gathered: _Known) -> None:
        self._gathered[uri] = gathered
        self._gathered.move_to_end(uri)
        if len(self._gathered) > MAX_REMEMBERED:
            self._gathered.popitem(last=False)


def _still_holds(known: _Known, inputs: _Inputs, line: int) -> bool:
    return known.is_complete and known.inputs == inputs and abs(line - known.line) <= FAR_LINES


def _is_same_work(known: _Known, inputs: _Inputs, line: int) -> bool:
    """Whether the user still writes what the context was first gathered for.

    Then a name that was unused stays one, so that typing it does not change other parts.
    """
    return known.inputs.imports == inputs.imports and abs(line - known.line) <= FAR_LINES


def _around(snapshot: Snapshot, line: int) -> str:
    """The text of the lines near this one."""
    first, last = max(line - NEAR_LINES, 0), min(line + NEAR_LINES, snapshot.line_count - 1)
    return snapshot.text[snapshot.line_start(first) : snapshot.line_end(last)]
