"""The kernels as other processors would have them, as far as this one can run those."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import pytest

from midfill.engine.kernels import build
from midfill.engine.kernels.bindings import load_library
from midfill.engine.kernels.private_cache import private_folder

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Sequence
    from pathlib import Path

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

_COMPILER = ThreadPoolExecutor(1, "kernels")
"""One thread: the other core is for the tests."""


def kernels_for(processor: str) -> ctypes.CDLL:
    """Its library; skips the test where this processor or the compiler lacks what it has."""
    library, reason = _library(processor)
    return library or pytest.skip(reason)


@cache
def compile_all() -> dict[str, Future[Path]]:
    """Begin with the libraries of all processors that this one can run.

    Each takes seconds of one core, while the first tests need another.
    """
    has = set(build._processor_features().split())
    return {
        processor: _COMPILER.submit(_compile, processor, list(flags))
        for processor, flags in _FLAGS.items()
        if has.issuperset(flags.values())
    }


@cache
def _library(processor: str) -> tuple[ctypes.CDLL | None, str]:
    """A processor's library, or why there is none."""
    compiled = compile_all()
    if processor not in compiled:
        missing = set(_FLAGS[processor].values()) - set(build._processor_features().split())
        return None, f"this processor lacks {', '.join(sorted(missing))}"
    if not _compiler_knows(list(_FLAGS[processor])):
        return None, f"the compiler does not know all of {' '.join(_FLAGS[processor])}"
    return load_library(compiled[processor].result()), ""


def _compile(processor: str, flags: list[str]) -> Path:
    """The path of a library that is compiled as ``build.build`` does for this processor."""
    folder = private_folder(build.cache_folder())
    command = [*build._find_compiler(), *build._FLAGS, *flags]
    return build._compile(command, folder, f"tested-{processor.replace(' ', '-')}")


def _compiler_knows(flags: Sequence[str]) -> bool:
    command = [*build._find_compiler(), *flags, "-E", "-x", "c", os.devnull]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
