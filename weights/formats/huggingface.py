"""Hugging Face folders of Llama and its relatives: ``config.json``, safetensors, a tokenizer.

A key of the configuration that changes the arithmetic is implemented or refused; one that nobody
here knows is ignored, and said so.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.weights.architecture import Checkpoint
from midfill.weights.families import FAMILIES
from midfill.weights.formats.config.architecture import read_architecture
from midfill.weights.formats.config.keys import unknown_keys
from midfill.weights.formats.safetensors import open_tensors
from midfill.weights.formats.strict import (
    Metadata,
    check_ids,
    check_tensors,
    read_json,
)
from midfill.weights.formats.tokenizer.folder import read_tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from midfill.weights.architecture import TensorSource


log = logging.getLogger(__name__)

HEAD = "lm_head.weight"


def read_checkpoint(folder: Path, name: str) -> Checkpoint:
    """The folder, opened: config and tokenizer checked, tensors still on disk.

    Raises:
        CorruptModelError: a file is missing or broken, or they do not fit together.
        UnsupportedModelError: it needs something that midfill does not implement.
    """
    config = Metadata(folder / "config.json", read_json(folder / "config.json"))
    architecture = read_architecture(config)
    tensors, ignored = open_tensors(folder), unknown_keys(config)
    if architecture.tie_word_embeddings and HEAD in tensors:
        log.warning("%s stores a head, which is ignored: the embedding is tied to it", folder)
        tensors, ignored = {n: t for n, t in tensors.items() if n != HEAD}, (*ignored, HEAD)
    check_tensors(folder, architecture, {name: tensor.shape for name, tensor in tensors.items()})
    files = tuple(sorted({tensor.stored.file for tensor in tensors.values()}))
    tokenizer = read_tokenizer(folder, config, architecture.vocab_size)
    check_ids(folder, tokenizer, architecture.vocab_size)
    return Checkpoint(
        name,
        folder,
        architecture,
        tokenizer,
        shifted_norms(tensors, FAMILIES[architecture.family].norm_offset),
        files=files,
        ignored=ignored,
    )


def shifted_norms(tensors: Mapping[str, TensorSource], offset: float) -> Mapping[str, TensorSource]:
    """All tensors of a model, with a number added to norms' weights."""
    if not offset:
        return tensors
    return {
        name: Shifted(tensor, offset) if name.endswith("norm.weight") else tensor
        for name, tensor in tensors.items()
    }


@dataclass(frozen=True, slots=True)
class Shifted:
    """A tensor to which a number is added; see ``TensorSource``."""

    source: TensorSource
    offset: float

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the tensor."""
        return self.source.shape

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """Added in fp32."""
        import torch

        return (self.source.read(torch.float32) + self.offset).to(dtype)

    def blocks(self) -> None:
        """None: its values are made."""
