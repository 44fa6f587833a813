"""Keep what covers most: ``python tests/fuzz/minimize.py TARGET FOLDER KEPT [MOST_BYTES]``.

Copies the inputs of FOLDER, the shortest first, that run lines of midfill which none before them
ran, in that order and about that often, into the folder KEPT. Python's own tracer sees it, so that
no atheris is needed.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

SUPPORT = Path(__file__).parents[1] / "support"
sys.path[:0] = [str(SUPPORT / part) for part in (".", "attack", "editors", "models")]

from fuzz_targets import TARGETS  # noqa: E402

ROOT = SUPPORT.parents[1]
Step = tuple[str, int, int]


def steps(target: str, data: bytes, place: Path) -> frozenset[tuple[Step, int]]:
    """The pairs of lines that follow one another, and the power of two of how often they do."""
    counts: Counter[Step] = Counter()
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(str(ROOT)) or "/tests/" in name or "/.venv/" in name:
            return None
        counts[name, last.get(frame, 0), frame.f_lineno] += 1
        last[frame] = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        TARGETS[target](data, place)
    finally:
        sys.settrace(None)
    return frozenset((step, min(count, 8).bit_length()) for step, count in counts.items())


def main(target: str, folder: Path, kept: Path, most_bytes: int) -> None:
    """Copy what adds something."""
    logging.disable()
    kept.mkdir(parents=True, exist_ok=True)
    known: set[tuple[Step, int]] = set()
    place, left = Path(tempfile.mkdtemp()), most_bytes
    for file in sorted(folder.iterdir(), key=lambda file: (file.stat().st_size, file.name)):
        found = steps(target, file.read_bytes(), place)
        if found - known and left >= file.stat().st_size:
            known |= found
            left -= file.stat().st_size
            (kept / file.name[:12]).write_bytes(file.read_bytes())
    print(target, len(list(kept.iterdir())), "inputs,", most_bytes - left, "bytes")  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int((sys.argv[4:] or ["50000"])[0]))
