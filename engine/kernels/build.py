"""The native kernels as a shared library, compiled once on each machine for its processor.

Invariant: a library stands in the cache only whole (it is moved in with one ``os.replace``), under
a name made of all that shapes it: sources, compiler, flags, processor.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).parent / "c"
COMPILE_TIMEOUT_S = 300
_FLAGS = [
    "-std=c11",
    "-O3",
    "-fopenmp-simd",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-shared",
    "-fPIC",
    "-pthread",
]
_NATIVE_FLAGS = {
    "x86_64": "-march=native",
    "amd64": "-march=native",
    "aarch64": "-mcpu=native",
    "arm64": "-mcpu=native",
}

log = logging.getLogger(__name__)


class KernelsUnavailableError(Exception):
    """There is no library for this machine, and the message says why; stays in the engine."""


def build() -> Path:
    """The library's path, compiled if this machine has none yet (some seconds).

    Raises:
        KernelsUnavailableError: no compiler, or it failed.
    """
    compiler = _find_compiler()
    flags = _flags()
    target = cache_folder() / f"midfill-{_key(compiler, flags)}.so"
    if not target.is_file():
        log.info("compiling the kernels with %s", shlex.join(compiler))
        _compile([*compiler, *flags], target)
    return target


def cache_folder() -> Path:
    """Where compiled kernels are kept: in the user's cache."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("midfill", appauthor=False)) / "kernels"


def _find_compiler() -> list[str]:
    command = shlex.split(os.environ.get("CC") or "cc")
    found = shutil.which(command[0])
    if found is None:
        raise KernelsUnavailableError(
            f"no C compiler {command[0]!r} on the path; install one, or name it in CC"
        )
    return [found, *command[1:]]


def _flags() -> list[str]:
    native = _NATIVE_FLAGS.get(platform.machine().lower())
    # Compilers that know the processor only roughly prefer halves of its vectors.
    wide = ["-mprefer-vector-width=512"] if "avx512f" in _processor_features() else []
    return [*_FLAGS, *([native] if native else []), *wide]


@functools.cache
def _processor_features() -> str:
    """What the processor can do, in Linux's words; elsewhere its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n")
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line for line in lines if line.lower().startswith(("flags", "features"))), "")


def _sources() -> list[Path]:
    return sorted(SOURCES.glob("*.[ch]"))


def _key(compiler: list[str], flags: list[str]) -> str:
    version = _run([*compiler, "--version"])
    shaped_by = [version, *compiler, *flags, platform.machine(), _processor_features()]
    digest = hashlib.sha256("\0".join(shaped_by).encode())
    for source in _sources():
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _compile(command: list[str], target: Path) -> None:
    sources = [str(source) for source in _sources() if source.suffix == ".c"]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            output = Path(folder) / target.name
            _run([*command, *sources, "-o", str(output), "-lm"])
            os.replace(output, target)
    except OSError as error:
        raise KernelsUnavailableError(f"the kernels cannot be kept: {error}") from error


def _run(command: list[str]) -> str:
    """Standard output."""
    try:
        done = subprocess.run(  # noqa: S603  # the user's own compiler
            command, check=False, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise KernelsUnavailableError(f"the C compiler cannot be run: {error}") from error
    if done.returncode:
        last = "; ".join(done.stderr.strip().split("\n")[:2])
        raise KernelsUnavailableError(f"the C compiler failed on the kernels: {last}")
    return done.stdout
