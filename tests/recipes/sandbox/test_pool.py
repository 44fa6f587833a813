"""The sandbox: what a program may do, what ends it, and that nothing is left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.sandbox.limits import SandboxLimits
from midfill.recipes.sandbox.pool import Sandbox, SandboxError, SandboxPool

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = SandboxLimits(wall_seconds=30, cpu_seconds=1, memory_bytes=1 << 28, file_bytes=1 << 16)

REFUSED = {
    "a socket": "import socket; socket.socket()",
    "a socket, from below": "import _socket; _socket.socket()",
    "a name": "import socket; socket.getaddrinfo('example.invalid', 80)",
    "a process": "import os\nwhile True: os.fork()",
    "a command": "import subprocess; subprocess.run(['true'])",
    "a shell": "import os; os.system('true')",
    "a signal": "import os; os.kill(os.getppid(), 9)",
    "a file outside": "open('/tmp/midfill-was-here', 'w')",
    "a file outside, by the way round": "open('../midfill-was-here', 'w')",
    "a file outside, by number": "import os; os.open('../midfill-was-here', os.O_CREAT)",
    "a removal": "import os; os.remove('../x')",
    "a move": "import os; open('x', 'w').close(); os.rename('x', '../midfill-was-here')",
}
FAILING = {
    "assert 1 + 1 == 3, 'no'": "AssertionError: no",
    "assert False": "AssertionError",
    "1 / 0": "ZeroDivisionError: division by zero",
    "return 1": "SyntaxError: 'return' outside function (program, line 1)",
    "raise SystemExit(0)": "SystemExit: 0",
    "import os; os._exit(0)": "exit code 0",
    "import os; os.abort()": "signal 6",
    "input()": "EOFError: EOF when reading a line",
    "x = [0] * 10**9": "MemoryError",
    "data = b''\nwhile True: data += bytes(1 << 24)": "MemoryError",
    "while True: pass": "processor time limit",
    "open('f', 'wb').write(bytes(1 << 17))": "OSError: [Errno 27] File too large",
    "raise ValueError('long ' * 1000)": f"ValueError: {'long ' * 1000}"[:200].rstrip(": "),
}
PASSING = (
    "assert 1 + 1 == 2",
    "open('f', 'w').write('x'); assert open('f').read() == 'x'",
    "import os; os.mkdir('d'); os.rename('d', 'e'); os.rmdir('e')",
    "import os; assert os.getcwd() == os.environ['HOME'] and os.listdir() == []",
    "import tempfile, os; assert tempfile.mkdtemp().startswith(os.getcwd())",
    "import sys\nprint('x' * 10**7); print('y' * 10**7, file=sys.stderr)",
    "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\nassert A(1) == A(1)",
    "if __name__ == '__main__':\n    raise ValueError('it is no script')",
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """One for all, as in real use: no program may spoil the next one's run."""
    with Sandbox(LIMITS) as opened:
        yield opened


def without(outcome: object) -> object:
    """What does not depend on the machine's speed."""
    return (outcome.passed, outcome.reason)  # type: ignore[attr-defined]


@pytest.mark.parametrize("source", PASSING)
def test_an_honest_program_passes(sandbox: Sandbox, source: str) -> None:
    """Files in its own folder, much printing and a home that is empty are all fine."""
    assert without(sandbox.run(source)) == (True, "passed")


@pytest.mark.parametrize(("source", "reason"), FAILING.items(), ids=FAILING)
def test_a_program_that_does_not_end_well_fails(sandbox: Sandbox, source: str, reason: str) -> None:
    """The reason is the exception, or what ended it."""
    assert without(sandbox.run(source)) == (False, reason)


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED)
def test_what_reaches_outside_is_refused(sandbox: Sandbox, source: str) -> None:
    """By the guard in the interpreter, whatever the system allows."""
    assert sandbox.run(source).reason.startswith("PermissionError: the sandbox refuses ")
    assert not list(Path("/tmp").glob("midfill-was-here"))  # noqa: S108


def test_catching_the_refusal_does_not_help(sandbox: Sandbox) -> None:
    """The call is refused again, and the tests at the end do not pass."""
    source = "import os\ntry:\n    os.fork()\nexcept PermissionError:\n    pass\nos.fork()"
    assert not sandbox.run(source).passed


def test_a_sleeper_is_ended_by_the_clock() -> None:
    """It uses no processor time."""
    with Sandbox(SandboxLimits(wall_seconds=0.2)) as sandbox:
        assert without(sandbox.run("import time; time.sleep(1000)")) == (False, "time limit")


def test_processes_that_slip_through_end_with_their_program() -> None:
    """Past the guard, in sessions of their own; what is refused cannot be left behind."""
    source = (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\npid = libc.fork()\n"
        "if pid == 0:\n    libc.setsid()\n    libc.sleep(1000)\n    os._exit(0)\n"
        "raise ValueError(pid)\n"
    )
    with Sandbox(LIMITS) as sandbox:
        verdict = sandbox.run(source)
        assert verdict.seconds < LIMITS.wall_seconds  # what it left is not waited for
        is_refused = verdict.reason == "ValueError: -1"
        assert is_refused or "system call filter" not in sandbox.protections
        assert sandbox.run("assert True").passed


def test_a_lost_worker_is_replaced() -> None:
    """Its end spoils one verdict only."""
    with Sandbox(LIMITS) as sandbox:
        os.kill(sandbox.worker_pid, signal.SIGKILL)
        assert without(sandbox.run("while True: pass")) == (False, "sandbox lost")
        assert sandbox.run("assert True").passed


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, no process."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Sandbox(LIMITS) as sandbox:
        assert len(list(tmp_path.iterdir())) == 1
        sandbox.run("open('f', 'w').write('x')")
        assert list(next(tmp_path.iterdir()).iterdir()) == []
        pid = sandbox.worker_pid
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_sets_have_the_same_order_in_every_run() -> None:
    """Or a verdict would depend on the hash seed."""
    verdicts = set()
    for _ in range(2):
        with Sandbox(LIMITS) as sandbox:
            verdicts.add(sandbox.run("raise ValueError(list({'a', 'b', 'c', 'd', 'e'}))").reason)
    assert len(verdicts) == 1


def test_a_pool_runs_programs_side_by_side() -> None:
    """Each verdict belongs to its program."""
    sources = [f"assert {number} % 2 == 0, {number}" for number in range(8)]
    with SandboxPool(2, LIMITS) as pool:
        verdicts = [future.result() for future in map(pool.submit, sources)]
    assert [verdict.passed for verdict in verdicts] == [True, False] * 4
    assert verdicts[3].reason == "AssertionError: 3"


def test_limits_and_workers_must_be_positive() -> None:
    """With what to do in the message."""
    with pytest.raises(InvalidRequestError, match="cpu_seconds is 0; it must be over 0"):
        SandboxLimits(cpu_seconds=0)
    with pytest.raises(InvalidRequestError, match="workers is 0; it must be 1 or more"):
        SandboxPool(0, LIMITS)


def test_a_worker_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a verdict on any program."""
    monkeypatch.setattr("midfill.recipes.sandbox.pool.WORKER", "midfill_absent")
    with pytest.raises(SandboxError, match="does not start"):
        Sandbox(LIMITS)
