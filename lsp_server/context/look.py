"""Looking at the disk for one context: it ends in time, and what goes wrong goes no further.

One bad neighbour (a file, a pattern, a source) never fails a request. It is passed over, logged
once, and told to who asks for an explanation. The guard for all of that is ``Skipped.guard``.

::

    Skipped() .note(what, why)  .guard(what)  .guarded(what, iterator)  .all
    Look(skipped, deadline) .is_file(path)  .is_folder(path)  .names(folder, ...)  .text(path)
                            .is_over
    stamp_of(path) -> Stamp | None
"""

from __future__ import annotations

import logging
import os
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

MOST_ENTRIES = 4096
"""Entries of one folder that are looked at; which ones is the file system's choice."""
MOST_LOOKS = 20_000
"""Entries and paths that are looked at for one context, however fast the disk is."""
LARGEST_MANIFEST = 1 << 18
"""Bytes of a go.mod and the like."""
MOST_SKIPPED = 50
"""Notes that are kept for one context."""
_MOST_LOGGED = 1000

_log = logging.getLogger(__name__)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Skip:
    """What was passed over, and why."""

    what: str
    why: str


class Skipped:
    """What was passed over; each is logged once in a client's life."""

    def __init__(self) -> None:
        self._notes: dict[Skip, None] = {}
        self._logged: set[Skip] = set()

    @property
    def all(self) -> tuple[Skip, ...]:
        """The notes since the last ``clear``, each once."""
        return tuple(self._notes)

    def clear(self) -> None:
        """Forget the notes; what was logged is not logged again."""
        self._notes.clear()

    def note(self, what: object, why: str) -> None:
        """Remember that something is passed over."""
        skip = Skip(_printable(str(what)), _printable(why))
        if len(self._notes) < MOST_SKIPPED:
            self._notes[skip] = None
        if skip not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(skip)
            _log.warning("context without %s: %s", skip.what, skip.why)

    @contextmanager
    def guard(self, what: object) -> Iterator[None]:
        """End the block at an error, which is noted."""
        try:
            yield
        except OSError as error:
            self.note(what, error.strerror or type(error).__name__)
        except Exception as error:  # noqa: BLE001 (one bad neighbour costs itself only)
            self.note(what, f"{type(error).__name__}: {error}")

    def guarded(self, what: object, items: Iterable[Item]) -> Iterator[Item]:
        """The items up to an error, which is noted."""
        with self.guard(what):
            yield from items


def _printable(text: str) -> str:
    """The text as any log and any client can take it."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


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


class Look:
    """A look at the disk, for one context.

    Args:
        skipped: Gets what goes wrong.
        deadline: After it, nothing is found any more; None: there is none.
    """

    def __init__(self, skipped: Skipped | None = None, deadline: Deadline | None = None) -> None:
        self.skipped = Skipped() if skipped is None else skipped
        self._deadline = deadline or Deadline(time.monotonic, float("inf"))
        self._looks = 0
        self.was_over = False
        """Whether the time was over when somebody asked, so that something is left to look at."""

    @property
    def is_over(self) -> bool:
        """Whether the time is over, or was when somebody last asked."""
        if not self.was_over and self._deadline.has_passed:
            self.was_over = True
        return self.was_over

    def is_file(self, path: Path) -> bool:
        """Whether there is a regular file."""
        return self._is_kind(path, stat.S_ISREG)

    def is_folder(self, path: Path) -> bool:
        """Whether there is a folder."""
        return self._is_kind(path, stat.S_ISDIR)

    def names(
        self, folder: Path, ends: tuple[str, ...] = ("",), *, of_folders: bool = False
    ) -> list[str]:
        """The sorted names in a folder that end so; not all of them if there are very many."""
        found: list[str] = []
        with self.skipped.guard(folder), os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count == MOST_ENTRIES:
                    self.skipped.note(folder, f"only {MOST_ENTRIES} of its files were looked at")
                if count == MOST_ENTRIES or not self._may_look():
                    break
                if entry.name.endswith(ends):
                    with self.skipped.guard(entry.path):
                        if entry.is_dir() == of_folders:
                            found.append(entry.name)
        return sorted(found)

    def text(self, path: Path) -> str:
        """The text of a small file; "" if it cannot be read."""
        stamp = stamp_of(path) if self._may_look() else None
        text = ""
        if stamp is not None and stamp.size <= LARGEST_MANIFEST:
            with self.skipped.guard(path):
                text = path.read_text("utf-8", "replace")
        return text

    def _is_kind(self, path: Path, is_kind: Callable[[int], bool]) -> bool:
        mode = 0
        if self._may_look():
            with self.skipped.guard(path), suppress(FileNotFoundError, NotADirectoryError):
                mode = path.stat().st_mode
        return is_kind(mode)

    def _may_look(self) -> bool:
        """Whether there is time for one look more."""
        self._looks += 1
        return self._looks <= MOST_LOOKS and not self.is_over


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file must still have for what we know of it to hold."""

    mtime_ns: int
    size: int


def stamp_of(path: Path) -> Stamp | None:
    """The stamp of a regular file; None if it is none, or cannot be seen."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a zero in the name
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Stamp(status.st_mtime_ns, status.st_size)
