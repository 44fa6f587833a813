"""The tensors of a Hugging Face folder: one safetensors file or several with an index.

PyTorch's own ``.bin`` files are read where there are no others, see ``pickled``.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.pickled import read_places
from midfill.weights.formats.strict import Metadata, read_json
from midfill.weights.stored import StoredArray, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import torch
    from numpy.typing import NDArray

HARMLESS = re.compile(r"model\.layers\.[0-9]+\.self_attn\.rotary_emb\.inv_freq")
"""Names of buffers that old versions of transformers saved; they follow from ``rope_theta``."""
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
DTYPES = frozenset({"F32", "F16", "BF16"})
_STORED = {"F32": "float32", "F16": "float16", "BF16": "uint16", "U8": "uint8"}
"""NumPy's dtypes for the bytes; it has no bf16."""


@dataclass(frozen=True, slots=True)
class SafetensorsTensor:
    """One tensor of a file; see ``TensorSource``."""

    dtype: str
    """Safetensors' name for it."""
    stored: StoredArray

    @property
    def shape(self) -> tuple[int, ...]:
        """See ``TensorSource``."""
        return self.stored.shape

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """A new contiguous CPU tensor of that dtype.

        Raises:
            CorruptModelError: the file changed since it was opened.
        """
        import torch

        values = torch.from_numpy(self.stored.read())
        return (values.view(torch.bfloat16) if self.dtype == "BF16" else values).to(dtype)

    def blocks(self) -> tuple[str, NDArray[np.uint8]] | None:
        """None: these tensors are plain."""
        return None


def open_tensors(folder: Path) -> dict[str, SafetensorsTensor]:
    """Every tensor of the folder's model by name, but for harmless buffers; none is read yet.

    Raises:
        CorruptModelError: a file is missing or broken, or the index does not fit the files.
        UnsupportedModelError: a dtype that is not implemented, or a pickle with more than tensors.
    """
    for single, index in ((SINGLE, INDEX), (PICKLED, PICKLED_INDEX)):
        if (folder / single).is_file():
            return open_file(folder / single)
        if (folder / index).is_file():
            return _open_shards(folder / index)
    raise CorruptModelError(
        f"{folder} has neither {SINGLE} nor {INDEX}, and no {PICKLED}; get the whole folder again"
    )


def _open_shards(file_index: Path) -> dict[str, SafetensorsTensor]:
    folder, index = file_index.parent, Metadata(file_index, read_json(file_index))
    promised = {name: str(file) for name, file in index.mapping("weight_map").items()}
    for file in set(promised.values()):
        if Path(file).name != file:
            raise CorruptModelError(f"{file_index} names {file!r}, which is not a plain file")
    tensors: dict[str, SafetensorsTensor] = {}
    for file in sorted(set(promised.values())):
        tensors |= open_file(folder / file)
    for name in promised.keys() | tensors.keys():
        found = tensors[name].stored.file.name if name in tensors else None
        if found != promised.get(name) and not HARMLESS.fullmatch(name):
            raise CorruptModelError(
                f"{file_index} has {name} in {promised.get(name)}; it is in {found}"
            )
    return tensors


def open_file(file: Path) -> dict[str, SafetensorsTensor]:
    """Every tensor of one file by name, but for harmless buffers; none is read yet.

    Raises:
        CorruptModelError: the file is missing or broken.
        UnsupportedModelError: a tensor is of a dtype that is not implemented.
    """
    if file.suffix == ".bin":
        found = {name: SafetensorsTensor(*place) for name, place in read_places(file).items()}
    else:
        found, _ = open_stored(file)
    for name, tensor in found.items():
        if tensor.dtype not in DTYPES:
            known = ", ".join(sorted(DTYPES))
            raise UnsupportedModelError(
                f"{file}: {name} is {tensor.dtype}; midfill implements {known}"
            )
    return {name: tensor for name, tensor in found.items() if not HARMLESS.fullmatch(name)}


def open_stored(file: Path) -> tuple[dict[str, SafetensorsTensor], Mapping[str, str]]:
    """Every tensor of one file by name, whatever its dtype is, and the file's metadata.

    ::

        uint64 length, {"name": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, ...}, data

    Raises:
        CorruptModelError: the file is missing or broken.
    """
    try:
        with safe_open(file, framework="np"):  # the library checks the header
            pass
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
            state = state_of(file.stat())
        metadata = header.pop("__metadata__", {})
        tensors = {
            name: SafetensorsTensor(
                entry["dtype"],
                StoredArray(
                    file,
                    state,
                    8 + length + entry["data_offsets"][0],
                    tuple(entry["shape"]),
                    _STORED.get(entry["dtype"], "uint8"),
                ),
            )
            for name, entry in header.items()
        }
    except (SafetensorError, OSError, ValueError, struct.error) as error:
        raise CorruptModelError(f"{file} is not a whole safetensors file: {error}") from error
    return tensors, metadata
