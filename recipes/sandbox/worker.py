"""The process inside the sandbox: forks once for each program. Run by ``pool.py`` only.

It imports only what confines programs, so that it starts fast and a program finds little to touch.
Requests and replies are lines of JSON on standard input and output::

    -> {"source": "...", "limits": {...}}           fields of SandboxLimits
    <- {"passed": true, "reason": "passed", "seconds": 0.01}

The first line that it writes is ``{"protections": [...], "missing": {name: why}}``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from midfill.recipes.sandbox import landlock, namespaces, seccomp

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PROTECTIONS = (
    "private root",
    "network namespace",
    "Landlock",
    "system call filter",
    "orphans ended",
)
_LONGEST_REASON = 200
_LONGEST_VERDICT = 4096

_STARTS_SOMETHING = (
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "subprocess.Popen",
    "pty.spawn",
    "os.kill",
    "os.killpg",
    "signal.pthread_kill",
)
_CHANGES_FILES = (
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "os.utime",
    "os.chflags",
    "os.setxattr",
    "os.removexattr",
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def adopt_orphans() -> None:
    """Become the parent of whatever a program leaves behind, to end it.

    Raises:
        OSError: the kernel refuses it.
    """
    if ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("no subreapers; use Linux 3.4 or newer")


class Protections:
    """What confines programs here: entered once, then put on each program.

    Without a private root, root stays root: its interpreter may lie where nobody else can read.
    """

    def __init__(self) -> None:
        self.missing: dict[str, str] = {}
        """Why the kernel refuses a protection, by its name."""
        self._is_root_inside = False
        self._rules: int | None = None
        self._has_filter = False

    @property
    def held(self) -> list[str]:
        """The names of those that are there."""
        return [name for name in _PROTECTIONS if name not in self.missing]

    def enter(self) -> None:
        """Leave the machine's files, processes and network, as far as the kernel lets us."""
        if sys.platform != "linux":
            self.missing = dict.fromkeys(_PROTECTIONS, f"{sys.platform} has none; use Linux")
            return
        folder = os.getcwd()
        if self._holds("private root", lambda: namespaces.enter(folder)):
            self._is_root_inside = namespaces.enter(folder)
            namespaces.become_first_process()
            tempfile.tempdir = namespaces.WORK
        elif self._holds("network namespace", namespaces.leave_network):
            namespaces.leave_network()
        if self._holds("Landlock", self._make_rules):
            self._make_rules()
        self._has_filter = self._holds("system call filter", seccomp.restrict)
        if self._holds("orphans ended", adopt_orphans):
            adopt_orphans()

    def confine(self, folder: str) -> None:
        """Put all of them on this process, for good."""
        if sys.platform != "linux":
            return
        if self._is_root_inside:
            os.chown(folder, namespaces.UNPRIVILEGED, namespaces.UNPRIVILEGED)
        namespaces.drop_privileges(is_root_inside=self._is_root_inside)
        if self._rules is not None:
            landlock.restrict(self._rules)
            os.close(self._rules)
        if self._has_filter:
            seccomp.restrict()

    def _holds(self, name: str, step: Callable[[], object]) -> bool:
        if why := namespaces.why_not(step):
            self.missing[name] = why
        return not why

    def _make_rules(self) -> None:
        folder = tempfile.gettempdir()
        readable = namespaces.readable_paths()
        self._rules = landlock.make_rules(readable, namespaces.DEVICES, folder)


def run(source: str, limits: dict[str, Any], protections: Protections) -> dict[str, Any]:
    """Run one program in a process of its own; the reply."""
    with tempfile.TemporaryDirectory(prefix="midfill-", ignore_cleanup_errors=True) as folder:
        reads, writes = os.pipe()
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.close(reads)
            _run_here(source, limits, folder, writes, protections)
        os.close(writes)
        said, in_time = _listen(reads, pid, started + limits["wall_seconds"])
        os.close(reads)
        status = _end(pid)
        seconds = time.monotonic() - started
    reason = said if said and in_time else _reason(status, in_time=in_time)
    return {"passed": reason == "passed", "reason": reason, "seconds": round(seconds, 4)}


def _listen(reads: int, pid: int, deadline: float) -> tuple[str, bool]:
    """What a program's process says until it ends, and whether it ended in time.

    What the program left behind may keep the pipe open, so the process itself is watched, too.
    """
    said, watched = b"", [reads]
    with contextlib.ExitStack() as stack:
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):  # an old kernel
                watched.append(os.pidfd_open(pid))
                stack.callback(os.close, watched[-1])
        while True:
            left = deadline - time.monotonic()
            ready = select.select(watched, [], [], max(left, 0))[0]
            if not ready:
                return "", False
            more = os.read(reads, _LONGEST_VERDICT) if reads in ready else b""
            said += more
            if not more or len(said) > _LONGEST_VERDICT:
                return said[:_LONGEST_REASON].decode("utf-8", "replace"), True


def _end(pid: int) -> int:
    """End a program's process and all that it started; its wait status."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except OSError:
            continue  # it has gone, or has not made its group yet
    status = os.waitpid(pid, 0)[1]
    if os.getpid() == 1:  # of the namespace: all others in it are the program's
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
    while orphans := _children():
        for orphan in orphans:
            os.kill(orphan, signal.SIGKILL)
            os.waitpid(orphan, 0)
    return status


def _children() -> list[int]:
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return list(map(int, listing.read_text().split())) if listing.exists() else []


def _reason(status: int, *, in_time: bool) -> str:
    """Why a process ended that has not said it."""
    if not in_time:
        return "time limit"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        is_cpu = number == signal.SIGXCPU
        return "processor time limit" if is_cpu else f"signal {number}"
    return f"exit code {os.WEXITSTATUS(status)}"


def _run_here(
    source: str, limits: dict[str, Any], folder: str, writes: int, protections: Protections
) -> NoReturn:
    """Shut the doors, run the program, say what came, and never return; in the fork."""
    reason = "the sandbox failed"
    try:
        _shut_doors(limits, folder)
        protections.confine(folder)
        if sys.platform == "linux":  # a change of the user has cleared it
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        sys.addaudithook(_guard(folder))
        reason = _outcome(source)
        os.write(writes, reason.encode("utf-8", "replace"))
    finally:
        os._exit(0)


def _outcome(source: str) -> str:
    module = types.ModuleType("program")
    sys.modules["program"] = module
    try:
        exec(compile(source, "program", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    except BaseException as error:  # noqa: BLE001  SystemExit too: the tests come last
        first_line = str(error).split("\n", 1)[0]
        return f"{type(error).__name__}: {first_line}"[:_LONGEST_REASON].rstrip(": ")
    return "passed"


def _shut_doors(limits: dict[str, Any], folder: str) -> None:
    os.setpgid(0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder, TMP=folder, TEMP=folder)
    tempfile.tempdir = folder
    for name, value in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(name, (value, value))
    seconds = limits["cpu_seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def _guard(folder: str) -> Any:
    """An audit hook that refuses networks, processes and changes outside the folder."""
    inside, null, join = os.path.realpath(folder) + os.sep, os.devnull, os.path.join
    realpath, fsdecode, getcwd = os.path.realpath, os.fsdecode, os.getcwd

    def is_outside(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        text = fsdecode(path)
        return text != null and not (realpath(join(getcwd(), text)) + os.sep).startswith(inside)

    def guard(event: str, args: tuple[Any, ...]) -> None:
        if event.startswith("socket.") or event in _STARTS_SOMETHING:
            raise PermissionError(f"the sandbox refuses {event}")
        writes = event == "open" and bool((args[2] or 0) & _WRITES)
        changed = args[:1] if writes else args if event in _CHANGES_FILES else ()
        if any(map(is_outside, changed)):
            raise PermissionError(f"the sandbox refuses {event} outside its folder")

    return guard


def _say(reply: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(reply) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    protections = Protections()
    protections.enter()
    _say({"protections": protections.held, "missing": protections.missing})
    for line in sys.stdin:
        _say(run(**json.loads(line), protections=protections))


if __name__ == "__main__":
    main()
