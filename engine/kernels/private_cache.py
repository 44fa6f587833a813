"""Folders in the user's cache from which code and weights are taken: nobody else's, and unchanged.

Whoever can write there can run code as the user, so folder and files must be the user's own, and
writable by nobody else. Where the system has no owners (Windows), that is left to it.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedCacheError(OSError):
    """A folder of the cache belongs to somebody else, or is a link."""


def cache_folder(name: str) -> Path:
    """Where files of one kind are kept; it may not exist."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("midfill", appauthor=False)) / name


def private_folder(path: Path) -> Path:
    """The folder, made if need be, for its owner alone.

    Raises:
        UntrustedCacheError: it is somebody else's, or no folder.
        OSError: it cannot be made.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or not _is_own(about):
        raise UntrustedCacheError(
            f"{path} is not a folder of this user's own; remove it, or set XDG_CACHE_HOME"
        )
    if stat.S_IMODE(about.st_mode) & 0o077 and hasattr(os, "getuid"):
        path.chmod(0o700)
    return path


def is_private(file: Path) -> bool:
    """Whether it is a plain file of the user's own that nobody else can write."""
    try:
        about = file.lstat()
    except OSError:
        return False
    is_closed = not (hasattr(os, "getuid") and about.st_mode & _OTHERS_WRITE)
    return stat.S_ISREG(about.st_mode) and _is_own(about) and is_closed


def sha256_of(file: Path) -> str:
    """The hash of its content, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_own(about: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or about.st_uid == os.getuid()
