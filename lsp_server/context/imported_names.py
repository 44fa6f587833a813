"""The names that a document imports: which files define them, and which are needed next."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midfill.lsp_server.context.imports import Reference, references, resolve
from midfill.lsp_server.context.name_uses import name_uses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from midfill.lsp_server.context.imports import ImportedFile
    from midfill.lsp_server.context.look import Look
    from midfill.lsp_server.context.workspace_files import WorkspaceFiles
    from midfill.lsp_server.text.languages import Language

PASSED_ON = 3
"""Files at most, one importing from the next, until one that defines a name."""

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Spot:
    """The file that context is wanted for."""

    path: Path
    root: Path
    """The workspace folder that it is in."""
    language: Language
    imports: tuple[Reference, ...]
    used_words: frozenset[str]
    """Words that stand in the document more than once, so that an imported name is used."""


@dataclass(frozen=True, slots=True)
class ImportedNames:
    """What a document imports."""

    files: Mapping[Path, frozenset[str]] = field(default_factory=dict)
    """The imported files, with the names that each defines, or may define."""
    unused: frozenset[str] = frozenset()
    """Names that the document does not use yet: since they are imported, it needs them next."""
    sought: tuple[str, ...] = ()
    """Names whose uses are worth showing: the unused ones, or all if there are none."""


def used_in(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """The names that a text uses."""
    lines = text.split("\n")
    there = (name for name in names if name in text)
    return tuple(name for name in there if any(True for _ in name_uses(lines, (name,))))


def used_words(text: str) -> frozenset[str]:
    """The words that stand in a text at least twice."""
    return frozenset(word for word, count in Counter(_WORD.findall(text)).items() if count > 1)


def imported_names(spot: Spot, files: WorkspaceFiles, look: Look) -> ImportedNames:
    """What the file at a spot imports, as far as files can be looked at before the deadline."""
    defined: dict[Path, frozenset[str]] = {}
    imported = list(resolve(spot.imports, spot.path, spot.language, spot.root, look))
    for _ in range(PASSED_ON):
        further: list[ImportedFile] = []
        for file in imported:
            passed_on = tuple(_passed_on(file, spot, files, look))
            further += passed_on
            own = file.names.difference(*(passed.names for passed in passed_on))
            if own or not file.names:
                defined[file.path] = defined.get(file.path, frozenset()) | own
        imported = further
    names = _modules(spot, look).union(*defined.values())
    unused = names - spot.used_words
    return ImportedNames(defined, unused, tuple(sorted(unused or names)))


def _passed_on(
    file: ImportedFile, spot: Spot, files: WorkspaceFiles, look: Look
) -> Iterator[ImportedFile]:
    """The files that an imported file imports the same names from."""
    is_named = bool(file.names)
    text = files.read(file.path) if is_named and not look.is_over else None
    if text is None:
        return
    for reference in references(text, spot.language):
        if names := file.names.intersection(reference.names):
            again = Reference(reference.target, tuple(sorted(names)))
            further = resolve((again,), file.path, spot.language, spot.root, look)
            yield from (found for found in further if found.path != spot.path)


def _modules(spot: Spot, look: Look) -> frozenset[str]:
    """The names of files that are imported as a whole."""
    whole = [each for each in spot.imports if not each.names and each.target.isidentifier()]
    return frozenset(
        each.target for each in whole if resolve((each,), spot.path, spot.language, spot.root, look)
    )
