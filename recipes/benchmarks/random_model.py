"""A large model's shape with random weights, to measure speed where the real one cannot be had.

What it writes is a GGUF that midfill and llama.cpp open. Its vocabulary is another model's, so the
embedding has that one's rows; its matrices repeat one block of random values, which no speed
depends on.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.progress import Progress

from midfill.weights.architecture import LlamaArchitecture
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.families import expected_shapes
from midfill.weights.formats.gguf_writer import FILE_TYPES, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

SHAPES = {
    "7b": LlamaArchitecture(
        num_hidden_layers=32,
        hidden_size=4096,
        intermediate_size=11008,
        num_attention_heads=32,
        num_key_value_heads=32,
        head_dim=128,
        vocab_size=32016,
        rope_theta=1e6,
        rms_norm_eps=1e-5,
        max_position_embeddings=16384,
        tie_word_embeddings=False,
    ),
}
"""Code Llama's (Rozière et al. 2023), from its ``config.json``."""
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class RandomTensor:
    """Values of a size that keeps activations finite; see ``TensorSource``."""

    shape: tuple[int, ...]
    block: torch.Tensor
    """Standard normal values, fp32."""

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """Ones for a norm; for a matrix the block again and again, scaled by its width."""
        if len(self.shape) == 1:
            return torch.ones(self.shape, dtype=dtype)
        size = math.prod(self.shape)
        values = self.block.repeat(-(-size // len(self.block)))[:size].reshape(self.shape)
        return (values / math.sqrt(self.shape[1])).to(dtype)

    def blocks(self) -> tuple[str, NDArray[np.uint8]] | None:
        """None: these tensors are plain."""
        return None


def write(shape: str, vocabulary: str, file: Path, type_name: str) -> None:
    """Write such a model.

    Args:
        shape: One of SHAPES.
        vocabulary: The model whose tokenizer it gets, a path or a name from the registry.
        file: Is overwritten.
        type_name: The format of its matrices, one of ``FILE_TYPES``.
    """
    source = open_checkpoint(vocabulary)
    architecture = replace(SHAPES[shape], vocab_size=source.architecture.vocab_size)
    block = torch.randn(_BLOCK, generator=torch.Generator().manual_seed(0))
    tensors = {
        name: RandomTensor(size, block) for name, size in expected_shapes(architecture).items()
    }
    model = replace(source, name=file.stem, architecture=architecture, tensors=tensors)
    with Progress() as progress:
        task = progress.add_task("writing")
        write_checkpoint(
            model,
            file,
            type_name,
            None,
            lambda done, total: progress.update(task, completed=done, total=total),
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Parse and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="the GGUF to write")
    parser.add_argument("--shape", choices=SHAPES, default="7b")
    parser.add_argument(
        "--vocabulary", default="smollm2-135m", help="a model (default: %(default)s)"
    )
    parser.add_argument("--type", choices=FILE_TYPES, default="Q4_0", help="(default: %(default)s)")
    arguments = parser.parse_args(argv)
    write(arguments.shape, arguments.vocabulary, arguments.file, arguments.type)


if __name__ == "__main__":
    main()
