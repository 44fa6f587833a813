"""A private root, and namespaces with nothing in them, for the process that calls.

``enter`` moves the caller into its own mount, process, network, IPC and host-name namespaces: as a
user other than root by way of a user namespace. Its root is then made of memory, with the
interpreter and the system's libraries read-only, four devices, and an empty folder to work in.

See namespaces(7), user_namespaces(7), pivot_root(2), mount_setattr(2). Needs Linux 5.12.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

UNPRIVILEGED = 65534
"""The user and group, ``nobody``, that programs of root run as."""
WORK = "/midfill-work"
"""Where programs may write, in the private root: a name that no path of the system has, as an
interpreter may lie below ``/tmp``."""
WORK_BYTES = 64 << 20
"""What all files of a program may have together."""
WORK_FILES = 10_000
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_SYSTEM = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/nix/store",
)

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_SYS_MOUNT_SETATTR = 442
_ATTR_RDONLY, _ATTR_NOSUID = 1, 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


def readable_paths() -> list[str]:
    """What a program needs to read: interpreter, packages, libraries; none below another."""
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    chosen: list[str] = []
    for path in sorted({*prefixes, *_SYSTEM}):
        if os.path.lexists(path) and not any(path.startswith(above + "/") for above in chosen):
            chosen.append(path)
    return chosen


def why_not(step: Callable[[], object]) -> str:
    """Try a step in a child of ours: why it fails, or an empty text.

    Some systems let a namespace be made, and then refuse to use it.
    """
    reads, writes = os.pipe()
    if (pid := os.fork()) == 0:
        failed = 1
        try:
            step()
            failed = 0
        except Exception as error:  # noqa: BLE001  a library may lack a function
            os.write(writes, str(error).encode())
        finally:
            os._exit(failed)
    os.close(writes)
    with open(reads, encoding="utf-8") as said:
        reason = said.read()
    status = os.waitpid(pid, 0)[1]
    return reason or (f"wait status {status}" if status else "")


def enter(folder: str) -> bool:
    """Move into namespaces with a private root, mounted over an empty folder.

    Whether programs must be given ``UNPRIVILEGED``, since we are root inside. The next child is
    process 1 of the process namespace. Single-threaded callers only.

    Raises:
        OSError: the kernel refuses it; the process may be half inside, so try ``why_not`` first.
    """
    _unshare(_NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS)
    is_root_inside = _is_mapped_root()  # /proc is out of sight later
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for path in readable_paths():
        if _show(path, folder):
            _set_read_only(folder + path, recursive=True)
    for path in DEVICES:
        _show(path, folder)
    work = folder + WORK
    Path(work).mkdir(mode=0o755)
    _set_read_only(folder, recursive=False)
    sizes = f"mode=0755,size={WORK_BYTES},nr_inodes={WORK_FILES}"
    _mount("tmpfs", work, "tmpfs", _MS_NOSUID | _MS_NODEV, sizes)
    os.chdir(folder)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir(WORK)
    return is_root_inside


def become_first_process() -> None:
    """Return in a child, process 1 of the namespace; its parent, outside, only waits for it."""
    if pid := os.fork():
        os.closerange(0, 3)
        os.waitpid(pid, 0)
        os._exit(0)
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def leave_network() -> None:
    """Move into a network namespace only.

    Raises:
        OSError: the kernel refuses it.
    """
    _unshare(_NEWNET)


def drop_privileges(*, is_root_inside: bool) -> None:
    """Give up all capabilities, and root's user id where a private root has been entered.

    Only another user than root is bound by the kernel's limit on processes.

    Raises:
        OSError: the kernel refuses it.
    """
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1  # fails for the first that there is not, or at once without CAP_SETPCAP
    if is_root_inside:
        os.setgroups([])
        os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, bytes(24)), "capset")


def _is_mapped_root() -> bool:
    """Whether we are root, and ``UNPRIVILEGED`` is a user here: not in a small user namespace."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    ranges = [tuple(map(int, line.split())) for line in lines]
    is_mapped = any(first <= UNPRIVILEGED < first + count for first, _, count in ranges)
    return os.geteuid() == 0 and is_mapped


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) == 0:
        return
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(_NEWUSER | flags), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _show(path: str, root: str) -> bool:
    """Put a path of the present root at the same place of the new one; whether by a mount."""
    source, target = Path(path), Path(root + path)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return False
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    _mount(path, str(target), "", _MS_BIND | _MS_REC)
    return True


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    arguments = (source.encode(), os.fsencode(target), kind.encode() or None)
    _check(_libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None), target)


def _set_read_only(path: str, *, recursive: bool) -> None:
    attributes = struct.pack("=QQQQ", _ATTR_RDONLY | _ATTR_NOSUID, 0, 0, 0)
    flags = _AT_RECURSIVE if recursive else 0
    _check(
        _libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), flags, attributes, 32),
        "mount_setattr",
    )


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
