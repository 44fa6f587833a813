"""A model as a file or folder of its own, for other programs, written all or not at all.

What is written stands in a working folder beside its place until it is whole.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from midfill.weights.architecture import Checkpoint
    from midfill.weights.store import Progress

DTYPES = {"gguf": ("bf16", "f32", "q8_0"), "safetensors": ("bf16", "f32")}
"""What each format can be written in, the usual one first."""

CARD = """\
---
{licence}library_name: transformers
pipeline_tag: text-generation
---

# {name}

Written by `midfill models export` in {dtype}, with all adapters merged into the weights. The terms
of the base model and of the adapters hold for it too.

{notes}"""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a model is written to, and as what."""

    path: Path
    """A file for gguf, a folder for safetensors."""
    format: str
    """One of DTYPES."""
    dtype: str
    """One of the format's."""
    overwrite: bool = False
    """Whether files that are there are replaced; others in a folder stay."""
    licence: str | None = None
    """An SPDX expression."""
    notes: str = ""
    """Markdown for the end of a folder's model card: that of the adapter, for example."""

    def check(self) -> None:
        """Refuse what cannot be written, before any work.

        Raises:
            InvalidRequestError: no such format or dtype, or there is something in the place.
        """
        if self.format not in DTYPES:
            raise InvalidRequestError(f"the format is {self.format!r}; it must be {_or(DTYPES)}")
        if self.dtype not in DTYPES[self.format]:
            raise InvalidRequestError(
                f"the dtype is {self.dtype!r}; for {self.format} it must be"
                f" {_or(DTYPES[self.format])}"
            )
        if self.path.exists() and not self.overwrite:
            raise InvalidRequestError(f"{self.path} is there already; --force replaces it")
        if self.path.exists() and self.path.is_dir() != (self.format == "safetensors"):
            kind = "a folder" if self.path.is_dir() else "a file"
            raise InvalidRequestError(f"{self.path} is {kind}; {self.format} needs another place")


def export(checkpoint: Checkpoint, target: Target, on_progress: Progress) -> None:
    """Write the model.

    Raises:
        InvalidRequestError: the target is wrong, or taken.
        UnsupportedModelError: the format cannot hold this model.
        OSError: it cannot be written there.
    """
    target.check()
    prefix = f".{target.path.name}.export-"
    with tempfile.TemporaryDirectory(prefix=prefix, dir=target.path.parent) as working:
        made = target.path.parent / working / target.path.name
        if target.format == "gguf":
            _write_gguf(checkpoint, target, made, on_progress)
            os.replace(made, target.path)
        else:
            _write_safetensors(checkpoint, target, made, on_progress)
            target.path.mkdir(exist_ok=True)
            for file in made.iterdir():
                os.replace(file, target.path / file.name)


def _write_gguf(checkpoint: Checkpoint, target: Target, file: Path, on_progress: Progress) -> None:
    from midfill.weights.formats import gguf_writer

    gguf_writer.write_checkpoint(
        checkpoint,
        file,
        target.dtype.upper(),
        target.licence,
        lambda done, total: on_progress("writing", done, total),
    )


def _write_safetensors(
    checkpoint: Checkpoint, target: Target, folder: Path, on_progress: Progress
) -> None:
    import torch

    from midfill.weights.formats import huggingface_writer

    folder.mkdir()
    huggingface_writer.write_checkpoint(
        checkpoint,
        folder,
        {"bf16": torch.bfloat16, "f32": torch.float32}[target.dtype],
        _card(checkpoint.name, target),
        lambda done, total: on_progress("merging", done, total),
    )


def _card(name: str, target: Target) -> str:
    licence = "" if target.licence is None else f"license: {target.licence.lower()}\n"
    return CARD.format(name=name, dtype=target.dtype, licence=licence, notes=target.notes)


def _or(names: Iterable[str]) -> str:
    return " or ".join(names)
