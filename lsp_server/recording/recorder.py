"""A session's events into a file, as they happen: each line whole, however the process ends.

Invariant: what is kept without texts has none of the user's words (see ``shapes``); a file that
others could read, or that is there already, is not written.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from midfill.engine.errors import InvalidRequestError
from midfill.lsp_server.recording.events import FORMAT, Kind
from midfill.lsp_server.recording.shapes import Shaper

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.lsp_server.recording.events import Event

MOST_BYTES = 256 << 20
"""Bytes of a recording; a day of typing has fewer."""
_MOST_FILES = 100
_PRIVATE = 0o600

_log = logging.getLogger(__name__)


class Recorder:
    """Keeps events, from any thread; a disk that is full ends the recording, not the session.

    Args:
        descriptor: The file's; closed by ``close``.
        keeps_texts: Whether the user's texts are kept as they are.
        about: What the first event tells besides: versions and options.
        most_bytes: How long the file may become.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        keeps_texts: bool,
        about: dict[str, object],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._descriptor: int | None = descriptor
        self._shaper = None if keeps_texts else Shaper()
        self._left_bytes = most_bytes
        self._lock = threading.Lock()
        self._started = time.perf_counter()
        self.note(Kind.BEGIN, format=FORMAT, texts=keeps_texts, **about)

    def note(self, kind: Kind, **facts: object) -> None:
        """Keep an event, now."""
        elapsed_ms = (time.perf_counter() - self._started) * 1000
        with self._lock:
            if self._descriptor is None:
                return
            line = self._line({"t": round(elapsed_ms, 3), "kind": kind, **facts})
            is_full = len(line) > self._left_bytes
            if is_full:
                line = self._line({"t": round(elapsed_ms, 3), "kind": Kind.FULL})
                _log.warning("the recording is full: what follows is not in it")
            self._write(line)
            if is_full:
                self._end()

    def close(self) -> None:
        """Keep nothing more."""
        with self._lock:
            self._end()

    def _line(self, event: Event) -> bytes:
        """An event as it is kept; nothing for one that is nested too deeply."""
        try:
            if self._shaper is not None:
                event = self._shaper.event(event)
            return json.dumps(event, separators=(",", ":")).encode() + b"\n"
        except RecursionError:
            _log.warning("a message is nested too deeply to be recorded")
            return b""

    def _write(self, line: bytes) -> None:
        assert self._descriptor is not None
        self._left_bytes -= len(line)
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError as error:
            _log.warning("the recording ends, it cannot be written: %s", error)
            self._end()

    def _end(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def create_file(file: Path) -> tuple[int, Path]:
    """A new file that only its owner can read, and its path: a number is added if one is there.

    Editors start a server again when it has died, and the recording of that must stay.

    Raises:
        InvalidRequestError: there are too many.
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
    for number in range(1, _MOST_FILES):
        name = file.name if number == 1 else f"{file.stem}-{number}{file.suffix}"
        try:
            return os.open(file.with_name(name), flags, _PRIVATE), file.with_name(name)
        except FileExistsError:
            continue
    text = f"there are {_MOST_FILES - 1} recordings like {file} already; delete some"
    raise InvalidRequestError(text)
