"""``python killed_writer.py FILE EVERY``: kill a process at each step in which it replaces a file.

A step is a call out of Python's code, or the return from one. Prints how many kills there were, or
fails with the first that lost something.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from midfill.cli.source_file import SourceFile, read_source

OLD, NEW = "old = 1\n" * 1_000, "new = 2\n" * 2_000


def write_until(source: SourceFile, step: int) -> None:
    """Replace the file, and be killed at a step."""
    left = step

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal left
        if event.startswith("c_"):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    source.write(NEW)
    sys.setprofile(None)


def main(path: Path, every: int) -> None:
    """Kill at every so-manieth step until none is left."""
    path.write_text(OLD, "utf-8")
    source, kills = read_source(str(path)), 0
    for step in range(0, 1_000_000, every):
        child = os.fork()
        if not child:
            write_until(source, step)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        text = path.read_text("utf-8")
        assert text in (OLD, NEW), f"step {step} left {len(text)} characters"
        if not os.WIFSIGNALED(status):
            break
        kills += 1
        path.write_text(OLD, "utf-8")
    assert text == NEW
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    print(kills)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
