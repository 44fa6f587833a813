"""Packed weights kept on disk: a model that is opened again is read, not converted.

A file holds what ``weights`` makes of one checkpoint in one format. Its name is made of all
that shapes it: the checkpoint's files (path, size, time), the format, and the code that reads and
packs. It stands in the cache only whole. Whatever cannot be read or written is no error: the model
is converted again.
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
    import platformdirs

    digest = hashlib.sha256(repr((wanted, checkpoint.architecture)).encode())
    for file in checkpoint.files:
        about = file.stat()
        digest.update(f"\0{file.resolve()}\0{about.st_size}\0{about.st_mtime_ns}".encode())
    for source in sorted(code(checkpoint)):
        digest.update(source.read_bytes())
    folder = Path(platformdirs.user_cache_dir("midfill", appauthor=False)) / "packed"
    return folder / f"{digest.hexdigest()[:16]}.safetensors"


def code(checkpoint: Checkpoint) -> set[Path]:
    """The modules that decide on the bytes: those that read its tensors, and those that pack."""
    readers = {type(source).__module__ for source in checkpoint.tensors.values()}
    files = {sys.modules[name].__file__ for name in readers} | {quantization.__file__}
    return {Path(__file__).with_name("weights.py"), *(Path(f) for f in files if f)}


def load(file: Path) -> Packed | None:
    """What was saved there, memory-mapped; None if there is nothing whole."""
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as opened:
            described = json.loads(opened.metadata()["parts"])
            arena = opened.get_tensor(_ARENA)
            parts = tuple(
                PackedMatrix(**part | {"form": Form(*part["form"])})
                if isinstance(part, dict)
                else opened.get_tensor(str(part)).clone()  # lets go of the file
                for part in described
            )
        os.utime(file)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        log.warning("cannot read the packed weights in %s: %s", file, error)
        return None
    return Packed(parts, arena)


def save(file: Path, parts: Sequence[Part], arena: torch.Tensor) -> None:
    """Keep them, if they are worth it, and no more files than KEPT."""
    if not LEAST_BYTES <= len(arena) <= MOST_BYTES:
        return
    tensors = {str(i): part for i, part in enumerate(parts) if isinstance(part, torch.Tensor)}
    described = [i if isinstance(p, torch.Tensor) else asdict(p) for i, p in enumerate(parts)]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            made = Path(folder) / file.name
            save_file(tensors | {_ARENA: arena}, made, {"parts": json.dumps(described)})
            os.replace(made, file)
        for old in sorted(file.parent.glob("*.safetensors"), key=_time)[:-KEPT]:
            old.unlink()
    except (OSError, SafetensorError) as error:
        log.warning("cannot keep the packed weights in %s: %s", file, error)


def _time(file: Path) -> int:
    return file.stat().st_mtime_ns
