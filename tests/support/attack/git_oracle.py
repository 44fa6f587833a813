"""git itself, asked what it ignores: one process for any number of ignore files."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import IO

_numbers = itertools.count()


class GitOracle:
    """A running ``git check-ignore``."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._git = subprocess.Popen(
            [*("git", "-C", top, "check-ignore", "--no-index", "-v", "-n", "-z", "--stdin")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    @staticmethod
    def make(top: Path) -> None:
        """An empty repository."""
        subprocess.run(["git", "init", "-q", top], check=True)

    @staticmethod
    @contextmanager
    def ignore_file(top: Path, patterns: bytes) -> Iterator[tuple[Path, GitOracle]]:
        """A folder that git has not seen before, with this ignore file; removed at the end."""
        folder = top / f"d{next(_numbers)}"
        folder.mkdir()
        try:
            (folder / ".gitignore").write_bytes(patterns)
            yield folder, _running(top)
        finally:
            shutil.rmtree(folder)

    def ignored(self, folder: Path, names: Sequence[str]) -> Iterator[str]:
        """The names of files in the folder that git ignores."""
        asked = {os.fsencode((folder / name).relative_to(self._top)): name for name in names}
        to_git, from_git = cast("IO[bytes]", self._git.stdin), cast("IO[bytes]", self._git.stdout)
        to_git.write(b"".join(path + b"\0" for path in asked))
        to_git.flush()
        for name in asked.values():
            _file, _line, pattern, _path = (self._field(from_git) for _ in range(4))
            if pattern and not pattern.startswith(b"!"):
                yield name

    @staticmethod
    def _field(stream: IO[bytes]) -> bytes:
        return b"".join(iter(lambda: _byte(stream), b"\0"))


def _byte(stream: IO[bytes]) -> bytes:
    byte = stream.read(1)
    if not byte:
        raise EOFError("git has ended")
    return byte


@cache
def _running(top: Path) -> GitOracle:
    return GitOracle(top)
