"""Whether another process is still there, and how this one ends though something in it hangs."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import threading
import time
from pathlib import Path

_UNSCHEDULED_SECONDS = 0.3
"""Seconds after which a thread that should have run was not let."""
_ENDED = "ZXx"
"""States of a process that runs no more (proc_pid_stat(5))."""


def is_alive(process: int) -> bool:
    """Whether there is a process with this number that has not ended yet.

    Always on Windows, where asking would end it. Linux tells one that nobody has waited for.
    """
    if os.name == "nt":
        return True
    if process <= 0:  # os.kill takes it for a group
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is another user's
        return True
    return _state(process) not in _ENDED


def end_within(seconds: float, code: int) -> None:
    """End this process with this code after so many seconds, if nothing else does before.

    What holds the interpreter holds every thread of Python's, so one without it comes behind. That
    one knows no code but 1, and writes to standard error where the others hang.
    """

    def end() -> None:
        """Leave at once, without the ends of threads and interpreter."""
        time.sleep(seconds)
        os._exit(code)

    threading.Thread(target=end, name="end", daemon=True).start()
    with contextlib.suppress(ValueError, OSError, RuntimeError, AttributeError):  # no such stream
        last = seconds + _UNSCHEDULED_SECONDS
        faulthandler.dump_traceback_later(last, exit=True, file=sys.stderr)


def _state(process: int) -> str:
    """The letter for a process's state, ``R`` where there is no /proc.

    ::

        4711 (any name) S 1 ...
    """
    try:
        stat = Path(f"/proc/{process}/stat").read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return "R" if not Path("/proc/self/stat").exists() else "X"
    except OSError:
        return "R"
    return stat.rpartition(") ")[2][:1] or "R"
