"""Where context comes from, and how much each source counts.

A file may come from several sources: their weights add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from midfill.engine.api import ContextPiece
from midfill.lsp_server.context_ranking import Candidate
from midfill.lsp_server.extracts import extract
from midfill.lsp_server.imports import resolve
from midfill.lsp_server.languages import language, language_id_of
from midfill.lsp_server.workspace_files import path_of, root_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from midfill.lsp_server.documents import LineRange, OpenDocument
    from midfill.lsp_server.imports import Reference
    from midfill.lsp_server.languages import Language
    from midfill.lsp_server.settings import ContextSettings
    from midfill.lsp_server.snapshot import Snapshot
    from midfill.lsp_server.workspace_files import WorkspaceFiles

WEIGHTS = {"notebook": 0.5, "edited": 0.4, "imported": 0.4, "open": 0.15, "neighbour": 0.08}
"""By reason; for ``notebook``, the document is another cell of the same one."""
EDITED_LESS = 0.05
"""For each document that was edited since, down to half."""
NO_REASONS: Mapping[str, float] = MappingProxyType({})


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


def candidates(
    spot: Spot,
    others: Sequence[OpenDocument],
    files: WorkspaceFiles,
    settings: ContextSettings,
    deadline: Deadline,
) -> tuple[list[Candidate], bool]:
    """All parts that might be shown, and whether the time sufficed to read all files."""
    source = _Source(spot, files, settings)
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

    def __init__(self, spot: Spot, files: WorkspaceFiles, settings: ContextSettings) -> None:
        self._spot = spot
        self._files = files
        self._settings = settings
        self._imported = self._resolve()

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
        """Imported files and neighbours that are not open, the more relevant first."""
        paths = list(self._imported)
        if self._settings.neighbours:
            paths += self._files.siblings(self._spot.path, self._spot.language.suffixes)
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
        reasons = {**reasons, **self._reasons_of_place(path)}
        names = self._imported.get(path, frozenset())
        shown = extract(text, row, self._settings.max_piece_lines, edited, names)
        if shown.text and reasons:
            root = root_of(path, self._files.roots) or path.parent
            piece = ContextPiece(path.relative_to(root).as_posix(), shown.text)
            yield Candidate(piece, sum(reasons.values()), tuple(reasons), shown.lines)

    def _resolve(self) -> Mapping[Path, frozenset[str]]:
        if not self._settings.imports:
            return {}
        spot = self._spot
        found = resolve(spot.imports, spot.path, spot.language, spot.root)
        return {file.path: file.names for file in found}

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
