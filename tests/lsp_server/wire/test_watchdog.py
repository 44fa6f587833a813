"""The process that ends a server whose client has left; ``test_lsp_process`` has one killed."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from midfill.lsp_server.wire import watchdog
from midfill.lsp_server.wire.watchdog import watched

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="nobody watches there")


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until it is killed."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


class Watch:
    """A running watchdog, and the other ends of its two pipes."""

    def __init__(self, server: int, seconds: float) -> None:
        (source, self.client), (end, self.held) = os.pipe(), os.pipe()
        command = [sys.executable, "-I", "-S", watchdog.__file__, str(server), str(seconds)]
        self.source = source
        self.process = subprocess.Popen(command, stdin=source, stdout=end)
        os.close(end)

    def close(self) -> int:
        """End what is left, and wait; the exit code."""
        for descriptor in (self.client, self.held, self.source):
            try:
                os.close(descriptor)
            except OSError:
                continue
        return self.process.wait()


def test_a_server_that_does_not_end_is_killed(server: subprocess.Popen[bytes]) -> None:
    """Though something is unread."""
    watch = Watch(server.pid, 0.01)
    os.write(watch.client, b"unread")
    os.close(watch.client)
    assert server.wait() == -signal.SIGKILL
    assert watch.process.wait() == 0
    watch.close()


def test_a_server_that_ends_is_left_alone(server: subprocess.Popen[bytes]) -> None:
    """Its pipe ends first, or within the time that it has."""
    first, later = Watch(server.pid, 0.01), Watch(server.pid, 60)
    os.close(first.held)
    assert first.process.wait() == 0
    os.close(later.client)
    os.close(later.held)
    assert later.process.wait() == 0
    assert server.poll() is None
    first.close()
    later.close()


def test_a_server_that_still_reads_has_its_time_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It works off what its client has left; the time ends when nothing is read any more."""
    unread = iter((30, 20, 10, 10))
    killed: list[tuple[int, int]] = []
    asked: list[float | None] = []

    class Poll:
        """The client is gone, the server is not."""

        def register(self, *_: int) -> None:
            """Whatever it is."""

        def poll(self, ms: float | None = None) -> list[tuple[int, int]]:
            """The client's end is seen at once, the server's never."""
            asked.append(ms)
            return [] if ms else [(0, select.POLLHUP)]

    monkeypatch.setattr(select, "poll", Poll)
    monkeypatch.setattr(watchdog, "_unread", lambda: next(unread))
    monkeypatch.setattr(os, "kill", lambda *what: killed.append(what))
    watchdog.main(4711, 0.5)
    assert asked == [None, 500, 500, 500]
    assert killed == [(4711, signal.SIGKILL)]


def test_a_block_that_ends_takes_its_watchdog_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it could kill anything."""
    started: list[int] = []
    spawn = os.posix_spawn

    def note(*words: Any, **options: Any) -> int:
        started.append(spawn(*words, **options))
        return started[-1]

    monkeypatch.setattr(os, "posix_spawn", note)
    source, client = os.pipe()
    with watched(source, 60):
        os.close(client)
    (process,) = started
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    os.close(source)


def test_a_machine_that_starts_no_process_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged."""

    def refuse(*_: object, **__: object) -> int:
        raise BlockingIOError(11, "too many processes")

    monkeypatch.setattr(os, "posix_spawn", refuse)
    source, client = os.pipe()
    with watched(source, 60):
        os.write(client, b"x")
    assert os.read(source, 1) == b"x"
    assert "too many processes" in caplog.text
    os.close(client)
    os.close(source)
