"""The C functions and structures of ``kernels/c/midfill.h``, for Python; calls release the GIL."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import mmap
import os
from ctypes import POINTER, Structure, c_float, c_int, c_int64, c_void_p
from typing import TYPE_CHECKING

import numpy as np
import torch

from midfill.engine.kernels import quantization
from midfill.engine.kernels.build import KernelsUnavailableError, build
from midfill.engine.kernels.packed_cache import PackedMatrix
from midfill.engine.kernels.quantization import Form
from midfill.weights.families import FAMILIES

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.engine.kernels.quantization import GroupedMatrix
    from midfill.weights.stored import StoredArray

MAX_TOKENS = 256
"""Tokens of one call."""
FEW_TOKENS = 8
"""Tokens up to which a call costs little more than that of one."""
FORMATS = {torch.float32: 0, torch.bfloat16: 1}
"""Numbers in C of the formats of plain matrices and of the cache."""
_GROUPED_FORMATS = {
    Form(8, has_offsets=False): 2,
    Form(4, has_offsets=True): 3,
    Form(4, has_offsets=False): 4,
    Form(4, has_offsets=True, is_nested=True): 5,
}


class CMatrix(Structure):
    """``struct matrix``."""

    _fields_ = (
        ("data", c_void_p),
        ("rows", c_int64),
        ("cols", c_int64),
        ("format", c_int64),
        ("rest", c_void_p),
    )


class CLayer(Structure):
    """``struct layer``; what a family does not have is NULL."""

    _fields_ = (
        *{
            row.part: CMatrix if row.is_matrix else c_void_p
            for family in FAMILIES.values()
            for row in family.layer
        }.items(),
        ("window", c_int64),
        ("is_unrotated", c_int64),
    )


class CDecoder(Structure):
    """``struct decoder``."""

    _fields_ = (
        ("layers", c_int64),
        ("hidden", c_int64),
        ("intermediate", c_int64),
        ("query_heads", c_int64),
        ("kv_heads", c_int64),
        ("head_dim", c_int64),
        ("activation", c_int64),
        ("rms_norm_eps", c_float),
        ("score_scale", c_float),
        ("embedding_multiplier", c_float),
        ("residual_multiplier", c_float),
        ("embed_tokens", CMatrix),
        ("lm_head", CMatrix),
        ("norm", c_void_p),
        ("norm_bias", c_void_p),
        ("layer", POINTER(CLayer)),
    )


class CCache(Structure):
    """``struct cache``."""

    _fields_ = (
        ("data", c_void_p),
        ("format", c_int64),
        ("capacity", c_int64),
        ("length", c_int64),
        ("trunk", c_int64),
        ("seen", c_void_p),
        ("positions", c_void_p),
    )


def dense(weight: torch.Tensor) -> CMatrix:
    """A plain matrix (rows, columns), which has to outlive its use."""
    assert weight.is_contiguous(), weight.shape
    rows, columns = weight.shape
    return CMatrix(weight.data_ptr(), rows, columns, FORMATS[weight.dtype])


class Arena:
    """Memory for packed matrices, one behind the other in the order in which they are read.

    On Linux in huge pages: measured, the kernels read 32 GB/s instead of 26 with one thread. Pages
    that nothing is put into cost nothing.
    """

    def __init__(self, most_bytes: int) -> None:
        # Shared memory, the default, would be in small pages.
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if os.name == "posix" else {}
        self._memory = mmap.mmap(-1, max(most_bytes, 1), **private)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            # A kernel without huge pages refuses, and the memory is as good as any.
            with contextlib.suppress(OSError):
                self._memory.madvise(mmap.MADV_HUGEPAGE)
        self._bytes = np.frombuffer(self._memory, np.uint8)
        self._rests = list[CMatrix]()
        """Those that other matrices point to."""
        self.used_bytes = 0

    @property
    def used(self) -> torch.Tensor:
        """All that was put, as bytes; a view."""
        return torch.from_numpy(self._bytes[: self.used_bytes])

    def put(self, *parts: GroupedMatrix) -> PackedMatrix:
        """Pack a quantized matrix, whose parts stand one below the other."""
        matrix, *others = parts
        size = quantization.packed_bytes(matrix.rows, matrix.columns, matrix.form)
        offset = self.used_bytes
        quantization.pack(matrix, self._bytes[offset : offset + size])
        self.used_bytes += size
        rest = self.put(*others) if others else None
        return PackedMatrix(matrix.rows, matrix.columns, matrix.form, offset, rest)

    def fill(self, content: StoredArray) -> None:
        """Take over what was put into another arena, as bytes.

        Raises:
            CorruptModelError: their file changed since it was opened.
        """
        self.used_bytes = content.nbytes
        content.read_into(self._bytes[: self.used_bytes])

    def matrix(self, packed: PackedMatrix) -> CMatrix:
        """A matrix that stands here; the arena has to outlive the use of the result."""
        data = self._bytes[packed.offset :].ctypes.data
        found = CMatrix(data, packed.all_rows, packed.columns, _GROUPED_FORMATS[packed.form])
        if packed.rest is not None:
            assert packed.rows % quantization.PANEL == 0, packed.rows
            self._rests.append(self.matrix(packed.rest))
            found.rest = ctypes.addressof(self._rests[-1])
        return found


def release_freed() -> None:
    """Give back to the system what C's library keeps of freed memory, where it can (glibc).

    Measured, 1.4 GB behind the opening of 1.5 billion weights.
    """
    trim = None if os.name == "nt" else getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@functools.cache
def load() -> ctypes.CDLL:
    """The library of this machine, compiled if need be.

    Raises:
        KernelsUnavailableError: there is none.
    """
    return load_library(build())


def load_library(path: Path) -> ctypes.CDLL:
    """A compiled library, with the signatures of its functions.

    Raises:
        KernelsUnavailableError: it does not fit this machine.
    """
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelsUnavailableError(f"the compiled kernels cannot be loaded: {error}") from error
    library.midfill_open.argtypes = [POINTER(CDecoder), c_int64]
    library.midfill_open.restype = c_void_p
    session, tokens, cos, sin, cancel, hidden = (c_void_p,) * 6
    library.midfill_forward.argtypes = [
        session,
        tokens,
        c_int64,
        POINTER(CCache),
        cos,
        sin,
        cancel,
        hidden,
    ]
    library.midfill_forward.restype = c_int
    library.midfill_logits.argtypes = [c_void_p, c_void_p, c_int64, c_void_p]
    library.midfill_logits.restype = None
    library.midfill_close.argtypes = [c_void_p]
    library.midfill_close.restype = None
    library.has_fast_panels.argtypes = []
    library.has_bf16_products.argtypes = []
    return library
