"""The tensors of a Hugging Face folder: one safetensors file or several with an index, mapped.

pytorch's own ``.bin`` files are pickles, which can run code when they are read: they are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.strict import Metadata, read_json

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

HARMLESS = re.compile(r"model\.layers\.[0-9]+\.self_attn\.rotary_emb\.inv_freq")
"""Names of buffers that old versions of transformers saved; they follow from ``rope_theta``."""
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES = frozenset({"F32", "F16", "BF16"})


@dataclass(frozen=True, slots=True)
class SafetensorsTensor:
    """One tensor of a safetensors file; see ``TensorSource``."""

    file: Path
    name: str
    shape: tuple[int, ...]

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """A new contiguous CPU tensor of that dtype."""
        with safe_open(self.file, framework="pt") as opened:
            tensor: torch.Tensor = opened.get_tensor(self.name)
            return tensor.to(dtype, copy=True)

    def blocks(self) -> tuple[str, NDArray[np.uint8]] | None:
        """None: these tensors are plain."""
        return None


def open_tensors(folder: Path) -> dict[str, SafetensorsTensor]:
    """Every tensor of the folder's model by name, but for harmless buffers; none is read yet.

    Raises:
        CorruptModelError: a file is missing or broken, or the index does not fit the files.
        UnsupportedModelError: the weights are pickles, or of a dtype that is not implemented.
    """
    if (folder / SINGLE).is_file():
        return open_file(folder / SINGLE)
    if (folder / INDEX).is_file():
        return _open_shards(folder)
    if any(folder.glob("*.bin")):
        raise UnsupportedModelError(
            f"{folder} has its weights in .bin files, which can run code when they are read; load "
            "them with transformers where you trust them, and save_pretrained() writes safetensors"
        )
    raise CorruptModelError(f"{folder} has neither {SINGLE} nor {INDEX}")


def _open_shards(folder: Path) -> dict[str, SafetensorsTensor]:
    index = Metadata(folder / INDEX, read_json(folder / INDEX))
    promised = {name: str(file) for name, file in index.mapping("weight_map").items()}
    for file in set(promised.values()):
        if Path(file).name != file:
            raise CorruptModelError(f"{folder / INDEX} names {file!r}, which is not a plain file")
    tensors: dict[str, SafetensorsTensor] = {}
    for file in sorted(set(promised.values())):
        tensors |= open_file(folder / file)
    for name in promised.keys() | tensors.keys():
        found = tensors[name].file.name if name in tensors else None
        if found != promised.get(name) and not HARMLESS.fullmatch(name):
            raise CorruptModelError(
                f"{folder / INDEX} has {name} in {promised.get(name)}; it is in {found}"
            )
    return tensors


def open_file(file: Path) -> dict[str, SafetensorsTensor]:
    """Every tensor of one file by name, but for harmless buffers; none is read yet.

    Raises:
        CorruptModelError: the file is missing or broken.
        UnsupportedModelError: a tensor is of a dtype that is not implemented.
    """
    try:
        with safe_open(file, framework="np") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            found = {name: (part.get_shape(), part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, FileNotFoundError) as error:
        raise CorruptModelError(f"{file} is not a whole safetensors file: {error}") from error
    return {
        name: SafetensorsTensor(file, name, _checked_shape(file, name, shape, dtype))
        for name, (shape, dtype) in found.items()
        if not HARMLESS.fullmatch(name)
    }


def _checked_shape(file: Path, name: str, shape: list[int], dtype: str) -> tuple[int, ...]:
    if dtype not in DTYPES:
        known = ", ".join(sorted(DTYPES))
        raise UnsupportedModelError(f"{file}: {name} is {dtype}; midfill implements {known}")
    return tuple(shape)
