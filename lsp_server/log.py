"""Log messages go to a rotating file and the client's window, never to stdout (the protocol's).

Only records of midfill itself reach the client. pygls logs whole messages at level INFO, which hold
the user's code: of other libraries, warnings and worse go to the file. It names files of the user's
and may quote them, so nobody else may read it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from typing import IO, TYPE_CHECKING

from lsprotocol import types
from platformdirs import user_log_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BYTES = 1_000_000
_OLD_FILES = 2
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700
_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"


def default_path() -> Path:
    """The log file in the platform's folder for logs."""
    return user_log_path("midfill", appauthor=False) / "lsp.log"


@contextmanager
def to_file(path: Path, level: int = logging.DEBUG) -> Iterator[None]:
    """Log to a file while the block runs; to stderr if the file cannot be written."""
    handler = _handler(path)
    handler.setFormatter(logging.Formatter(_FORMAT))
    root, midfill = logging.getLogger(), logging.getLogger("midfill")
    before = root.level, midfill.level
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    midfill.setLevel(level)
    try:
        yield
    finally:
        root.setLevel(before[0])
        midfill.setLevel(before[1])
        root.removeHandler(handler)
        handler.close()


def _handler(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
        if path == default_path():  # another folder is not ours to close
            path.parent.chmod(_PRIVATE_FOLDER)
        for old in path.parent.glob(f"{path.name}.?"):
            old.chmod(_PRIVATE_FILE)
        return _PrivateFile(path, "a", _BYTES, _OLD_FILES, encoding="utf-8")
    except OSError as error:
        print(f"midfill has no log file ({error}) and logs to stderr", file=sys.stderr)  # noqa: T201
        return logging.StreamHandler()


class _PrivateFile(RotatingFileHandler):
    """A rotating file that nobody else may read; one that is there already becomes so."""

    def _open(self) -> IO[str]:  # type: ignore[override]
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, _PRIVATE_FILE)
    if os.name != "nt":
        os.fchmod(descriptor, _PRIVATE_FILE)
    return descriptor


class ClientLog(logging.Handler):
    """Sends records to a client as ``window/logMessage``, from any thread.

    Args:
        send: Called in the event loop that is running now.
    """

    def __init__(self, send: Callable[[types.LogMessageParams], None]) -> None:
        super().__init__()
        self._send = send
        self._loop = asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the record to the loop; once that is closed, nobody is there to read it."""
        params = types.LogMessageParams(message_type(record.levelno), self.format(record))
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._send, params)


def message_type(level: int) -> types.MessageType:
    """The LSP message type of a logging level."""
    if level >= logging.ERROR:
        return types.MessageType.Error
    if level >= logging.WARNING:
        return types.MessageType.Warning
    return types.MessageType.Info if level >= logging.INFO else types.MessageType.Log
