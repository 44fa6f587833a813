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
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from midfill.engine.kernels import packed_files, quantization
from midfill.engine.kernels.private_cache import (
    is_private,
    private_folder,
    sha256_of,
)
from midfill.engine.kernels.quantization import Form
from midfill.weights.errors import CorruptModelError
from midfill.weights.formats.safetensors import open_stored

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from midfill.weights.architecture import Checkpoint
    from midfill.weights.stored import StoredArray

LEAST_BYTES = 32 << 20
"""Bytes of packed weights that are worth a file: less is converted in no time."""
_ARENA = "arena"
_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """A matrix that stands in an arena."""

    rows: int
    """Its own, without those of its rest."""
    columns: int
    form: Form
    offset: int
    rest: PackedMatrix | None = None
    """What stands below it, in another form."""

    @property
    def parts(self) -> tuple[PackedMatrix, ...]:
        """Itself and what stands below it."""
        return (self, *(self.rest.parts if self.rest else ()))

    @property
    def all_rows(self) -> int:
        """Those of its rest, too."""
        return sum(part.rows for part in self.parts)

    @property
    def nbytes(self) -> int:
        """Its own bytes in the arena."""
        return quantization.packed_bytes(self.rows, self.columns, self.form)

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> PackedMatrix:
        """One that ``asdict`` described, and JSON carried."""
        form, rest = Form(*described["form"]), described["rest"]
        return cls(**{**described, "form": form, "rest": rest and cls.of(rest)})


Part = PackedMatrix | torch.Tensor


@dataclass(frozen=True, slots=True)
class Packed:
    """All parts of a decoder in the order in which they are built, and the arena's bytes."""

    parts: tuple[Part, ...]
    arena: StoredArray


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
    return packed_files.folder() / f"{digest.hexdigest()[:16]}.safetensors"


def code(checkpoint: Checkpoint) -> set[Path]:
    """The modules that decide on the bytes: those that read its tensors, and those that pack."""
    readers = {type(source).__module__ for source in checkpoint.tensors.values()}
    files = {sys.modules[name].__file__ for name in readers} | {quantization.__file__}
    return {Path(__file__).with_name("weights.py"), *(Path(f) for f in files if f)}


def load(file: Path, shapes: Sequence[tuple[int, ...]]) -> Packed | None:
    """What was saved there, the arena's bytes not yet read; None if there is nothing whole.

    Args:
        file: From ``place``.
        shapes: Those of all parts of the model, in order.
    """
    if not file.is_file():
        return None
    try:
        _check_seal(file)
        tensors, metadata = open_stored(file)
        arena = tensors[_ARENA].stored
        parts = tuple(
            PackedMatrix.of(part)
            if isinstance(part, dict)
            else tensors[str(part)].read(_DTYPES[tensors[str(part)].dtype])
            for part in json.loads(metadata["parts"])
        )
        _check_parts(parts, shapes, arena.nbytes)
        os.utime(packed_files.seal_of(file))
    except (CorruptModelError, OSError, KeyError, TypeError, ValueError) as error:
        log.warning("cannot read the packed weights in %s: %s", file, error)
        return None
    return Packed(parts, arena)


def _check_seal(file: Path) -> None:
    """Raise ValueError unless the file is this user's, and as it was when it was saved."""
    seal = packed_files.seal_of(file)
    if not (is_private(file) and is_private(seal)):
        raise ValueError("it, or its seal, is not this user's own alone")
    sealed = json.loads(seal.read_text(encoding="utf-8"))
    if _state(file) != (sealed["size"], sealed["mtime_ns"]):
        if sha256_of(file) != sealed["sha256"]:
            raise ValueError("it has changed since it was saved")
        _write_seal(file, sealed["sha256"])


def _check_parts(parts: Sequence[Part], shapes: Sequence[tuple[int, ...]], arena: int) -> None:
    """Raise ValueError unless they are the model's, and within the arena's bytes."""
    found = [
        (part.all_rows, part.columns) if isinstance(part, PackedMatrix) else tuple(part.shape)
        for part in parts
    ]
    if found != list(shapes):
        raise ValueError("its parts have other shapes than the model's")
    for whole in parts:
        for part in whole.parts if isinstance(whole, PackedMatrix) else ():
            if not 0 <= part.offset <= arena - part.nbytes:
                raise ValueError(f"a part lies beyond its end, at {part.offset}")
            if part.rest and (part.rows % quantization.PANEL or part.rest.columns != part.columns):
                raise ValueError(f"{part.rows} rows do not fit what stands below them")


def _write_seal(file: Path, digest: str) -> None:
    size, mtime_ns = _state(file)
    sealed = {"sha256": digest, "size": size, "mtime_ns": mtime_ns}
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / "seal"
        made.write_text(json.dumps(sealed), encoding="utf-8")
        os.replace(made, packed_files.seal_of(file))


def _state(file: Path) -> tuple[int, int]:
    about = file.stat()
    return about.st_size, about.st_mtime_ns


def save(file: Path, parts: Sequence[Part], arena: torch.Tensor) -> None:
    """Keep them, if they are worth it and there is room, and no more files than may stay."""
    if len(arena) < LEAST_BYTES:
        return
    tensors = {str(i): part for i, part in enumerate(parts) if isinstance(part, torch.Tensor)}
    described = [i if isinstance(p, torch.Tensor) else asdict(p) for i, p in enumerate(parts)]
    try:
        private_folder(file.parent)
        reason = packed_files.why_no_room(len(arena))
        if reason is not None:
            log.warning("the packed weights are not kept, and are made at each start: %s", reason)
            return
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            made = Path(folder) / file.name
            save_file(tensors | {_ARENA: arena}, made, {"parts": json.dumps(described)})
            made.chmod(0o600)
            digest = sha256_of(made)
            os.replace(made, file)
        _write_seal(file, digest)
        packed_files.remove_oldest()
    except (OSError, SafetensorError) as error:
        log.warning("cannot keep the packed weights in %s: %s", file, error)
