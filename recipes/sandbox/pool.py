"""Runs a generated Python program and says whether it ended without an error.

A warm worker (``worker.py``) forks for each program, so that Python starts once. Each
program has

- its own process group, ended with everything it started, and a limit of wall-clock time;
- limits of the kernel: address space, processor time, file size, no core files, no new processes;
- a private root (``namespaces.py``): interpreter and libraries read-only, no other file of the
  machine, no other process, no network; programs of root run as nobody, without capabilities;
- Landlock and a filter of system calls (``landlock.py``, ``seccomp.py``), which hold without it;
- a guard in the interpreter, which says what it refuses, and is all there is beyond Linux;
- an empty temporary folder as its working folder and home, deleted afterwards;
- an empty standard input; what it prints goes nowhere.

``protections`` has what the kernel grants, ``missing`` what it does not, and why. What it does not
protect against: a fault of the kernel, and a program that forges its own verdict.

Invariant: ``run`` answers within the time limit and a grace period, whatever the program does, and
leaves no process and no file behind.

::

    with Sandbox(SandboxLimits()) as sandbox:
        sandbox.run("assert 1 + 1 == 2") -> ProgramVerdict(True, "passed", seconds=0.004)
"""

from __future__ import annotations

import json
import logging
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from midfill.engine.errors import InvalidRequestError, MidfillError
from midfill.recipes.sandbox.limits import SandboxLimits

if TYPE_CHECKING:
    from concurrent.futures import Future

WORKER = "midfill.recipes.sandbox.worker"
_log = logging.getLogger(__name__)
GRACE_SECONDS = 20.0
"""Seconds beyond a program's time limit, for the worker to clean up on a busy machine."""
START_SECONDS = 60.0
"""Seconds that the worker may take to start."""
_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}
"""All that a program sees of ours; the seed makes the order of sets repeatable."""


class SandboxError(MidfillError):
    """The sandbox itself does not work here."""


@dataclass(frozen=True, slots=True)
class ProgramVerdict:
    """What came of one program."""

    passed: bool
    """Whether it ran to its end without an exception."""
    reason: str
    """``passed``, ``time limit``, ``processor time limit``, ``signal N``, ``exit code N``, or the
    exception: its type and the begin of its message."""
    seconds: float
    """Seconds of wall-clock time."""


class Sandbox:
    """One worker; for one thread at a time.

    Args:
        limits: What each program may use.

    Raises:
        SandboxError: there is no such thing on this system, or the worker does not start.
    """

    def __init__(self, limits: SandboxLimits) -> None:
        if not hasattr(os, "fork"):
            raise SandboxError(f"programs cannot be confined on {sys.platform}; use Linux")
        self._limits = limits
        self._folder = tempfile.TemporaryDirectory(prefix="midfill-", ignore_cleanup_errors=True)
        self.protections: tuple[str, ...] = ()
        """The protections that depend on the system, as far as they are there."""
        self.missing: tuple[str, ...] = ()
        """Those that are not there, each with the reason."""
        self._worker = self._start()

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    @property
    def worker_pid(self) -> int:
        """The worker's process id; another one after the worker was lost."""
        return self._worker.pid

    def run(self, source: str) -> ProgramVerdict:
        """Run a program to its end or to its limits."""
        request = json.dumps({"source": source, "limits": asdict(self._limits)})
        reply = None
        with suppress(BrokenPipeError):
            self._pipe_in.write(request.encode() + b"\n")
            self._pipe_in.flush()
            reply = self._read(self._limits.wall_seconds + GRACE_SECONDS)
        if reply is None:  # the program has hurt the worker
            self._end()
            self._worker = self._start()
            return ProgramVerdict(
                passed=False, reason="sandbox lost", seconds=self._limits.wall_seconds
            )
        return ProgramVerdict(**reply)

    def close(self) -> None:
        """End the worker and whatever runs in it, and remove its files."""
        self._end()
        self._folder.cleanup()

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._worker.pid, signal.SIGKILL)
        self._worker.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-P", "-s", "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT | {"TMPDIR": self._folder.name, "HOME": self._folder.name},
            cwd=self._folder.name,
            start_new_session=True,
        )
        assert worker.stdin is not None, "it was asked for"
        assert worker.stdout is not None, "it was asked for"
        self._worker, self._pipe_in, self._pipe_out = worker, worker.stdin, worker.stdout
        hello = self._read(START_SECONDS)
        if hello is None:
            self.close()
            raise SandboxError(f"{WORKER} does not start; run it with {sys.executable} -m")
        self.protections = tuple(hello["protections"])
        self.missing = tuple(f"{name}: {why}" for name, why in hello["missing"].items())
        return worker

    def _read(self, seconds: float) -> dict[str, Any] | None:
        """The worker's next line; None if it does not come in time or the worker has ended."""
        ready, _, _ = select.select([self._pipe_out], [], [], seconds)
        line = self._pipe_out.readline() if ready else b""
        reply: dict[str, Any] | None = json.loads(line) if line.endswith(b"\n") else None
        return reply


class SandboxPool:
    """Several workers behind one queue.

    Args:
        workers: How many.
        limits: What each program may use.
    """

    def __init__(self, workers: int, limits: SandboxLimits) -> None:
        if workers < 1:
            raise InvalidRequestError(f"workers is {workers}; it must be 1 or more")
        self._free: queue.SimpleQueue[Sandbox] = queue.SimpleQueue()
        with ExitStack() as opening:
            sandboxes = [opening.enter_context(Sandbox(limits)) for _ in range(workers)]
            self._stack = opening.pop_all()
        for sandbox in sandboxes:
            self._free.put(sandbox)
        self.report = [*sandboxes[0].protections]
        """The protections that the system grants, then what is missing, with the reason."""
        for missing in sandboxes[0].missing:
            _log.warning("the sandbox has no %s", missing)
            self.report.append(f"no {missing}")
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="sandbox")

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Drop what has not started, end the rest."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._stack.close()

    def submit(self, source: str) -> Future[ProgramVerdict]:
        """Run a program as soon as a worker is free."""
        return self._threads.submit(self._run, source)

    def _run(self, source: str) -> ProgramVerdict:
        sandbox = self._free.get()
        try:
            return sandbox.run(source)
        finally:
            self._free.put(sandbox)
