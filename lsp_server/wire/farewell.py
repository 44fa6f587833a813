"""When the process has to end: seen where messages are read, because what handles them may hang."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.lsp_server.wire.frames import Frame

    OnEnd = Callable[[int], object]

_EXIT, _SHUTDOWN = "exit", "shutdown"
_WORDS = (b'"exit"', b'"shutdown"')
_LONGEST_BYTES = 500
"""Both messages are short."""


class Farewell:
    """Tells once that the end has come, and the exit code that LSP prescribes for it.

    Args:
        on_end: Gets the code, in the thread that has seen the end.
    """

    def __init__(self, on_end: OnEnd) -> None:
        self._on_end = on_end
        self._was_told = threading.Lock()
        self._is_shut_down = False

    def note(self, frame: Frame) -> None:
        """A message has come: ``exit`` is the end, with 0 if ``shutdown`` was before it."""
        method = _method_of(frame)
        if method == _SHUTDOWN:
            self._is_shut_down = True
        elif method == _EXIT:
            self._tell(0 if self._is_shut_down else 1)

    def gone(self) -> None:
        """The client is gone without a word."""
        self._tell(1)

    def _tell(self, code: int) -> None:
        if self._was_told.acquire(blocking=False):
            self._on_end(code)


def _method_of(frame: Frame) -> str | None:
    """The method of a message, if it may be one of the two; None: it is another."""
    if not isinstance(frame, bytes) or len(frame) > _LONGEST_BYTES:
        return None
    if not any(word in frame for word in _WORDS):
        return None
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    method = message.get("method") if isinstance(message, dict) else None
    return method if isinstance(method, str) else None
