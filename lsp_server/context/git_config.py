"""Where git keeps what holds for a whole repository: files that it reads, git itself never runs.

::

    repository_files(top) -> (Path, ...)        ignore files, the one that wins first
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.lsp_server.context.look import stamp_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_CONFIG = 1 << 20
"""Bytes; a larger one is not for people, and is not read."""
_SECTION = re.compile(r"""\[\s*([\w.-]+)(?:\s+"(?:[^"\\]|\\.)*")?\s*\]""")
_ENTRY = re.compile(r"([A-Za-z][\w-]*)[ \t]*(?:=[ \t]*(.*))?")


def repository_files(top: Path) -> tuple[Path, ...]:
    """The ignore files of a repository that lie in none of its folders, and need not exist.

    These are ``info/exclude`` and the user's ``core.excludesFile`` (gitignore(5)).
    """
    folder = _common_folder(top / ".git")
    excludes = [] if folder is None else [folder / "info" / "exclude"]
    return (*excludes, *_excludes_file(top, folder))


def _common_folder(git: Path) -> Path | None:
    """The repository's own folder, which a work tree's ``.git`` file only leads to."""
    if os.path.isdir(git):
        return git
    pointed = _content(git).removeprefix("gitdir:").strip()
    if not pointed:
        return None
    own = git.parent / pointed
    common = _content(own / "commondir").strip()
    return Path(os.path.normpath(own / common)) if common else own


def _excludes_file(top: Path, folder: Path | None) -> Iterator[Path]:
    """The file that the last configuration names (git-config(1), "FILES"), or git's default."""
    home = Path(os.path.expanduser("~"))  # Path.home raises if there is none
    user = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "git"
    configs = [user / "config", home / ".gitconfig"]
    if folder is not None:
        configs.append(folder / "config")
    named = [value for config in configs for value in _values(_content(config))]
    if not named:
        yield user / "ignore"
    elif named[-1]:
        yield top / os.path.expanduser(named[-1])


def _content(path: Path) -> str:
    """The text of a small file; "" if there is none."""
    stamp = stamp_of(path)
    if stamp is None or stamp.size > _LARGEST_CONFIG:
        return ""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _values(text: str) -> Iterator[str]:
    """The values of ``core.excludesFile`` in a configuration file, in order."""
    section = ""
    for whole in re.sub(r"\\\r?\n", "", text).split("\n"):
        line = whole.strip()
        if head := _SECTION.match(line):
            section, line = head[1].lower(), line[head.end() :].strip()
        entry = _ENTRY.fullmatch(line)
        if section == "core" and entry and entry[1].lower() == "excludesfile":
            yield _unquoted(entry[2] or "")


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
