"""A wish that work ends early, from any thread; kernels see it in the middle of a pass."""

from __future__ import annotations

import ctypes


class CancelFlag:
    """Unset, until somebody sets it for good."""

    def __init__(self) -> None:
        self._flag = ctypes.c_int(0)

    def __bool__(self) -> bool:
        """Whether it was set."""
        return bool(self._flag.value)

    def set(self) -> None:
        """Ask for the end."""
        self._flag.value = 1

    @property
    def address(self) -> int:
        """The address of an int that becomes 1; it lives as long as this object."""
        return ctypes.addressof(self._flag)


class CancelledPassError(Exception):
    """A forward pass saw that it was cancelled: its tokens are not cached. Stays in the engine."""
