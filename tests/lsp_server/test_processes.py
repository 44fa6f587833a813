"""Whether another process is still there, without disturbing it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from midfill.lsp_server.processes import is_alive


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
