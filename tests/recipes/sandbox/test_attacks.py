"""Programs that are written to break out: each does harm unconfined, and none in the sandbox."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from midfill.recipes.sandbox import landlock, namespaces, pool, seccomp
from midfill.recipes.sandbox.limits import SandboxLimits
from midfill.recipes.sandbox.pool import Sandbox, SandboxPool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIMITS = SandboxLimits(wall_seconds=30, cpu_seconds=2, memory_bytes=1 << 28, file_bytes=1 << 16)
WORDS = "what a home holds"

WRITES = {
    "os.open with dir_fd": (
        "import os; root = os.open('/', os.O_PATH)\n"
        "os.open({path!r}[1:], os.O_CREAT | os.O_WRONLY, dir_fd=root)"
    ),
    "sqlite": "import sqlite3; sqlite3.connect({path!r}).execute('create table t (x)')",
    "_posixsubprocess": (
        "import subprocess, sys; sys.audit = lambda *_: None\n"
        "subprocess.run(['/bin/sh', '-c', 'echo x > ' + {path!r}])"
    ),
    "a shell of the C library": (
        "import ctypes; ctypes.CDLL(None).system(b'echo x > ' + {path!r}.encode())"
    ),
    "the C library": "import ctypes; ctypes.CDLL(None).creat({path!r}.encode(), 0o600)",
    "a link": (
        "import ctypes; libc = ctypes.CDLL(None)\n"
        "libc.symlink({path!r}.encode(), b'link'); libc.creat(b'link', 0o600)"
    ),
}
READS = {
    "open": "raise ValueError(open({path!r}).read())",
    "the way by dir_fd": (
        "import os; root = os.open('/', os.O_PATH)\n"
        "raise ValueError(os.read(os.open({path!r}[1:], os.O_RDONLY, dir_fd=root), 99))"
    ),
    "the C library": (
        "import ctypes, os; fd = ctypes.CDLL(None).open({path!r}.encode(), 0)\n"
        "raise ValueError(os.read(fd, 99))"
    ),
}
REFUSED = {
    "a fork bomb": (
        "import ctypes, os; fork = ctypes.CDLL(None).fork\n"
        "pids = [fork() for _ in range(3)]\nif 0 in pids: os._exit(0)\nassert max(pids) < 0, pids"
    ),
    "threads": (
        "import threading\ntry: threading.Thread(target=print).start()\n"
        "except RuntimeError: pass\nelse: assert False, 'a thread'"
    ),
    "a socket": "import ctypes; assert ctypes.CDLL(None).socket(2, 1, 0) < 0, 'a socket'",
    "memory outside the limit": (
        "import ctypes; libc = ctypes.CDLL(None)\n"
        "assert libc.syscall({memfd}, b'x', 0) < 0 and libc.shmget(0, 4096, 0o1600) < 0, 'memory'"
    ),
    "a trace": "import ctypes; assert ctypes.CDLL(None).ptrace(0, 0, 0, 0) < 0, 'a trace'",
}


@pytest.fixture(scope="module", params=["everything", "no namespaces"])
def sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    """As this machine has it, and as one has it that refuses namespaces."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "no namespaces":
            refuse_namespaces(patch, tmp_path_factory.mktemp("worker"))
        with Sandbox(LIMITS) as opened:
            yield opened


def refuse_namespaces(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Start a worker on which the kernel seems to refuse all of them."""
    (folder / "refusing_worker.py").write_text(
        "from midfill.recipes.sandbox import namespaces, worker\n"
        "def refuse(*_):\n    raise OSError('refused here')\n"
        "namespaces.enter = namespaces.leave_network = refuse\nworker.main()\n"
    )
    patch.setitem(pool._ENVIRONMENT, "PYTHONPATH", str(folder))
    patch.setattr(pool, "WORKER", "refusing_worker")


def holds(sandbox: Sandbox, *names: str) -> bool:
    """Whether one of these is there; all that are not are named, with a reason."""
    told = dict(line.split(": ", 1) for line in sandbox.missing)
    assert all(name in sandbox.protections or told[name] for name in names)
    return any(name in sandbox.protections for name in names)


def unconfined(source: str, folder: Path) -> str:
    """What a program says that nothing confines."""
    command = [sys.executable, "-c", source]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return ended.stderr


@pytest.mark.parametrize("attack", WRITES.values(), ids=WRITES)
def test_nothing_is_written_outside(sandbox: Sandbox, tmp_path: Path, attack: str) -> None:
    """Neither past the guard in the interpreter nor in another program."""
    control, outside = tmp_path / "control", tmp_path / "outside"
    unconfined(attack.format(path=str(control)), tmp_path)
    assert control.exists()
    sandbox.run(attack.format(path=str(outside)))
    assert outside.exists() is not holds(sandbox, "private root", "Landlock")


@pytest.mark.parametrize("attack", READS.values(), ids=READS)
def test_nothing_is_read_outside(sandbox: Sandbox, tmp_path: Path, attack: str) -> None:
    """Not even what everybody may read."""
    (tmp_path / "private").write_text(WORDS)
    source = attack.format(path=str(tmp_path / "private"))
    assert WORDS in unconfined(source, tmp_path)
    reason = sandbox.run(source).reason
    assert (WORDS in reason) is not holds(sandbox, "private root", "Landlock")


@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED)
def test_no_process_no_network_no_uncounted_memory(
    sandbox: Sandbox, tmp_path: Path, attack: str
) -> None:
    """For root as for everybody."""
    source = attack.format(memfd=319 if os.uname().machine == "x86_64" else 279)
    assert "AssertionError" in unconfined(source, tmp_path)
    verdict = sandbox.run(source)
    assert verdict.passed is holds(sandbox, "system call filter")


def test_no_other_process_is_ended(sandbox: Sandbox) -> None:
    """Neither as a process nor as a thread."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as victim:
        pid = victim.pid
        calls = f"libc.kill({pid}, 9); libc.tgkill({pid}, {pid}, 9)"
        sandbox.run(f"import ctypes; libc = ctypes.CDLL(None); {calls}")
        victim.communicate(b"\n")
    is_safe = holds(sandbox, "private root", "system call filter")
    assert (victim.returncode == 0) is is_safe


def test_root_becomes_nobody_in_a_private_root() -> None:
    """Without capabilities, as process 2 or later of its own namespace, in a folder of its own."""
    source = "import os; raise ValueError(os.getuid(), os.getppid(), os.getcwd()[:14])"
    with Sandbox(LIMITS) as sandbox:
        reason = sandbox.run(source).reason
        user = namespaces.UNPRIVILEGED if os.getuid() == 0 else os.getuid()
        is_private = f"ValueError: ({user}, 1, '{namespaces.WORK}/')" == reason
        assert is_private is holds(sandbox, "private root")


@pytest.mark.parametrize("prefix", ["/tmp/a/.venv", "/work/.venv"])  # noqa: S108
def test_an_interpreter_may_lie_anywhere(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown of it is neither in the way of the folder to work in, nor hidden by it."""
    monkeypatch.setattr("sys.prefix", prefix)
    monkeypatch.setattr("os.path.lexists", lambda _: True)
    paths = namespaces.readable_paths()
    assert prefix in paths
    work = Path(namespaces.WORK)
    assert not any(work in (path, *path.parents) for path in map(Path, paths))
    assert not any(Path(path) in work.parents for path in paths)


def test_files_have_a_budget_together() -> None:
    """Memory holds them, and no limit of a process counts it."""
    source = "for n in range(1200): open(str(n), 'wb').write(bytes(1 << 16))"
    with Sandbox(LIMITS) as sandbox:
        reason = sandbox.run(source).reason
        is_full = reason == "OSError: [Errno 28] No space left on device"
        assert is_full is holds(sandbox, "private root")
        assert sandbox.run("open('f', 'wb').write(bytes(1 << 16))").passed


def test_what_is_missing_is_said_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, and in the report; for all workers together."""
    refuse_namespaces(monkeypatch, tmp_path)
    with caplog.at_level(logging.WARNING), SandboxPool(2, LIMITS) as opened:
        said = "no private root: refused here"
        assert caplog.messages.count(f"the sandbox has {said}") == 1
        assert said in opened.report
        assert "no network namespace: refused here" in opened.report


def test_a_step_that_fails_says_why() -> None:
    """And one that works does nothing to us."""
    assert namespaces.why_not(lambda: os.chdir("/")) == ""
    assert os.getcwd() != "/"
    assert "absent" in namespaces.why_not(lambda: os.chdir("/absent"))


def test_a_filter_needs_a_machine_whose_calls_are_known() -> None:
    """Wrong numbers would refuse other calls."""
    with pytest.raises(OSError, match="system calls of mips are not known; use x86_64 or aarch64"):
        seccomp.filter_of(1, "mips")
    assert len(seccomp.filter_of(1, "aarch64")) < len(seccomp.filter_of(1, "x86_64"))


def test_landlock_has_a_version_or_is_missing() -> None:
    """A kernel without it says so, and rules for it are an error."""
    with Sandbox(LIMITS) as sandbox:
        assert (landlock.version() > 0) is holds(sandbox, "Landlock")
