"""Whether another process is still there, without disturbing it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from midfill.lsp_server.processes import is_alive

HELD = (sys.executable, "-P", "-c")
"""A command: Python runs what follows."""


def test_a_process_is_alive_until_it_has_ended() -> None:
    """And been waited for."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_alive(process.pid)
    process.communicate(b"\n")
    assert not is_alive(process.pid)


def test_another_users_process_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """It must not be signalled, so it is there."""

    def refuse(_process: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert is_alive(1)


def test_on_windows_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """There os.kill ends a process, whatever the signal."""
    monkeypatch.setattr(os, "kill", pytest.fail)
    monkeypatch.setattr(os, "name", "nt")
    assert is_alive(1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_nobody_waited_for_has_ended() -> None:
    """The kernel still lists it, as a zombie."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays as it is
    assert not is_alive(process.pid)
    process.wait()


@pytest.mark.parametrize("number", [0, -1, 1 << 40])
def test_a_number_that_no_process_can_have_is_no_process(number: int) -> None:
    """The first two are groups of processes for os.kill."""
    assert not is_alive(number)


@pytest.mark.parametrize("code", [0, 1])
def test_a_process_ends_though_a_thread_does_not(code: int) -> None:
    """With the code that was asked for."""
    program = (
        "import threading; from midfill.lsp_server.processes import end_within;"
        f"end_within(0.01, {code}); threading.Event().wait()"
    )
    assert subprocess.run([*HELD, program], check=False).returncode == code


def test_a_process_ends_though_the_interpreter_is_held() -> None:
    """A regular expression lets no other thread run; where it hangs is told."""
    program = (
        "import re; from midfill.lsp_server.processes import end_within;"
        "end_within(0.01, 0); re.match('(a+)+$', 'a' * 60 + 'b')"
    )
    done = subprocess.run([*HELD, program], check=False, capture_output=True, text=True)
    assert done.returncode in (0, 1)
    if done.returncode:
        assert "re.match" in done.stderr or "match" in done.stderr


def test_without_a_standard_error_a_process_ends_too() -> None:
    """Nothing is told then."""
    program = (
        "import sys, threading; from midfill.lsp_server.processes import end_within;"
        "sys.stderr = None; end_within(0.01, 0); threading.Event().wait()"
    )
    assert subprocess.run([*HELD, program], check=False).returncode == 0
