"""File access by Landlock: a program reads what it needs, and writes in one folder.

It also refuses TCP (Linux 6.7) and signals to processes outside (6.12). See landlock(7). What it
does not govern: names, sizes, modes and times of files. The private root hides those.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_SYS_CREATE, _SYS_ADD_RULE, _SYS_RESTRICT = 444, 445, 446
_GET_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _READ_FILE, _READ_DIR = 1, 4, 8
_WRITE_FILE, _TRUNCATE = 2, 1 << 14
_TCP, _SCOPES = 0b11, 0b11
_O_PATH = getattr(os, "O_PATH", 0)
_PR_SET_NO_NEW_PRIVS = 38
_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The version of Landlock's interface; 0 where there is none."""
    return max(0, int(_libc.syscall(_SYS_CREATE, None, 0, _GET_VERSION)))


def make_rules(readable: Iterable[str], devices: Iterable[str], folder: str) -> int:
    """A descriptor of rules: read below some paths, read and write devices, all in one folder.

    Raises:
        OSError: this kernel has no Landlock.
    """
    abi = version()
    handled = (1 << {0: 0, 1: 13, 2: 14, 3: 15, 4: 15}.get(abi, 16)) - 1
    fields = struct.pack("=QQQ", handled, _TCP if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    rules = _libc.syscall(_SYS_CREATE, fields, size, 0)
    if rules < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    for path in readable:
        access = _READ_FILE | _EXECUTE | (_READ_DIR if os.path.isdir(path) else 0)
        _allow(rules, path, access & handled)
    for path in devices:
        _allow(rules, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & handled)
    _allow(rules, folder, handled & ~_EXECUTE)
    return int(rules)


def restrict(rules: int) -> None:
    """Bind this process to the rules for good, and to gain no privileges.

    Raises:
        OSError: the kernel refuses it.
    """
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _libc.syscall(_SYS_RESTRICT, rules, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _allow(rules: int, path: str, access: int) -> None:
    descriptor = os.open(path, _O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, descriptor)
        if _libc.syscall(_SYS_ADD_RULE, rules, _PATH_BENEATH, rule, 0) != 0:
            raise OSError(ctypes.get_errno(), f"{path}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)
