"""The sources of context, and how much each one counts.

A source names files that may be worth showing, open in the editor or on disk. A file may come from
several sources: their weights add up, and so do those of the names that it defines and uses.

A new source is one function here, and one row of ``SOURCES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.engine.api import ContextPiece
from midfill.lsp_server.context.cuts import WantedPart
from midfill.lsp_server.context.imported_names import ImportedNames, imported_names
from midfill.lsp_server.context.ranking import FoundPiece
from midfill.lsp_server.text.languages import language, language_id_of
from midfill.lsp_server.text.lines import well_formed
from midfill.lsp_server.text.located import name_in, path_in, root_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from midfill.lsp_server.context.cuts import Cuts
    from midfill.lsp_server.context.imported_names import Spot
    from midfill.lsp_server.context.look import Look
    from midfill.lsp_server.context.workspace_files import WorkspaceFiles
    from midfill.lsp_server.settings import ContextSettings
    from midfill.lsp_server.text.documents import OpenDocument
    from midfill.lsp_server.text.languages import Language
    from midfill.lsp_server.text.lines import LineRange

NAME_WEIGHTS = {"defines": 0.3, "uses": 0.4}
"""Weights of a file that defines, or uses, a name which the document imports and does not use yet:
it is needed next."""
EDITED_LESS = 0.125
"""The share that an edited document loses for each other one that was edited since; half stays."""


@dataclass(frozen=True, slots=True)
class OpenFile:
    """Another document that is open in the editor, and may be shown."""

    path: Path
    document: OpenDocument


@dataclass(frozen=True, slots=True)
class Search:
    """All that a source can look at."""

    spot: Spot
    names: ImportedNames
    open: tuple[OpenFile, ...]
    """Files open in the editor, in the order of opening; cells of a notebook share a path."""
    files: WorkspaceFiles
    settings: ContextSettings
    look: Look
    """What looks at the disk, and knows when the time is over."""
    cuts: Cuts


Find = Callable[[Search], Iterator[tuple[Path | OpenFile, float]]]
"""A source: files, the more relevant first, and which share of its weight each gets, 0 to 1.

A path means the file as it is in the editor, if it is open. At 0, a file is only looked at, because
it may define or use a name."""


def _notebook_cells(search: Search) -> Iterator[tuple[OpenFile, float]]:
    """Other cells of the same notebook."""
    if search.settings.open_documents:
        yield from ((each, 1.0) for each in search.open if each.path == search.spot.path)


def _open_documents(search: Search) -> Iterator[tuple[OpenFile, float]]:
    if search.settings.open_documents:
        yield from ((each, 1.0) for each in search.open if each.path != search.spot.path)


def _edited_documents(search: Search) -> Iterator[tuple[OpenFile, float]]:
    """The last edited one counts most."""
    if search.settings.recent_edits:
        for each in search.open:
            age = each.document.edit_age
            if age is not None:
                yield each, max(1 - EDITED_LESS * age, 0.5)


def _imported_files(search: Search) -> Iterator[tuple[Path, float]]:
    yield from ((path, 1.0) for path in search.names.files)


def _neighbours(search: Search) -> Iterator[tuple[Path, float]]:
    """Files of the same folder; and, only looked at, files of the folders around it."""
    if search.settings.neighbours:
        path, suffixes = search.spot.path, search.spot.language.suffixes
        known = (*(each.path for each in search.open), *search.names.files)
        yield from ((each, 1.0) for each in known if each.parent == path.parent)
        yield from ((each, 1.0) for each in search.files.siblings(path, suffixes, search.look))
        yield from ((each, 0.0) for each in search.files.cousins(path, suffixes, search.look))


@dataclass(frozen=True, slots=True)
class ContextSource:
    """One row: a source."""

    reason: str
    """What ``midfill/explain`` calls it."""
    weight: float
    find: Find


SOURCES = (
    ContextSource("notebook", 0.5, _notebook_cells),
    ContextSource("open", 0.15, _open_documents),
    ContextSource("edited", 0.4, _edited_documents),
    ContextSource("imported", 0.2, _imported_files),
    ContextSource("neighbour", 0.08, _neighbours),
)
"""All sources; of the files on disk, those of the first are read first."""


def found_pieces(
    spot: Spot,
    others: Sequence[OpenDocument],
    files: WorkspaceFiles,
    settings: ContextSettings,
    look: Look,
    cuts: Cuts,
) -> tuple[list[FoundPiece], bool]:
    """All parts that might be shown, and whether the time sufficed to look at all files."""
    names = ImportedNames()
    if settings.imports:
        with look.skipped.guard("imported files"):
            names = imported_names(spot, files, look)
    open_files = tuple(_open_files(others, files))
    search = Search(spot, names, open_files, files, settings, look, cuts)
    weights = _weights(search)
    found: list[FoundPiece] = []
    for text in _texts(search, weights):
        with look.skipped.guard(text.path):
            reasons = weights.get(text.source, {}) | weights.get(text.path, {})
            found += _pieces(search, text, reasons)
    return found, not look.was_over


def _open_files(others: Sequence[OpenDocument], files: WorkspaceFiles) -> Iterator[OpenFile]:
    for other in others:
        path = path_in(other.snapshot.uri, files.roots)
        if path is not None and files.allows(path):
            yield OpenFile(path, other)


def _texts(search: Search, weights: Mapping[Path | OpenFile, object]) -> Iterator[_Text]:
    """What there is time to read: open files, the last edited ones first, then those on disk."""
    for each in sorted(search.open, key=_age):
        if search.look.is_over:
            return
        yield _text_of(each, search.settings)
    open_paths = {each.path for each in search.open}
    unread = [each for each in weights if isinstance(each, Path) and each not in open_paths]
    for path in unread[: search.settings.max_files]:
        if search.look.is_over:
            return
        text = search.files.read(path)
        if text is not None:
            yield _Text(path, path, text, language(language_id_of(path.name)))


def _age(file: OpenFile) -> tuple[bool, int]:
    """What orders open files: the last edited one first, those never edited last."""
    age = file.document.edit_age
    return age is None, age or 0


def _weights(search: Search) -> dict[Path | OpenFile, dict[str, float]]:
    """The files that the sources name, and the weights of the reasons for each."""
    weights: dict[Path | OpenFile, dict[str, float]] = {}
    for source in SOURCES:
        found = search.look.skipped.guarded(f"the source {source.reason!r}", source.find(search))
        for file, share in found:
            reasons = weights.setdefault(file, {})
            if share:
                reasons[source.reason] = source.weight * share
    return weights


@dataclass(frozen=True, slots=True)
class _Text:
    """What is known of a file that was read, or is open."""

    source: Path | OpenFile
    path: Path
    text: str
    language: Language
    edited: tuple[LineRange, ...] = ()
    """Lines that were edited lately, the last edit last."""


def _text_of(file: OpenFile, settings: ContextSettings) -> _Text:
    document = file.document
    edited = document.edited if settings.recent_edits else ()
    snapshot = document.snapshot
    return _Text(file, file.path, snapshot.text, language(snapshot.language_id), edited)


def _pieces(search: Search, file: _Text, reasons: dict[str, float]) -> Iterator[FoundPiece]:
    """The file's part with its weight, if there is a reason to show it."""
    names = search.names
    defined = names.files.get(file.path, frozenset())
    sought = names.sought if file.language.id == search.spot.language.id else ()
    first = tuple(name for name in names.sought if name in defined)
    most = search.settings.max_piece_lines
    wanted = WantedPart(most, file.edited, tuple(sorted(defined)), sought, first)
    cut = search.cuts.of(file.text, file.language, wanted)
    of_names = {"defines": names.unused & defined, "uses": names.unused.intersection(cut.used)}
    reasons = reasons | {why: NAME_WEIGHTS[why] for why, which in of_names.items() if which}
    if cut.shown.text and reasons:
        name = name_in(root_of(file.path, search.files.roots), file.path)
        piece = ContextPiece(name, well_formed(cut.shown.text))
        yield FoundPiece(piece, sum(reasons.values()), tuple(reasons), cut.shown.lines)
