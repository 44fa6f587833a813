"""Whether git would ignore a file, by the ignore files that hold for it (gitignore(5)).

These are the nested ``.gitignore`` files up to the repository's top and ``.git/info/exclude``.

::

    GitIgnore()
        .ignores(root, path) -> bool
        .refresh() -> bool              whether an ignore file has changed on disk
    stamp_of(path) -> Stamp | None
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec
from pathspec.pattern import RegexPattern

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file must still have for what we know of it to hold."""

    mtime_ns: int
    size: int


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a regular file; None if it is none, or cannot be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Stamp(status.st_mtime_ns, status.st_size)


_Patterns = list[tuple[re.Pattern[str], bool]]
"""Regular expressions, and whether what they match is ignored or taken back; the last one wins."""


def _patterns(lines: Iterable[str]) -> _Patterns:
    parsed = [p for p in GitIgnoreSpec.from_lines(lines).patterns if isinstance(p, RegexPattern)]
    return [(p.regex, p.include) for p in parsed if p.regex is not None and p.include is not None]


def _verdict(patterns: _Patterns, name: str) -> bool | None:
    """What the last pattern says that matches the path itself; None if none does."""
    for regex, ignored in reversed(patterns):
        if any(_is_of_path_itself(match, name) for match in regex.finditer(name)):
            return ignored
    return None


def _is_of_path_itself(match: re.Match[str], name: str) -> bool:
    """Whether a match is of the path, and not of a folder that it is in or that it is.

    The slash of such a folder is marked by pathspec with the group ``ps_d``; by ``x/**``, the
    inside of ``x`` is meant, and not ``x``.
    """
    reaches_end = match.end() == len(name)
    marked = match.groupdict().get("ps_d")
    return reaches_end if marked else not (reaches_end and name.endswith("/"))


class GitIgnore:
    """The ignore files that were looked at; for one thread at a time."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[Stamp | None, _Patterns]] = {}

    def refresh(self) -> bool:
        """Look at the ignore files again; whether one has changed, and all were forgotten."""
        has_changed = any(stamp_of(path) != stamp for path, (stamp, _) in self._files.items())
        if has_changed:
            self._files.clear()
        return has_changed

    def ignores(self, root: Path, path: Path) -> bool:
        """Whether git would: the file, or any folder it is in (gitignore(5))."""
        top = next((f for f in (root, *root.parents) if (f / ".git").exists()), root)
        inside = path.relative_to(top).parts
        steps = [top.joinpath(*inside[:count]) for count in range(1, len(inside) + 1)]
        return any(self._matches(top, step, folder=step != path) for step in steps)

    def _matches(self, top: Path, path: Path, *, folder: bool) -> bool:
        """What the ignore file that decides says: the innermost one with a matching pattern."""
        holders = [
            (above, above / ".gitignore") for above in path.parents if above.is_relative_to(top)
        ]
        holders.append((top, top / ".git" / "info" / "exclude"))
        for holder, ignore_file in holders:
            name = path.relative_to(holder).as_posix() + ("/" if folder else "")
            verdict = _verdict(self._patterns(ignore_file), name)
            if verdict is not None:
                return verdict
        return False

    def _patterns(self, ignore_file: Path) -> _Patterns:
        if ignore_file not in self._files:
            stamp = stamp_of(ignore_file)
            try:
                lines = ignore_file.read_text("utf-8", "replace").split("\n") if stamp else []
            except OSError:
                lines = []
            self._files[ignore_file] = stamp, _patterns(lines)
        return self._files[ignore_file][1]
