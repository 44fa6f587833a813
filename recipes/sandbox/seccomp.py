"""A filter of system calls: no new processes or threads, no sockets, no signals to others.

It also refuses memory that no limit counts, and calls that have opened ways into the kernel. What
is refused fails with EPERM. It binds root as well. See seccomp(2); numbers from Linux's
``unistd.h``, the same for both machines from 424 on.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    # what starts a process or a thread: x86_64, aarch64
    "fork": (57, None),
    "vfork": (58, None),
    "clone": (56, 220),
    "clone3": (435, 435),
    "execve": (59, 221),
    "execveat": (322, 281),
    # what reaches other processes
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "socket": (41, 198),
    "socketpair": (53, 199),
    # memory that outlives a process, or that its limits do not count
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    # doors into the kernel
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
}
_TGKILL = {"x86_64": 234, "aarch64": 131}
_X32_CALLS = 0x40000000
_LOAD, _IS, _IS_OR_OVER, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCH_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _KILL, _EPERM = 0x7FFF0000, 0x80000000, 0x00050001
_PR_SET_SECCOMP, _MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def filter_of(pid: int, machine: str) -> bytes:
    """The filter as BPF code, for a process that may signal itself alone.

    Raises:
        OSError: its numbers of system calls are not known here.
    """
    if machine not in _AUDIT_ARCH:
        raise OSError(f"system calls of {machine} are not known; use x86_64 or aarch64")
    column = list(_AUDIT_ARCH).index(machine)
    refused = [numbers[column] for numbers in _REFUSED.values()]
    checks = [(_IS, number) for number in refused if number is not None]
    if machine == "x86_64":
        checks.insert(0, (_IS_OR_OVER, _X32_CALLS))
    # After the checks: tgkill? the first argument, is it pid?; allow; refuse.
    tail = [
        _instruction(_IS, _TGKILL[machine], 0, 2),
        _instruction(_LOAD, _FIRST_ARGUMENT_AT),
        _instruction(_IS, pid, 0, 1),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _EPERM),
    ]
    last = len(checks) + len(tail) - 1
    code = [
        _instruction(_LOAD, _ARCH_AT),
        _instruction(_IS, _AUDIT_ARCH[machine], 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    code += [_instruction(op, k, last - at - 1, 0) for at, (op, k) in enumerate(checks)]
    return b"".join(code + tail)


def restrict() -> None:
    """Bind this process to the filter for good, and to gain no privileges.

    Raises:
        OSError: this kernel has no filters, or the machine is not known.
    """
    code = filter_of(os.getpid(), platform.machine())
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = _Program(len(code) // 8, code)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _instruction(operation: int, constant: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", operation, if_true, if_false, constant)
