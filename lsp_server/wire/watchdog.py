"""Ends a server that its client has left, from outside: nothing that hangs in it is in the way.

C code that keeps the interpreter (a regular expression, a parser) stops every thread of Python's,
those that would see the end of the input too. So a small process of its own waits for that end. It
runs this file alone, and imports nothing of midfill.

::

    standard input     what the client writes to; it is looked at, never read
    standard output    a pipe that the server holds, and that ends with it
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)


@contextlib.contextmanager
def watched(source: int, seconds: float) -> Iterator[None]:
    """A block that does not outlive its client for long; without poll (Windows) it may.

    Args:
        source: The descriptor that the client writes to.
        seconds: What the block gets from the client's end on, or from its last read behind that;
            then this process is killed.
    """
    if not (hasattr(select, "poll") and sys.executable):
        yield
        return
    end, held = os.pipe()
    process = None
    try:
        process = _start(source, end, seconds)
    except OSError as error:  # no more processes are allowed
        log.warning("nothing ends the server if its interpreter is held: %s", error)
    finally:
        os.close(end)
    try:
        yield
    finally:
        os.close(held)
        if process is not None:
            with contextlib.suppress(ChildProcessError):  # somebody else has waited for it
                os.waitpid(process, 0)


def _start(source: int, end: int, seconds: float) -> int:
    """The number of a new process that runs this file on two descriptors."""
    command = (sys.executable, "-I", "-S", __file__, str(os.getpid()), str(seconds))
    actions = [
        (os.POSIX_SPAWN_DUP2, source, 0),
        (os.POSIX_SPAWN_DUP2, end, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    return os.posix_spawn(sys.executable, command, os.environ, file_actions=actions)


def main(server: int, seconds: float) -> None:
    """Wait for the client's end, then kill the server unless it ends, or still reads."""
    either, ours = select.poll(), select.poll()
    either.register(0, getattr(select, "POLLRDHUP", 0))
    either.register(1, 0)
    ours.register(1, 0)
    has_ended = 1 in dict(either.poll())
    unread, before = _unread(), -1
    while not has_ended and unread != before:
        has_ended = bool(ours.poll(1e3 * seconds))
        unread, before = _unread(), unread
    if not has_ended:
        os.kill(server, signal.SIGKILL)


def _unread() -> int:
    """Bytes that the client has written and nobody has read."""
    import fcntl
    import struct
    import termios

    with contextlib.suppress(OSError):  # it is no pipe
        size: int = struct.unpack("i", fcntl.ioctl(0, termios.FIONREAD, bytes(4)))[0]
        return size
    return 0


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
