"""How much each input of a model's matrices counts, measured on code: for weights of 4 bits.

An error of a weight costs as much as what it is multiplied with is large, so int4 is fitted by the
mean squares of the inputs (as with llama.cpp's importance matrix; also GPTQ, Frantar et al. 2022,
takes its errors from them). Only those are kept, a few hundred kilobytes, and no text.

    python -P -m midfill.recipes.fitting.importance importance.safetensors
"""

from __future__ import annotations

import argparse
import random
import sysconfig
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import track
from safetensors.torch import save_file

from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.llama import LlamaModel
from midfill.engine.model.loader import choose_placement, load_model
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.recipes.long_context.texts import encode_head, read_documents
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.families import LLAMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from midfill.engine.model.linear import Linear
    from midfill.engine.model.llama import LayerWeights

PARTS = LLAMA.inputs()
"""Matrices with the same inputs, by the one that they are fused to."""


class Observed:
    """A matrix that adds up the squares of its inputs."""

    def __init__(self, inner: Linear) -> None:
        self._inner = inner
        self.squares = torch.zeros(())

    @property
    def parameters(self) -> int:
        """The number of the matrix's parameters."""
        return self._inner.parameters

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The matrix's own product."""
        self.squares = self.squares + x.float().square().sum(0)
        return self._inner(x)


def measure(model: LlamaModel, rows: Sequence[Sequence[int]]) -> Mapping[str, torch.Tensor]:
    """The mean square of each input of the layers' matrices, 1 on average, by the matrix.

    Args:
        model: Is left as it is.
        rows: Token ids; each row is read by itself.
    """
    weights = model.weights
    observed = [
        {part: Observed(getattr(layer, part)) for part in PARTS} for layer in weights.layers
    ]
    layers = (_with_parts(*pair) for pair in zip(weights.layers, observed, strict=True))
    watched = LlamaModel(model.architecture, replace(weights, layers=tuple(layers)))
    for ids in track(rows, "measuring"):
        watched.forward(ids, Slot(model.architecture, model.dtype, model.device))
    return {
        f"model.layers.{index}.{name}.weight": of[part].squares / of[part].squares.mean()
        for index, of in enumerate(observed)
        for part, names in PARTS.items()
        for name in names
    }


def _with_parts(layer: LayerWeights, parts: Mapping[str, Any]) -> LayerWeights:
    return replace(layer, **parts)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the importance.safetensors to write")
    parser.add_argument("--model", default="midfill-135m", help="(default: %(default)s)")
    parser.add_argument(
        "--text",
        type=Path,
        nargs="+",
        default=[Path(sysconfig.get_path("stdlib"))],
        help="files and folders of code (default: Python's library)",
    )
    parser.add_argument(
        "--suffix", default=".py", help="of files in folders (default: %(default)s)"
    )
    parser.add_argument("--rows", type=int, default=32, help="of texts (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=1024, help="of a row (default: %(default)s)")
    arguments = parser.parse_args(argv)
    checkpoint = open_checkpoint(arguments.model)
    tokenizer = open_tokenizer(checkpoint.tokenizer)
    texts = [d.text for d in read_documents(arguments.text, arguments.suffix, separate=True)]
    random.Random(0).shuffle(texts)  # noqa: S311  # a sample, no secret
    rows = [encode_head(tokenizer, text, arguments.tokens) for text in texts[: 8 * arguments.rows]]
    rows = sorted(rows, key=len)[-arguments.rows :]
    model = load_model(checkpoint, choose_placement("cpu", "bf16"), lambda _share: None)
    squares = measure(model, rows)
    save_file({name: mean.half() for name, mean in squares.items()}, arguments.out)


if __name__ == "__main__":
    main()
