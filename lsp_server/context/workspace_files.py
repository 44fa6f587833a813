"""What may be read as context, and its text.

A file may be read if it is inside a workspace folder, symbolic links resolved; if neither git
nor the user (``git_ignore``) nor our patterns
leave it out; and if it is a UTF-8 text of moderate size. The patterns also hold for what a link
points to. Where that cannot be found out, the file may not be read.

::

    WorkspaceFiles(roots, exclude=, max_file_bytes=, max_cache_bytes=, skipped=)
        .allows(path) -> bool
        .read(path) -> str | None           .hidden(path) -> str | None
        .siblings(path, suffixes) -> [Path, ...]
        .refresh()                          look at the ignore files again
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from midfill.lsp_server.context.git_ignore import OWN_IGNORE_FILE, IgnoreFiles
from midfill.lsp_server.context.look import Look, Skipped, Stamp
from midfill.lsp_server.text.git_patterns import Patterns
from midfill.lsp_server.text.located import root_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

SECRET = (
    ".env*", "*.env", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.gpg",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc", "_netrc", ".pgpass", ".npmrc",
    ".pypirc", ".htpasswd", ".git-credentials", ".dockercfg", "credentials", "credentials.json",
    "secrets.json", "secrets.toml", "secrets.yaml", "secrets.yml", "*.tfstate*", "*.tfvars",
    ".ssh/", ".aws/", ".gnupg/", ".kube/",
)  # fmt: skip
"""Patterns, as in .gitignore, of files that hold secrets."""

EXCLUDED = (
    *SECRET,
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


def _folders(path: Path, look: Look) -> list[Path]:
    """The folders in a folder, by name, without hidden ones."""
    names = look.names(path, of_folders=True)
    return [path / name for name in names if not name.startswith(".")]


def _decoded(data: bytes) -> str | None:
    """The text of a UTF-8 file, without a byte-order mark; None for binary data."""
    if b"\0" in data[:_SNIFFED_BYTES]:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def _name_in(root: Path | None, path: Path) -> str:
    """The path from its root on; of a file elsewhere the name alone."""
    is_inside = root is not None and path.is_relative_to(root)
    return path.relative_to(root).as_posix() if root and is_inside else path.name


class Permissions:
    """Which files may be shown to the model; for one thread at a time.

    Args:
        roots: The workspace folders, absolute.
        exclude: Patterns as in .gitignore, relative to the root, after the built-in ones.
        skipped: Gets what goes wrong.
    """

    def __init__(self, roots: Sequence[Path], exclude: Sequence[str], skipped: Skipped) -> None:
        self._roots = tuple(roots)
        self._skipped = skipped
        patterns = [os.fsencode(pattern) for pattern in (*EXCLUDED, *exclude)]
        self._exclude = Patterns(patterns, skipped.note)
        self._private = Patterns([os.fsencode(p) for p in (*SECRET, *exclude)], lambda *_: None)
        self._ignored = IgnoreFiles(skipped)
        self._verdicts: dict[Path, str | None] = {}
        self._hidden: dict[Path, str | None] = {}
        self._folders: dict[bytes, bool] = {}
        """Whether folders, named from their root on, are excluded."""

    def refusal(self, path: Path) -> str | None:
        """Why the file may not be shown to the model; None if it may."""
        return self._remembered(self._verdicts, path, self._judge)

    def hidden(self, path: Path) -> str | None:
        """Why no document may be completed that the user has opened; None if it may.

        Files with secrets, and what midfill's own settings and ignore files hide. What only git
        ignores, or a build leaves behind, is not shown with others, and completed if it is opened.
        """
        return self._remembered(self._hidden, path, self._privacy)

    def refresh(self) -> None:
        """Forget what no longer holds if an ignore file has changed on disk."""
        if self._ignored.refresh():
            self._verdicts.clear()
            self._hidden.clear()

    def _remembered(
        self,
        known: dict[Path, str | None],
        path: Path,
        find: Callable[[Path], str | None],
    ) -> str | None:
        """What was found of a path before, or is now; if that fails, it is said and not kept."""
        if path in known:
            return known[path]
        verdict: str | None = "what hides it cannot be found out"
        with self._skipped.guard(path):
            verdict = find(path)
            if len(known) >= _MAX_VERDICTS:
                known.clear()
                self._folders.clear()
            known[path] = verdict
        return verdict

    def _judge(self, path: Path) -> str | None:
        root = root_of(path, self._roots)
        if root is None:
            return "in no folder of the workspace"
        if not path.resolve().is_relative_to(root.resolve()):
            return "outside of the workspace"
        return self._hider(path)

    def _hider(self, path: Path) -> str | None:
        """The reason for a path, or for what it is a link to."""
        reasons = (self._reason(*place) for place in self._places(path))
        return next((reason for reason in reasons if reason is not None), None)

    def _privacy(self, path: Path) -> str | None:
        for root, place in self._places(path):
            name = _name_in(root, place)
            steps = [name.rsplit("/", count)[0] for count in range(name.count("/"), -1, -1)]
            for step in steps:
                if self._private.verdict(os.fsencode(step), is_folder=step != name):
                    return "left out by a built-in pattern or by midfill.context.exclude"
            reason = self._reason(root, place)
            if reason is not None and reason.endswith(OWN_IGNORE_FILE):
                return reason
        return None

    def _places(self, path: Path) -> set[tuple[Path | None, Path]]:
        """The path with its root, and what it is a link to with the root's."""
        root = root_of(path, self._roots)
        return {(root, path), (None if root is None else root.resolve(), path.resolve())}

    def _reason(self, root: Path | None, path: Path) -> str | None:
        if self._is_excluded(os.fsencode(_name_in(root, path)), is_folder=False):
            return "left out by a built-in pattern or by midfill.context.exclude"
        is_inside = root is not None and path.is_relative_to(root)
        return self._ignored.reason(root, path) if root and is_inside else None

    def _is_excluded(self, name: bytes, *, is_folder: bool) -> bool:
        if is_folder and name in self._folders:
            return self._folders[name]
        above = name.rpartition(b"/")[0]
        is_excluded = bool(
            (above and self._is_excluded(above, is_folder=True))
            or self._exclude.verdict(name, is_folder=is_folder)
        )
        if is_folder:
            self._folders[name] = is_excluded
        return is_excluded


class WorkspaceFiles:
    """The readable files of some workspace folders; for one thread at a time.

    Args:
        roots: The folders, absolute.
        exclude: Patterns as in .gitignore, relative to the root, after the built-in ones.
        max_file_bytes: Larger files are not read.
        max_cache_bytes: For texts kept in memory, so that unchanged files are not read again.
        skipped: Gets what goes wrong.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        exclude: Sequence[str] = (),
        max_file_bytes: int = 1 << 18,
        max_cache_bytes: int = 1 << 25,
        skipped: Skipped | None = None,
    ) -> None:
        self.roots = tuple(roots)
        self._skipped = Skipped() if skipped is None else skipped
        self._permissions = Permissions(roots, exclude, self._skipped)
        self._max_file_bytes = max_file_bytes
        self._max_cache_bytes = max_cache_bytes
        self._texts: OrderedDict[Path, _Text] = OrderedDict()
        self._cached_bytes = 0

    def allows(self, path: Path) -> bool:
        """Whether the file, which need not exist, may be shown to the model."""
        return self._permissions.refusal(path) is None

    def hidden(self, path: Path) -> str | None:
        """Which pattern hides the file from the model, wherever it is; None if none does."""
        return self._permissions.hidden(path)

    def read(self, path: Path) -> str | None:
        """The text of the file, or None if it may not, cannot or should not be read."""
        text = None
        if self.allows(path):
            with self._skipped.guard(path):
                text = self._read(path)
        return text

    def siblings(self, path: Path, suffixes: Iterable[str], look: Look | None = None) -> list[Path]:
        """Files beside this one that end so: those with the most similar name first."""
        look = look or Look(self._skipped)
        names = look.names(path.parent, tuple(suffixes))
        names.sort(key=lambda name: (-_shared(name, path.name), name))
        return [path.with_name(name) for name in names if name != path.name]

    def cousins(self, path: Path, suffixes: Iterable[str], look: Look | None = None) -> list[Path]:
        """Files that end so in the folders around this one's: below it, above it, beside it."""
        own, root, wanted = path.parent, root_of(path, self.roots), tuple(suffixes)
        if root is None:
            return []
        look = look or Look(self._skipped)
        above = [own.parent] if own != root else []
        folders = [*_folders(own, look), *above]
        folders += [folder for up in above for folder in _folders(up, look) if folder != own]
        return [folder / name for folder in folders for name in look.names(folder, wanted)]

    def refresh(self) -> None:
        """Forget what no longer holds if an ignore file has changed on disk."""
        self._permissions.refresh()

    def _read(self, path: Path) -> str | None:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            self._skipped.note(path, "it is no regular file")
            return None
        if status.st_size > self._max_file_bytes:
            self._skipped.note(path, f"it is larger than {self._max_file_bytes} bytes")
            return None
        stamp = Stamp(status.st_mtime_ns, status.st_size)
        known = self._texts.get(path)
        if known is not None and known.stamp == stamp:
            self._texts.move_to_end(path)
            return known.text
        return self._load(path, stamp)

    def _load(self, path: Path, stamp: Stamp) -> str | None:
        text = _decoded(path.read_bytes())
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
