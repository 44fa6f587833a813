"""What may be read as context, and its text.

A file may be read if it is inside a workspace folder, symbolic links resolved; if neither git
(nested ``.gitignore`` files up to the repository's top, ``.git/info/exclude``) nor our patterns
leave it out; and if it is a UTF-8 text of moderate size. The patterns also hold for what a link
points to.

::

    WorkspaceFiles(roots, exclude=, max_file_bytes=, max_cache_bytes=)
        .allows(path) -> bool               .read(path) -> str | None
        .siblings(path, suffixes) -> [Path, ...]
        .refresh()                          look at the ignore files again
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from midfill.lsp_server.context.git_ignore import GitIgnore, Stamp, stamp_of
from midfill.lsp_server.text.located import root_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

EXCLUDED = (
    # secrets
    ".env*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.gpg",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".pgpass", ".npmrc",
    ".pypirc", ".htpasswd", ".git-credentials", ".dockercfg", "credentials", "credentials.json",
    "secrets.json", "secrets.toml", "secrets.yaml", "secrets.yml", "*.tfstate*", "*.tfvars",
    ".ssh/", ".aws/", ".gnupg/", ".kube/",
    # version control, dependencies and what builds leave behind
    ".git/", ".hg/", ".svn/", "node_modules/", "bower_components/", ".venv/", "venv/",
    "site-packages/", "__pycache__/", ".tox/", ".nox/", ".mypy_cache/", ".pytest_cache/",
    ".ruff_cache/", "*.egg-info/", "build/", "dist/", "target/", ".next/", ".nuxt/", ".gradle/",
    # written by tools
    "*.lock", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "go.sum",
    "*.min.js", "*.min.css", "*.map",
)  # fmt: skip
"""Patterns as in .gitignore that hold in every workspace."""

_SNIFFED_BYTES = 8192
_MAX_VERDICTS = 10_000


@dataclass(frozen=True, slots=True)
class _Text:
    """What a file held; None: it is not a text."""

    stamp: Stamp
    text: str | None


def _shared(one: str, other: str) -> int:
    """How many characters two names start with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _folders(path: Path) -> list[Path]:
    """The folders in a folder, by name, without hidden ones."""
    return [path / entry for entry in _names(path, of_folders=True) if not entry.startswith(".")]


def _files(path: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [path / name for name in _names(path, of_folders=False) if name.endswith(suffixes)]


def _names(path: Path, *, of_folders: bool) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() == of_folders)
    except OSError:
        return []


def _decoded(data: bytes) -> str | None:
    """The text of a UTF-8 file, without a byte-order mark; None for binary data."""
    if b"\0" in data[:_SNIFFED_BYTES]:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


class Deadline:
    """A time box for reading files, started now.

    Args:
        clock: Seconds, ever growing.
        limit_ms: Milliseconds.
    """

    def __init__(self, clock: Callable[[], float], limit_ms: float) -> None:
        self._clock = clock
        self._end = clock() + limit_ms / 1000

    @property
    def has_passed(self) -> bool:
        """Whether the time is over."""
        return self._clock() >= self._end


class WorkspaceFiles:
    """The readable files of some workspace folders; for one thread at a time.

    Args:
        roots: The folders, absolute.
        exclude: Patterns as in .gitignore, relative to the root, after the built-in ones.
        max_file_bytes: Larger files are not read.
        max_cache_bytes: For texts kept in memory, so that unchanged files are not read again.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        exclude: Sequence[str] = (),
        max_file_bytes: int = 1 << 18,
        max_cache_bytes: int = 1 << 25,
    ) -> None:
        self.roots = tuple(roots)
        self._exclude = GitIgnoreSpec.from_lines([*EXCLUDED, *exclude])
        self._max_file_bytes = max_file_bytes
        self._max_cache_bytes = max_cache_bytes
        self._texts: OrderedDict[Path, _Text] = OrderedDict()
        self._cached_bytes = 0
        self._git = GitIgnore()
        self._verdicts: dict[Path, bool] = {}

    def allows(self, path: Path) -> bool:
        """Whether the file, which need not exist, may be shown to the model."""
        if path not in self._verdicts:
            if len(self._verdicts) >= _MAX_VERDICTS:
                self._verdicts.clear()
            self._verdicts[path] = self._judge(path)
        return self._verdicts[path]

    def read(self, path: Path) -> str | None:
        """The text of the file, or None if it may not, cannot or should not be read."""
        if not self.allows(path):
            return None
        stamp = stamp_of(path)
        if stamp is None or stamp.size > self._max_file_bytes:
            return None
        known = self._texts.get(path)
        if known is not None and known.stamp == stamp:
            self._texts.move_to_end(path)
            return known.text
        return self._load(path, stamp)

    def siblings(self, path: Path, suffixes: Iterable[str]) -> list[Path]:
        """Files beside this one that end so: those with the most similar name first."""
        wanted = tuple(suffixes)
        try:
            with os.scandir(path.parent) as entries:
                names = [entry.name for entry in entries if entry.name.endswith(wanted)]
        except OSError:
            return []
        names.sort(key=lambda name: (-_shared(name, path.name), name))
        return [path.with_name(name) for name in names if name != path.name]

    def cousins(self, path: Path, suffixes: Iterable[str]) -> list[Path]:
        """Files that end so in the folders around this one's: below it, above it, beside it."""
        own, root = path.parent, root_of(path, self.roots)
        if root is None:
            return []
        above = [own.parent] if own != root else []
        folders = [*_folders(own), *above, *(f for up in above for f in _folders(up) if f != own)]
        wanted = tuple(suffixes)
        return [file for folder in folders for file in _files(folder, wanted)]

    def refresh(self) -> None:
        """Forget what no longer holds if an ignore file has changed on disk."""
        if self._git.refresh():
            self._verdicts.clear()

    def _load(self, path: Path, stamp: Stamp) -> str | None:
        try:
            text = _decoded(path.read_bytes())
        except OSError:
            return None
        self._forget(path)
        self._texts[path] = _Text(stamp, text)
        self._cached_bytes += stamp.size
        while self._cached_bytes > self._max_cache_bytes:
            self._forget(next(iter(self._texts)))
        return text

    def _forget(self, path: Path) -> None:
        known = self._texts.pop(path, None)
        if known is not None:
            self._cached_bytes -= known.stamp.size

    def _judge(self, path: Path) -> bool:
        root = root_of(path, self.roots)
        if root is None:
            return False
        real_root, real_path = root.resolve(), path.resolve()
        if not real_path.is_relative_to(real_root):
            return False
        places = {(root, path), (real_root, real_path)}
        return not any(self._leaves_out(folder, file) for folder, file in places)

    def _leaves_out(self, root: Path, path: Path) -> bool:
        relative = path.relative_to(root).as_posix()
        return self._exclude.match_file(relative) or self._git.ignores(root, path)
