"""Whether git or the user would ignore a file, by the ignore files that hold for it (gitignore(5)).

For git these are the nested ``.gitignore`` files up to the repository's top, ``.git/info/exclude``
and the user's ``core.excludesFile``. Nested ``.midfillignore`` files hide more from the model, and
take nothing back of git's.

::

    IgnoreFiles(skipped)
        .reason(root, path) -> str | None       the pattern's file, if it is ignored
        .refresh() -> bool                      whether an ignore file has changed on disk
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.lsp_server.context.git_config import Repository, of_repository
from midfill.lsp_server.context.look import Skip, Stamp, stamp_of
from midfill.lsp_server.text.git_patterns import Patterns, wild_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from midfill.lsp_server.context.look import Skipped

LARGEST_IGNORE_FILE = 1 << 20
"""Bytes; of a larger one nothing is read, and all that it could hide is hidden."""
MOST_PATTERNS = 5000
"""Patterns of one file; with more, all that they could hide is hidden."""
MOST_WILD_BYTES = 1 << 15
"""Bytes of one file's patterns with wildcards; with more, all that they could hide is hidden."""
MOST_PROBLEMS = 10
"""Patterns of one file that are said to be bad."""
OWN_IGNORE_FILE = ".midfillignore"
"""Patterns as in .gitignore, for the model alone."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class _IgnoreFile:
    """What is known of an ignore file, or of its absence."""

    stamp: Stamp | None
    patterns: Patterns | None
    """None: it is not read, and hides all that is below it."""
    problems: tuple[Skip, ...] = ()


class IgnoreFiles:
    """The ignore files that were looked at; for one thread at a time.

    Args:
        skipped: Gets the patterns and files that cannot be used.
    """

    def __init__(self, skipped: Skipped) -> None:
        self._skipped = skipped
        self._files: dict[tuple[Path, bool], _IgnoreFile] = {}
        """By path, and whether it ignores case."""
        self._tops: dict[Path, Path] = {}
        self._repositories: dict[Path, Repository] = {}
        self._folders: dict[tuple[Path, Path], Path | None] = {}
        """What hides a folder, below a repository's top."""

    def refresh(self) -> bool:
        """Look at the ignore files again; whether one has changed, and all were forgotten."""
        has_changed = (
            any(stamp_of(path) != file.stamp for (path, _), file in self._files.items())
            or any(_top(root) != top for root, top in self._tops.items())
            or any(of_repository(top) != known for top, known in self._repositories.items())
        )
        if has_changed:
            self._files.clear()
            self._tops.clear()
            self._repositories.clear()
            self._folders.clear()
        for problem in (each for file in self._files.values() for each in file.problems):
            self._skipped.note(problem.what, problem.why)
        return has_changed

    def reason(self, root: Path, path: Path) -> str | None:
        """Which ignore file hides it, or any folder that it is in; None if none does."""
        if root not in self._tops:
            self._tops[root] = _top(root)
        top = self._tops[root]
        if top not in self._repositories:
            self._repositories[top] = of_repository(top)
        hider = self._hider(top, path, is_folder=False)
        return None if hider is None else f"ignored by {hider.name}"

    def _hider(self, top: Path, path: Path, *, is_folder: bool) -> Path | None:
        """The ignore file that hides a path, or a folder that it is in."""
        if path == top:
            return None
        if is_folder and (top, path) in self._folders:
            return self._folders[top, path]
        hider = self._hider(top, path.parent, is_folder=True)
        repository = self._repositories[top]
        for name, others in ((".gitignore", repository.ignore_files), (OWN_IGNORE_FILE, ())):
            if hider is None or (name == OWN_IGNORE_FILE and hider.name != name):
                holders = [(up, up / name) for up in path.parents if up.is_relative_to(top)]
                holders += [(top, other) for other in others]
                hider = self._decider(top, path, holders, is_folder=is_folder) or hider
        if is_folder:
            self._folders[top, path] = hider
        return hider

    def _decider(
        self, top: Path, path: Path, holders: Sequence[tuple[Path, Path]], *, is_folder: bool
    ) -> Path | None:
        """The file that hides a path itself: if the innermost one with a pattern for it does.

        Args:
            top: The repository's, which says whether case counts.
            path: Absolute.
            holders: The folders that patterns start at, and their ignore files.
            is_folder: Whether the path is one.
        """
        ignores_case = self._repositories[top].ignores_case
        for holder, ignore_file in holders:
            patterns = self._file(ignore_file, ignores_case=ignores_case).patterns
            if patterns is None:
                return ignore_file
            inside = os.fsencode(path.relative_to(holder).as_posix())
            verdict = patterns.verdict(inside, is_folder=is_folder)
            if verdict is not None:
                return ignore_file if verdict else None
        return None

    def _file(self, path: Path, *, ignores_case: bool) -> _IgnoreFile:
        if (path, ignores_case) not in self._files:
            file = self._files[path, ignores_case] = _read(path, ignores_case=ignores_case)
            for problem in file.problems:
                self._skipped.note(problem.what, problem.why)
        return self._files[path, ignores_case]


def _top(root: Path) -> Path:
    """The top of the repository that the folder is in; without one, the folder."""
    above = (folder for folder in (root, *root.parents) if os.path.exists(folder / ".git"))
    return next(above, root)


def _read(path: Path, *, ignores_case: bool) -> _IgnoreFile:
    problems: list[Skip] = []
    stamp = stamp_of(path)
    lines: list[bytes] = []
    if stamp is not None and stamp.size > LARGEST_IGNORE_FILE:
        return _too_large(path, stamp, f"larger than {LARGEST_IGNORE_FILE} bytes")
    try:
        data = path.read_bytes() if stamp else b""
        lines = data.removeprefix(_BYTE_ORDER_MARK).split(b"\n")
    except OSError as error:  # git reads on without it, too
        problems.append(Skip(str(path), error.strerror or type(error).__name__))
    written = [line.removesuffix(b"\r") for line in lines if line.strip() and line[:1] != b"#"]
    if len(written) > MOST_PATTERNS:
        return _too_large(path, stamp, f"more than {MOST_PATTERNS} patterns")
    if wild_bytes(written) > MOST_WILD_BYTES:
        return _too_large(path, stamp, f"more than {MOST_WILD_BYTES} bytes with wildcards")

    def note(pattern: str, why: str) -> None:
        if len(problems) < MOST_PROBLEMS:
            problems.append(Skip(f"the pattern {pattern} of {path}", why))

    patterns = Patterns(written, note, ignores_case=ignores_case)
    return _IgnoreFile(stamp, patterns, tuple(problems))


def _too_large(path: Path, stamp: Stamp | None, why: str) -> _IgnoreFile:
    skip = Skip(str(path), f"{why}: all that is below it counts as ignored")
    return _IgnoreFile(stamp, None, (skip,))
