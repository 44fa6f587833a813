"""Where context comes from, and how much each source counts.

A file may come from several sources: their weights add up.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from midfill.engine.api import ContextPiece
from midfill.lsp_server.context.excerpts import extract
from midfill.lsp_server.context.imports import Reference, references, resolve
from midfill.lsp_server.context.name_uses import uses
from midfill.lsp_server.context.ranking import Candidate
from midfill.lsp_server.context.workspace_files import path_of, root_of
from midfill.lsp_server.text.languages import language, language_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from midfill.lsp_server.context.imports import ImportedFile
    from midfill.lsp_server.context.workspace_files import WorkspaceFiles
    from midfill.lsp_server.settings import ContextSettings
    from midfill.lsp_server.text.documents import OpenDocument
    from midfill.lsp_server.text.languages import Language
    from midfill.lsp_server.text.lines import LineRange
    from midfill.lsp_server.text.snapshot import Snapshot

WEIGHTS = {
    "notebook": 0.5,
    "edited": 0.4,
    "imported": 0.2,
    "defines": 0.3,
    "uses": 0.4,
    "open": 0.15,
    "neighbour": 0.08,
}
"""By reason. For ``notebook``, the document is another cell of the same one; ``defines`` and
``uses`` are for names that the document imports and does not use yet: they are needed next."""
EDITED_LESS = 0.05
"""For each document that was edited since, down to half."""
PASSED_ON = 3
"""Files at most, one importing from the next, until one that defines a name."""
NO_REASONS: Mapping[str, float] = MappingProxyType({})

_WORD = re.compile(r"\w+")


class Deadline:
    """A time box, started now."""

    def __init__(self, clock: Callable[[], float], limit_ms: float) -> None:
        self._clock = clock
        self._end = clock() + limit_ms / 1000

    @property
    def has_passed(self) -> bool:
        """Whether the time is over."""
        return self._clock() >= self._end


@dataclass(frozen=True, slots=True)
class Spot:
    """The document that context is wanted for."""

    snapshot: Snapshot
    path: Path
    root: Path
    """The workspace folder that it is in."""
    language: Language
    imports: tuple[Reference, ...]
    used_words: frozenset[str]
    """Words that stand in the document more than once, so that an imported name is used."""


def used_words(text: str) -> frozenset[str]:
    """The words that stand in a text at least twice."""
    return frozenset(word for word, count in Counter(_WORD.findall(text)).items() if count > 1)


def found_pieces(
    spot: Spot,
    others: Sequence[OpenDocument],
    files: WorkspaceFiles,
    settings: ContextSettings,
    deadline: Deadline,
) -> tuple[list[Candidate], bool]:
    """All parts that might be shown, and whether the time sufficed to read all files."""
    source = _Source(spot, files, settings, deadline)
    found = list(source.open_documents(others))
    open_paths = {path_of(other.snapshot.uri) for other in others}
    for path in source.files_to_read(open_paths):
        if deadline.has_passed:
            return found, False
        text = files.read(path)
        if text is not None:
            found += source.candidate(path, text, language(language_id_of(path.name)))
    return found, True


class _Source:
    """The sources for one spot."""

    def __init__(
        self, spot: Spot, files: WorkspaceFiles, settings: ContextSettings, deadline: Deadline
    ) -> None:
        self._spot = spot
        self._deadline = deadline
        self._files = files
        self._settings = settings
        self._imported = self._resolve()
        names = self._modules().union(*self._imported.values())
        self._unused = names - spot.used_words  # needed next, since they are imported
        self._sought = tuple(sorted(self._unused or names))

    def open_documents(self, others: Sequence[OpenDocument]) -> Iterator[Candidate]:
        """The other documents, as they are in the editor."""
        for other in others:
            path = path_of(other.snapshot.uri)
            if path is not None and self._files.allows(path):
                reasons = self._reasons_of_open(other, path)
                row = language(other.snapshot.language_id)
                edited = other.edited if self._settings.recent_edits else ()
                yield from self.candidate(path, other.snapshot.text, row, reasons, edited)

    def files_to_read(self, open_paths: set[Path | None]) -> list[Path]:
        """Imported files, neighbours and cousins that are not open, the more relevant first."""
        paths = list(self._imported)
        if self._settings.neighbours:
            paths += self._files.siblings(self._spot.path, self._spot.language.suffixes)
            paths += self._files.cousins(self._spot.path, self._spot.language.suffixes)
        unread = dict.fromkeys(path for path in paths if path not in open_paths)
        return list(unread)[: self._settings.max_files]

    def candidate(
        self,
        path: Path,
        text: str,
        row: Language,
        reasons: Mapping[str, float] = NO_REASONS,
        edited: Sequence[LineRange] = (),
    ) -> Iterator[Candidate]:
        """The file's part with its weight, if there is a reason to show it."""
        names = self._imported.get(path, frozenset())
        used = self._used_in(text) if row.id == self._spot.language.id else ()
        reasons = {**reasons, **self._reasons_of_place(path), **self._reasons_of_names(names, used)}
        first = tuple(dict.fromkeys((*used, *(name for name in self._sought if name in names))))
        shown = extract(text, row, self._settings.max_piece_lines, edited, sorted(names), first)
        if shown.text and reasons:
            root = root_of(path, self._files.roots) or path.parent
            piece = ContextPiece(path.relative_to(root).as_posix(), shown.text)
            yield Candidate(piece, sum(reasons.values()), tuple(reasons), shown.lines)

    def _used_in(self, text: str) -> tuple[str, ...]:
        """The sought names that a text uses."""
        lines = text.split("\n")
        there = (name for name in self._sought if name in text)
        return tuple(name for name in there if any(True for _ in uses(lines, (name,))))

    def _reasons_of_names(self, names: frozenset[str], used: Sequence[str]) -> dict[str, float]:
        reasons = {}
        if names & self._unused:
            reasons["defines"] = WEIGHTS["defines"]
        if self._unused.intersection(used):
            reasons["uses"] = WEIGHTS["uses"]
        return reasons

    def _resolve(self) -> Mapping[Path, frozenset[str]]:
        """The imported files with the names that each defines, or may define."""
        if not self._settings.imports:
            return {}
        spot = self._spot
        found: dict[Path, frozenset[str]] = {}
        files = list(resolve(spot.imports, spot.path, spot.language, spot.root))
        for _ in range(PASSED_ON):
            further: list[ImportedFile] = []
            for file in files:
                passed_on = tuple(self._passed_on(file))
                further += passed_on
                own = file.names.difference(*(passed.names for passed in passed_on))
                if own or not file.names:
                    found[file.path] = found.get(file.path, frozenset()) | own
            files = further
        return found

    def _modules(self) -> frozenset[str]:
        """The names of files that are imported as a whole."""
        spot, is_wanted = self._spot, self._settings.imports
        whole = [r for r in spot.imports if is_wanted and not r.names and r.target.isidentifier()]
        return frozenset(
            r.target for r in whole if resolve((r,), spot.path, spot.language, spot.root)
        )

    def _passed_on(self, file: ImportedFile) -> Iterator[ImportedFile]:
        """The files that an imported file imports the same names from."""
        row, is_named = self._spot.language, bool(file.names)
        text = self._files.read(file.path) if is_named and not self._deadline.has_passed else None
        if text is None:
            return
        for reference in references(text, row):
            if names := file.names.intersection(reference.names):
                again = Reference(reference.target, tuple(sorted(names)))
                further = resolve((again,), file.path, row, self._spot.root)
                yield from (found for found in further if found.path != self._spot.path)

    def _reasons_of_open(self, other: OpenDocument, path: Path) -> dict[str, float]:
        reasons = {}
        if self._settings.open_documents:
            reason = "notebook" if path == self._spot.path else "open"
            reasons[reason] = WEIGHTS[reason]
        if self._settings.recent_edits and other.edit_age is not None:
            full = WEIGHTS["edited"]
            reasons["edited"] = max(full - EDITED_LESS * other.edit_age, full / 2)
        return reasons

    def _reasons_of_place(self, path: Path) -> dict[str, float]:
        reasons = {}
        if path in self._imported:
            reasons["imported"] = WEIGHTS["imported"]
        if self._settings.neighbours and path.parent == self._spot.path.parent:
            reasons["neighbour"] = WEIGHTS["neighbour"]
        return reasons
