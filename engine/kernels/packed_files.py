"""The files of packed weights in the user's cache: how much disk they take, and which of them go.

Imports no torch: a command lists and removes them.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from midfill.engine.kernels.private_cache import cache_folder

if TYPE_CHECKING:
    from pathlib import Path

KEPT = 3
"""Files that stay, the ones used last."""
MOST_BYTES = 16 << 30
"""Bytes of all of them together."""
_UNFINISHED_SECONDS = 3600
"""Seconds after which nobody writes what is unfinished any more."""


def folder() -> Path:
    """Where they are; it may not exist."""
    return cache_folder("packed")


def seal_of(file: Path) -> Path:
    """The file beside it that says what it was when it was saved."""
    return file.with_suffix(".json")


def packed_files() -> list[Path]:
    """All of them, the one used last in front."""
    return sorted(folder().glob("*.safetensors"), key=_last_used, reverse=True)


def why_no_room(size: int) -> str | None:
    """The reason not to keep so many bytes more in the folder, which exists; None: there is none.

    What is kept may take half of what is free, and never more than all files together.
    """
    if size > MOST_BYTES:
        return f"they are {size >> 20} MiB, and {MOST_BYTES >> 20} are kept at most"
    free = shutil.disk_usage(folder()).free
    if size > free // 2:
        return f"they are {size >> 20} MiB, and the disk has only {free >> 20} left"
    return None


def remove_oldest() -> None:
    """Bring the files down to as many, and as many bytes, as stay."""
    size = 0
    for number, file in enumerate(packed_files()):
        size += file.stat().st_size
        if number >= KEPT or size > MOST_BYTES:
            _remove(file)
    for left in folder().iterdir():
        if left.is_dir() and time.time() - left.stat().st_mtime > _UNFINISHED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def remove_all() -> None:
    """Remove them, and what was left unfinished."""
    for file in packed_files():
        _remove(file)
    for left in folder().glob("*/"):
        shutil.rmtree(left, ignore_errors=True)


def _remove(file: Path) -> None:
    file.unlink(missing_ok=True)
    seal_of(file).unlink(missing_ok=True)


def _last_used(file: Path) -> int:
    """When it was loaded last, which its seal's time tells; 0: never sealed."""
    seal = seal_of(file)
    return seal.stat().st_mtime_ns if seal.exists() else 0
