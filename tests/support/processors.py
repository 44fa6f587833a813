"""The kernels as other processors would have them, as far as this one can run those."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from midfill.engine.kernels import build
from midfill.engine.kernels.bindings import load_library

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Sequence

NO_VECTORS = "no vectors"
_AVX2 = {"-mavx2": "avx2", "-mfma": "fma", "-mf16c": "f16c"}
_AVX512 = _AVX2 | {"-mavx512f": "avx512f", "-mavx512bw": "avx512bw", "-mavx512vnni": "avx512_vnni"}
_FLAGS = {
    NO_VECTORS: {},
    "AVX2": _AVX2,
    "AVX-VNNI": _AVX2 | {"-mavxvnni": "avx_vnni"},
    "AVX-512": _AVX512,
    "AVX-512 with bf16": _AVX512 | {"-mavx512bf16": "avx512_bf16"},
}
"""By processor: the compiler's flags, and what Linux calls what they need."""
PROCESSORS = tuple(_FLAGS)
VECTOR_PROCESSORS = PROCESSORS[1:]


def kernels_for(processor: str, patch: pytest.MonkeyPatch) -> ctypes.CDLL:
    """Its library; skips the test where this processor or the compiler lacks what it has."""
    flags = _FLAGS[processor]
    missing = set(flags.values()) - set(build._processor_features().split())
    if missing:
        pytest.skip(f"this processor lacks {', '.join(sorted(missing))}")
    if not _compiler_knows(list(flags)):
        pytest.skip(f"the compiler does not know all of {' '.join(flags)}")
    patch.setattr(build, "_FLAGS", [*build._FLAGS, *flags])
    patch.setattr(build, "_NATIVE_FLAGS", {})
    patch.setattr(build, "_processor_features", lambda: processor)
    return load_library(build.build())


def _compiler_knows(flags: Sequence[str]) -> bool:
    command = [*build._find_compiler(), *flags, "-E", "-x", "c", os.devnull]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
