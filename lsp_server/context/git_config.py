"""Where git keeps what holds for a whole repository: files that it reads, git itself never runs.

::

    of_repository(top) -> Repository        its ignore files, and whether case counts in them
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.lsp_server.context.look import stamp_of
from midfill.lsp_server.text.git_patterns import is_match

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_BYTES = 1 << 18
"""Bytes of a repository's configuration with all that it includes; what is beyond is not read."""
_DEEPEST = 10
"""Files that include each other, as in git."""
_MOST_INCLUDES = 100
"""Files that may be included, conditions that do not hold counted; the rest is left out."""
_SECTION = re.compile(r"""\[\s*([\w.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\]""")
_ENTRY = re.compile(r"([A-Za-z][\w-]*)[ \t]*(?:=[ \t]*(.*))?")
_FALSE = frozenset({"false", "no", "off", "0", ""})


@dataclass(frozen=True, slots=True)
class Repository:
    """What git's configuration says of a repository."""

    ignore_files: tuple[Path, ...]
    """Those that lie in none of its folders, and need not exist; the one that wins first.

    These are ``info/exclude`` and the user's ``core.excludesFile`` (gitignore(5)).
    """
    ignores_case: bool
    """``core.ignoreCase``: patterns match names in either case."""


def of_repository(top: Path) -> Repository:
    """What holds for the repository whose top this is; without one, what the user has set."""
    own = _own_folder(top / ".git")
    common = None if own is None else _common_folder(own)
    entries = dict(_Configuration(own).entries(_config_files(common)))
    excludes = [] if common is None else [common / "info" / "exclude"]
    named = entries.get("core.excludesfile")
    if named is None:
        excludes.append(_user_folder() / "ignore")
    elif named:
        excludes.append(top / os.path.expanduser(named))
    return Repository(tuple(excludes), entries.get("core.ignorecase", "no").lower() not in _FALSE)


def _user_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or _home() / ".config") / "git"


def _home() -> Path:
    return Path(os.path.expanduser("~"))  # Path.home raises if there is none


def _config_files(common: Path | None) -> Iterator[Path]:
    """The files of the configuration; a later one wins (git-config(1), "FILES")."""
    yield _user_folder() / "config"
    yield _home() / ".gitconfig"
    if common is not None:
        yield common / "config"


def _own_folder(git: Path) -> Path | None:
    """A work tree's folder for git, which a ``.git`` file only leads to."""
    if os.path.isdir(git):
        return git
    pointed = _content(git).removeprefix("gitdir:").strip()
    return git.parent / pointed if pointed else None


def _common_folder(own: Path) -> Path:
    """The folder that all work trees of a repository share."""
    common = _content(own / "commondir").strip()
    return Path(os.path.normpath(own / common)) if common else own


def _content(path: Path, most_bytes: int = _MOST_BYTES) -> str:
    """The text of a small file; "" if there is none."""
    stamp = stamp_of(path)
    if stamp is None or stamp.size > most_bytes:
        return ""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


class _Configuration:
    """The entries of configuration files, and of those that they include.

    Args:
        own: The work tree's folder for git, which conditions ask about; None: there is none.
    """

    def __init__(self, own: Path | None) -> None:
        self._own = own
        self._left_bytes, self._left_includes = _MOST_BYTES, _MOST_INCLUDES

    def entries(self, files: Iterable[Path], depth: int = 0) -> Iterator[tuple[str, str]]:
        """Names, ``section.entry`` in small letters, and values, in order; the last one counts."""
        for file in files:
            text = _content(file, self._left_bytes)
            self._left_bytes -= len(text)
            for section, condition, name, value in _entries(text):
                if section in ("include", "includeif") and name == "path":
                    self._left_includes -= 1
                    is_allowed = depth < _DEEPEST and self._left_includes >= 0
                    if is_allowed and value and self._holds(section, condition, file):
                        included = file.parent / os.path.expanduser(value)
                        yield from self.entries((included,), depth + 1)
                elif condition is None:
                    yield f"{section}.{name}", value

    def _holds(self, section: str, condition: str | None, file: Path) -> bool:
        """Whether to include (git-config(1), "Conditional includes").

        ``hasconfig:`` is not implemented, and does not hold.
        """
        if section == "include" or condition is None or self._own is None:
            return section == "include" and condition is None
        keyword, _, pattern = condition.partition(":")
        if keyword == "onbranch":
            head = _content(self._own / "HEAD").strip()
            branch = head.removeprefix("ref: refs/heads/")
            return branch != head and is_match(_whole(pattern), branch)
        return keyword in ("gitdir", "gitdir/i") and any(
            _is_below(path, pattern, file, ignores_case=keyword == "gitdir/i")
            for path in (os.path.realpath(self._own), os.path.abspath(self._own))
        )


def _is_below(folder: str, pattern: str, file: Path, *, ignores_case: bool) -> bool:
    """Whether the pattern of a condition in a file matches a folder."""
    before = ""
    if pattern.startswith("./"):
        before, pattern = f"{os.path.realpath(file.parent)}/", pattern[2:]
    elif pattern.startswith("~/"):
        pattern = os.path.realpath(_home()) + pattern[1:]
    elif not pattern.startswith("/"):
        pattern = f"**/{pattern}"
    rest = folder.removeprefix(before)
    is_inside = not before or rest != folder
    return is_inside and is_match(_whole(pattern), rest, ignores_case=ignores_case)


def _whole(pattern: str) -> str:
    """A condition's pattern; one for a folder is for all that is below it."""
    return f"{pattern}**" if pattern.endswith("/") else pattern


def _entries(text: str) -> Iterator[tuple[str, str | None, str, str]]:
    """Section, subsection, name and value of each entry of a configuration file, in order.

    ::

        [section "subsection"]
            name = value
    """
    section, subsection = "", None
    for whole in re.sub(r"\\\r?\n", "", text).split("\n"):
        line = whole.strip()
        if head := _SECTION.match(line):
            section, subsection = head[1].lower(), head[2]
            subsection = subsection and re.sub(r"\\(.)", r"\1", subsection)
            line = line[head.end() :].strip()
        if entry := _ENTRY.fullmatch(line):
            value = "true" if entry[2] is None else _unquoted(entry[2])
            yield section, subsection, entry[1].lower(), value


def _unquoted(value: str) -> str:
    """The value without quotes, escapes, and the comment behind it."""
    parts: list[str] = []
    is_quoted = is_escaped = False
    for character in value:
        if is_escaped:
            parts.append({"n": "\n", "t": "\t", "b": "\b"}.get(character, character))
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == '"':
            is_quoted = not is_quoted
        elif character in "#;" and not is_quoted:
            break
        else:
            parts.append(character)
    return "".join(parts).strip()
