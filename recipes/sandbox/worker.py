"""The process inside the sandbox: forks once for each program. Run by ``pool.py`` only.

It imports nothing of midfill, so that it starts fast and a program finds little to touch. Requests
and replies are lines of JSON on standard input and output::

    -> {"source": "...", "limits": {...}}           fields of SandboxLimits
    <- {"passed": true, "reason": "passed", "seconds": 0.01}

The first line that it writes is ``{"protections": [...]}``.
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
from typing import Any, NoReturn

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
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


def leave_network() -> bool:
    """Move into a network namespace with nothing in it; whether the kernel lets us.

    Those who are not root need a user namespace too. It is tried in a child first: some systems let
    it be made, and then refuse to use it.
    """
    if sys.platform != "linux":
        return False
    pid = os.fork()
    if pid == 0:
        try:
            _unshare()
            os._exit(0)
        except OSError:
            os._exit(1)
    if os.waitpid(pid, 0)[1] != 0:
        return False
    _unshare()
    return True


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) == 0:
        return
    user, group = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no namespaces here")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def adopt_orphans() -> bool:
    """Become the parent of whatever a program leaves behind, to end it; whether that works."""
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def run(source: str, limits: dict[str, Any]) -> dict[str, Any]:
    """Run one program in a process of its own; the reply."""
    with tempfile.TemporaryDirectory(prefix="midfill-", ignore_cleanup_errors=True) as folder:
        reads, writes = os.pipe()
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            os.close(reads)
            _run_here(source, limits, folder, writes)
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


def _run_here(source: str, limits: dict[str, Any], folder: str, writes: int) -> NoReturn:
    """Shut the doors, run the program, say what came, and never return; in the fork."""
    reason = "the sandbox failed"
    try:
        _shut_doors(limits, folder)
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
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
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
    sys.addaudithook(_guard(folder))


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
    kept = {"network namespace": leave_network(), "orphans ended": adopt_orphans()}
    _say({"protections": [name for name, holds in kept.items() if holds]})
    for line in sys.stdin:
        _say(run(**json.loads(line)))


if __name__ == "__main__":
    main()
