"""Arrays that stand in a file, and are read when they are asked for.

Invariant: they are never memory-mapped. When a mapped file shrinks, whoever looks at what is gone
is ended by the system (SIGBUS); a read that comes up short is an error.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from midfill.weights.errors import CorruptModelError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

State = tuple[int, int, int, int]
"""Device, number, bytes and time of a file."""


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array in a file, C-contiguous."""

    file: Path
    state: State
    """The file's when it was opened; in another one nothing is where it was."""
    offset: int
    """Bytes before it."""
    shape: tuple[int, ...]
    dtype: str
    """NumPy's name."""

    @property
    def nbytes(self) -> int:
        """Its bytes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def read(self) -> NDArray[Any]:
        """A new array; raises CorruptModelError as ``read_into`` does."""
        values = np.empty(self.shape, self.dtype)
        self.read_into(values.reshape(-1).view(np.uint8))
        return values

    def read_into(self, target: NDArray[np.uint8]) -> None:
        """Read its bytes to a place of just that size.

        Raises:
            CorruptModelError: the file is no longer what was opened.
        """
        rest = memoryview(target.data)
        assert len(rest) == self.nbytes, (len(rest), self.nbytes)
        with self.file.open("rb", buffering=0) as stream:
            stream.seek(self.offset)
            while rest and (read := stream.readinto(rest)):
                rest = rest[read:]
            state = state_of(os.fstat(stream.fileno()))
        if rest or state != self.state:
            raise CorruptModelError(f"{self.file} changed while it was read; open the model again")


def state_of(status: os.stat_result) -> State:
    """What tells a file from another one, and from itself after a change."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
