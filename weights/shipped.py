"""The adapters that midfill ships: a folder each, named after the registry's entry.

::

    weights/adapters/midfill-135m/adapter_config.json
    weights/adapters/midfill-135m/adapter_model.safetensors     its sha256 is in registry.toml
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.weights import registry
from midfill.weights.errors import CorruptModelError, ModelNotFoundError
from midfill.weights.formats.adapter_config import TENSORS

if TYPE_CHECKING:
    from midfill.weights.registry import AdaptedEntry

ADAPTERS = Path(__file__).parent / "adapters"


def folder(entry: AdaptedEntry) -> Path:
    """Where the entry's adapter is."""
    return ADAPTERS / entry.name


def require(entry: AdaptedEntry) -> Path:
    """The adapter's folder; only the size is checked (``verify`` reads all of it).

    Raises:
        CorruptModelError: the tensors are not there, or of another size than the registry's.
    """
    file = folder(entry) / TENSORS
    size = file.stat().st_size if file.is_file() else None
    if size != entry.size_bytes:
        found = "is missing" if size is None else f"has {size} bytes"
        raise CorruptModelError(
            f"{file} {found}, and {entry.size_bytes} bytes were shipped; {_AGAIN}"
        )
    return folder(entry)


def find(name: str) -> Path:
    """The folder of the registry's adapter of that name, or else the folder that it is a path of.

    Raises:
        ModelNotFoundError: there is no such folder either.
        CorruptModelError: see ``require``.
    """
    if name in {entry.name for entry in registry.entries()}:
        entry = registry.entry(name)
        if isinstance(entry, registry.AdaptedEntry):
            return require(entry)
    if not (Path(name) / TENSORS).is_file():
        raise ModelNotFoundError(
            f"{name!r} is no adapter: name {registry.default_name()!r} or a folder with {TENSORS}"
        )
    return Path(name)


def verify(entry: AdaptedEntry) -> Path:
    """The adapter's folder, its tensors read through and found to be what the registry promises.

    Raises:
        CorruptModelError: the tensors are not there, or their size or sha256 is another.
    """
    file = require(entry) / TENSORS
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != entry.sha256:
        raise CorruptModelError(f"{file} has the sha256 {found}, not {entry.sha256}; {_AGAIN}")
    return folder(entry)


_AGAIN = "install midfill again"
