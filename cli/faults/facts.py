"""Facts about this installation and its models, for whoever looks for a fault."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midfill.engine.kernels.build import cache_folder as kernels_folder
from midfill.engine.kernels.private_cache import cache_folder
from midfill.recipes.reports import machine
from midfill.weights import registry, store

if TYPE_CHECKING:
    from midfill.engine.api import EngineConfig

PACKAGES = ("gguf", "lsprotocol", "numpy", "pygls", "safetensors", "tokenizers", "torch")
VARIABLES = re.compile(r"MIDFILL_\w+|OMP_\w+|MKL_\w+|KMP_\w+|CC|LANG|LC_\w+")
"""Environment variables that change what midfill does."""
FILES = frozenset({".gguf", ".json", ".model", ".safetensors"})
_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16
_CPUINFO = Path("/proc/cpuinfo")
_VECTORS = re.compile(r"\b(?:avx\w*|amx\w*|fma|f16c|sse4\w*|asimd\w*|sve\w*|i8mm|bf16)\b")


def versions() -> dict[str, Any]:
    """Machine and versions."""
    return machine.about(None) | {"packages": {name: _version(name) for name in PACKAGES}}


def kernels() -> dict[str, Any]:
    """What decides on the native kernels, and which were built."""
    return {
        "vectors": _vectors(),
        "compiler": _compiler(),
        "libraries": _sizes(kernels_folder()),
        "packed": _sizes(cache_folder("packed")),
    }


def variables() -> dict[str, str]:
    """Environment variables that change what midfill does."""
    return {name: os.environ[name] for name in sorted(os.environ) if VARIABLES.fullmatch(name)}


def models() -> list[dict[str, Any]]:
    """The models of the registry, and which are on this machine."""
    return [
        {
            "name": entry.name,
            "default": entry.default,
            "pulled": store.is_pulled(entry.pulled),
            "files": model_files(entry.name),
        }
        for entry in registry.entries()
    ]


def files_of(config: EngineConfig) -> list[dict[str, Any]]:
    """The files that an engine was opened from."""
    adapter = [] if config.adapter is None else model_files(config.adapter)
    return [*model_files(config.model), *adapter]


def model_files(model: str) -> list[dict[str, Any]]:
    """Names, sizes and hashes: the promised ones, which are verified, or of samples of a file."""
    if model in {entry.name for entry in registry.entries()}:
        entry = registry.entry(model)
        parts = {part.name: part for part in (entry.pulled, entry)}
        return [
            {"name": name, "bytes": part.size_bytes, "sha256": part.sha256}
            for name, part in parts.items()
        ]
    path = Path(model).expanduser()
    files = [path] if path.is_file() else sorted(path.glob("*"))
    return [
        {"name": file.name, "bytes": file.stat().st_size, "sampled_sha256": sampled_sha256(file)}
        for file in files
        if file.is_file() and (file == path or file.suffix in FILES)
    ]


def sampled_sha256(file: Path) -> str:
    """The hash of a file's size and of 64 pieces, the ends included: milliseconds for any size."""
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        for number in range(_SAMPLES):
            stream.seek(number * max(size - _SAMPLE_BYTES, 0) // (_SAMPLES - 1))
            digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _version(name: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(name)
    return None


def _vectors() -> list[str]:
    """The processor's vector instructions, where the system tells them."""
    with suppress(OSError):
        return sorted(set(_VECTORS.findall(_CPUINFO.read_text(encoding="utf-8"))))
    return []


def _compiler() -> str | None:
    command = [os.environ.get("CC") or "cc", "--version"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
        return done.stdout.partition("\n")[0]
    return None


def _sizes(folder: Path) -> dict[str, int]:
    """The files in a folder, with their bytes."""
    with suppress(OSError):
        return {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    return {}
