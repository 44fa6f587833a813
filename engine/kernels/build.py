"""The native kernels as a shared library, compiled once on each machine for its processor.

Invariant: a library stands in the cache only whole (it is moved in with one ``os.replace``), under
a name made of all that shapes it, and of its own hash::

    midfill-<sources, flags, processor>-<compiler>-<sha256 of the file>.so

It is loaded only if that hash is right and nobody else could have written it; else it is built
again. Where there is no compiler any more, what another one has built is as good.
"""

from __future__ import annotations

import contextlib
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

from midfill.engine.kernels import private_cache
from midfill.engine.kernels.private_cache import is_private, private_folder, sha256_of

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
        KernelsUnavailableError: no compiler, or it failed; or the cache is not the user's own.
    """
    flags = _flags()
    try:
        folder = private_folder(cache_folder())
    except OSError as error:
        raise KernelsUnavailableError(f"the kernels cannot be kept: {error}") from error
    built = f"midfill-{_key(flags)}"
    try:
        compiler = _find_compiler()
    except KernelsUnavailableError:
        if found := _found(folder, f"{built}-*"):
            return found
        raise
    name = f"{built}-{_digest(_run([*compiler, '--version']), *compiler)}"
    return _found(folder, name) or _compile([*compiler, *flags], folder, name)


def cache_folder() -> Path:
    """Where compiled kernels are kept: in the user's cache."""
    return private_cache.cache_folder("kernels")


def _found(folder: Path, name: str) -> Path | None:
    """A library that can be trusted; what cannot be goes."""
    for file in sorted(folder.glob(f"{name}-*.so")):
        if is_private(file) and sha256_of(file) == file.stem.rpartition("-")[2]:
            return file
        log.warning("%s is damaged or not this user's own: the kernels are built again", file)
        with contextlib.suppress(OSError):
            file.unlink()
    return None


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


def _key(flags: list[str]) -> str:
    sources = [part for file in _sources() for part in (file.name, sha256_of(file))]
    return _digest(*flags, platform.machine(), _processor_features(), *sources)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _compile(command: list[str], folder: Path, name: str) -> Path:
    log.info("compiling the kernels with %s", shlex.join(command[:1]))
    sources = [str(source) for source in _sources() if source.suffix == ".c"]
    try:
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            output = Path(unfinished) / name
            _run([*command, *sources, "-o", str(output), "-lm"])
            output.chmod(0o700)
            target = folder / f"{name}-{sha256_of(output)}.so"
            os.replace(output, target)
    except OSError as error:
        raise KernelsUnavailableError(f"the kernels cannot be kept: {error}") from error
    return target


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
