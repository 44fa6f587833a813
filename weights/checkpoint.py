"""The one way to open a model, whatever it is stored in."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.weights import registry, shipped, store
from midfill.weights.errors import (
    ModelNotAvailableError,
    ModelNotFoundError,
    UnsupportedModelError,
)
from midfill.weights.formats.gguf_parts import parts_of
from midfill.weights.formats.strict import require_plain_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midfill.weights.architecture import Checkpoint

GGUF_MAGIC = b"GGUF"


def open_checkpoint(model: str, adapter: str | None = None) -> Checkpoint:
    """The model's metadata, checked, and its tensors, still on disk.

    Args:
        model: A name of the registry, else the path of a GGUF file or of a Hugging Face folder. A
            name wins over a path, so that no folder of a workspace can take its place.
        adapter: The path of a PEFT adapter's folder to lay over it.

    Raises:
        ModelNotFoundError: neither a known name nor a path.
        ModelNotPulledError: a known name, but not on this machine yet.
        ModelNotAvailableError: the files cannot be read, by permission for example.
        UnsupportedModelError: a format, architecture or key that is not implemented.
        CorruptModelError: the files are broken, or do not fit together.
    """
    checkpoint = _open_model(model)
    return checkpoint if adapter is None else _with_adapter(checkpoint, _existing(adapter))


def _open_model(model: str) -> Checkpoint:
    if model in {entry.name for entry in registry.entries()}:
        entry = registry.entry(model)
        checkpoint = _read(store.require(entry.pulled), entry.pulled.name)
        if isinstance(entry, registry.AdaptedEntry):
            checkpoint = _with_adapter(checkpoint, shipped.require(entry))
        return replace(checkpoint, name=entry.name, dialect=entry.dialect)
    path = Path(model).expanduser().absolute()
    if not model or not path.exists():
        raise ModelNotFoundError(
            f"{model!r} is neither a known model ({registry.known_names()}) nor a path"
        )
    return _read(path, path.stem if path.is_file() else path.name)


def _existing(adapter: str) -> Path:
    folder = Path(adapter).expanduser().absolute()
    if not adapter or not folder.is_dir():
        raise ModelNotFoundError(
            f"the adapter {adapter!r} is no folder; name one with an adapter_config.json"
        )
    return folder


def _with_adapter(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    from midfill.weights.formats import adapter

    with _reading(folder):
        return adapter.apply(checkpoint, folder)


def _read(path: Path, name: str) -> Checkpoint:
    with _reading(path):
        return _read_format(path, name)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelNotAvailableError(f"{path} cannot be read: {error}") from error


def _read_format(path: Path, name: str) -> Checkpoint:
    if path.is_dir():
        inside = _only_gguf(path)
        if inside is not None:
            return _read_format(inside, name)
        from midfill.weights.formats import huggingface

        return huggingface.read_checkpoint(path, name)
    require_plain_file(path)
    with path.open("rb") as file:  # whatever its name: other programs have no suffix, or hashes
        is_gguf = file.read(len(GGUF_MAGIC)) == GGUF_MAGIC
    if is_gguf or path.suffix.lower() == ".gguf":
        from midfill.weights.formats import gguf

        return gguf.read_checkpoint(path, name)
    raise UnsupportedModelError(
        f"{path} is neither a GGUF file nor a folder with one, or with a config.json and"
        " safetensors; midfill models list has what can be pulled"
    )


def _only_gguf(folder: Path) -> Path | None:
    """The GGUF file of a folder without a config.json, or one part of it; None if there is none.

    Raises:
        UnsupportedModelError: there are several.
    """
    if (folder / "config.json").exists():
        return None
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".gguf")
    if len({parts_of(path) for path in found}) > 1:
        names = ", ".join(path.name for path in found[:5])
        raise UnsupportedModelError(f"{folder} has several GGUF files, name one: {names}")
    return found[0] if found else None
