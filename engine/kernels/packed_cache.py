"""Packed weights kept on disk: a model that is opened again is read, not converted.

A file holds what ``weights`` makes of one checkpoint in one format. Its name is made of all
that shapes it: the checkpoint's files (path, size, time), the format, and the code that reads and
packs. It stands in the cache only whole. Beside it stands its seal, a JSON object::

    {"sha256": "...", "size": 1, "mtime_ns": 2}

The hash is computed again only when size or time differ. Matrices that do not have the shapes of
the model, or lie beyond the end, are refused. Whatever cannot be read, trusted or written is no
error: the model is converted again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from midfill.engine.kernels import quantization
from midfill.engine.kernels.private_cache import (
    cache_folder,
    is_private,
    private_folder,
    sha256_of,
)
from midfill.engine.kernels.quantization import Form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.weights.architecture import Checkpoint

LEAST_BYTES, MOST_BYTES = 32 << 20, 1 << 30
"""Sizes of packed weights that are kept. Less is converted in no time; more would fill a disk."""
KEPT = 3
"""Files in the cache, the ones used last."""
_ARENA = "arena"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """A matrix that stands in an arena."""

    rows: int
    columns: int
    form: Form
    offset: int


Part = PackedMatrix | torch.Tensor


@dataclass(frozen=True, slots=True)
class Packed:
    """All parts of a decoder in the order in which they are built, and the arena's bytes."""

    parts: tuple[Part, ...]
    arena: torch.Tensor


def place(checkpoint: Checkpoint, wanted: str) -> Path | None:
    """The file for a checkpoint in a format; None if it is not of files."""
    if not checkpoint.files:
        return None
    digest = hashlib.sha256(repr((wanted, checkpoint.architecture)).encode())
    for file in checkpoint.files:
        about = file.stat()
        digest.update(f"\0{file.resolve()}\0{about.st_size}\0{about.st_mtime_ns}".encode())
    for source in sorted(code(checkpoint)):
        digest.update(source.read_bytes())
    return cache_folder("packed") / f"{digest.hexdigest()[:16]}.safetensors"


def code(checkpoint: Checkpoint) -> set[Path]:
    """The modules that decide on the bytes: those that read its tensors, and those that pack."""
    readers = {type(source).__module__ for source in checkpoint.tensors.values()}
    files = {sys.modules[name].__file__ for name in readers} | {quantization.__file__}
    return {Path(__file__).with_name("weights.py"), *(Path(f) for f in files if f)}


def load(file: Path, shapes: Sequence[tuple[int, ...]]) -> Packed | None:
    """What was saved there, memory-mapped; None if there is nothing whole.

    Args:
        file: From ``place``.
        shapes: Those of all parts of the model, in order.
    """
    if not file.is_file():
        return None
    try:
        _check_seal(file)
        with safe_open(file, framework="pt") as opened:
            described = json.loads(opened.metadata()["parts"])
            arena = opened.get_tensor(_ARENA)
            parts = tuple(
                PackedMatrix(**part | {"form": Form(*part["form"])})
                if isinstance(part, dict)
                else opened.get_tensor(str(part)).clone()  # lets go of the file
                for part in described
            )
        _check_parts(parts, shapes, len(arena))
        os.utime(_seal_of(file))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        log.warning("cannot read the packed weights in %s: %s", file, error)
        return None
    return Packed(parts, arena)


def _check_seal(file: Path) -> None:
    """Raise ValueError unless the file is this user's, and as it was when it was saved."""
    seal = _seal_of(file)
    if not (is_private(file) and is_private(seal)):
        raise ValueError("it, or its seal, is not this user's own alone")
    sealed = json.loads(seal.read_text(encoding="utf-8"))
    if _state(file) != (sealed["size"], sealed["mtime_ns"]):
        if sha256_of(file) != sealed["sha256"]:
            raise ValueError("it has changed since it was saved")
        _write_seal(file, sealed["sha256"])


def _check_parts(parts: Sequence[Part], shapes: Sequence[tuple[int, ...]], arena: int) -> None:
    """Raise ValueError unless they are the model's, and within the arena's bytes."""
    found = [(p.rows, p.columns) if isinstance(p, PackedMatrix) else tuple(p.shape) for p in parts]
    if found != list(shapes):
        raise ValueError("its parts have other shapes than the model's")
    for part in parts:
        if isinstance(part, PackedMatrix):
            size = quantization.packed_bytes(part.rows, part.columns, part.form)
            if not 0 <= part.offset <= arena - size:
                raise ValueError(f"a part lies beyond its end, at {part.offset}")


def _seal_of(file: Path) -> Path:
    return file.with_suffix(".json")


def _write_seal(file: Path, digest: str) -> None:
    size, mtime_ns = _state(file)
    sealed = {"sha256": digest, "size": size, "mtime_ns": mtime_ns}
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / "seal"
        made.write_text(json.dumps(sealed), encoding="utf-8")
        os.replace(made, _seal_of(file))


def _state(file: Path) -> tuple[int, int]:
    about = file.stat()
    return about.st_size, about.st_mtime_ns


def save(file: Path, parts: Sequence[Part], arena: torch.Tensor) -> None:
    """Keep them, if they are worth it, and no more files than KEPT."""
    if not LEAST_BYTES <= len(arena) <= MOST_BYTES:
        return
    tensors = {str(i): part for i, part in enumerate(parts) if isinstance(part, torch.Tensor)}
    described = [i if isinstance(p, torch.Tensor) else asdict(p) for i, p in enumerate(parts)]
    try:
        private_folder(file.parent)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            made = Path(folder) / file.name
            save_file(tensors | {_ARENA: arena}, made, {"parts": json.dumps(described)})
            made.chmod(0o600)
            digest = sha256_of(made)
            os.replace(made, file)
        _write_seal(file, digest)
        for old in sorted(file.parent.glob("*.safetensors"), key=_last_used)[:-KEPT]:
            old.unlink()
            _seal_of(old).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        log.warning("cannot keep the packed weights in %s: %s", file, error)


def _last_used(file: Path) -> int:
    """When it was loaded last, which its seal's time tells; 0: never sealed."""
    seal = _seal_of(file)
    return seal.stat().st_mtime_ns if seal.exists() else 0
