"""GGUF files of the Llama architecture.

Only while a file is opened it is memory-mapped, for its metadata.

llama.cpp rotates neighbouring rows of each head (2i, 2i+1), transformers rows half a head apart
(i, i + D/2); its converter therefore permutes the rows of the query and key matrices. Here that is
undone on read. It moves whole rows, so it works on quantized blocks just as well.

Specification: the gguf.md document of the ggml repository.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import gguf
import numpy as np

from midfill.weights.architecture import Checkpoint, RopeScaling
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.families import family_of
from midfill.weights.formats.gguf_metadata import check_kind, read_architecture
from midfill.weights.formats.gguf_parts import check_parts, parts_of
from midfill.weights.formats.gguf_vocabulary import read_vocabulary
from midfill.weights.formats.strict import (
    Metadata,
    check_ids,
    check_tensors,
    refuse_left_over,
    require_plain_file,
)
from midfill.weights.stored import StoredArray, state_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from midfill.weights.architecture import LlamaArchitecture
    from midfill.weights.stored import State

PLAIN_TYPES = frozenset({"F32", "F16", "BF16"})
QUANTIZED_TYPES = frozenset(
    {
        *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
        *("IQ4_NL", "IQ4_XS"),
    }
)

ROPE_DIVISORS = "rope_freqs.weight"

BLOCKS_PER_ROW = 256
"""How many blocks gguf.dequantize is given as one row; twice as fast as the matrices' own rows of
18 to 48 blocks (0.37 s for 0.72 s, all of SmolLM2 135M)."""
_ROWS_AT_ONCE = 256
"""So many such rows are dequantized at once: the library holds all of it twice."""


class _Reader(gguf.GGUFReader):  # type: ignore[misc]  # gguf is untyped
    """The library's reader, with arrays of metadata read in one go.

    The original makes two array views per string: 2.4 s for the 98,000 strings of SmolLM2, for
    0.04 s here. Fields look the same to ``ReaderField.contents``; should the library stop calling
    this method, only the speed is lost.
    """

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, Any, Any, Any]:
        if raw_type != gguf.GGUFValueType.ARRAY or self.byte_order != "I":
            return super()._get_field_parts(orig_offs, raw_type)  # type: ignore[no-any-return]
        item_type = gguf.GGUFValueType(int(self._get(orig_offs, np.uint32)[0]))
        length = int(self._get(orig_offs + 4, np.uint64)[0])
        types = [gguf.GGUFValueType.ARRAY, item_type]
        if item_type == gguf.GGUFValueType.STRING:
            strings, end = _strings(memoryview(self.data), orig_offs + 12, length)
            return end - orig_offs, strings, list(range(length)), types
        scalar = self.gguf_scalar_to_np.get(item_type)
        if scalar is None:
            raise ValueError(f"an array of {item_type.name} is not metadata that midfill reads")
        values = self._get(orig_offs + 12, scalar, length)
        return 12 + values.nbytes, [values], [0], types


def _strings(data: memoryview, offset: int, count: int) -> tuple[list[memoryview], int]:
    """Strings of the form ``uint64 length, bytes``, and the offset after the last."""
    length_at = struct.Struct("=Q").unpack_from
    strings = []
    for _ in range(count):
        (length,) = length_at(data, offset)
        start, offset = offset + 8, offset + 8 + length
        strings.append(data[start:offset])
    return strings, offset


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor of a GGUF file; see ``TensorSource``."""

    type_name: str
    shape: tuple[int, ...]
    data: StoredArray
    """Floats, or for quantized types the bytes of each row's blocks."""
    row_order: NDArray[np.intp] | None
    """The stored row of each row, where the file's order is another."""

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """A new contiguous CPU tensor of that dtype, dequantized, rows in canonical order.

        Raises:
            CorruptModelError: the file changed since it was opened.
        """
        import torch

        values = _dequantize(self._rows(), self.type_name).reshape(self.shape)
        return torch.from_numpy(np.require(values, np.float32, ["C", "W"])).to(dtype)

    def blocks(self) -> tuple[str, NDArray[np.uint8]] | None:
        """The type's name and the raw blocks of each row, in canonical order; None if plain."""
        if self.type_name in PLAIN_TYPES:
            return None
        return self.type_name, self._rows()

    def _rows(self) -> NDArray[Any]:
        data = self.data.read()
        return data if self.row_order is None else data[self.row_order]


def _dequantize(data: NDArray[Any], type_name: str) -> NDArray[np.float32]:
    """The values in order, as fp32; for fp32 itself possibly the same array."""
    kind = gguf.GGMLQuantizationType[type_name]
    if type_name not in QUANTIZED_TYPES:
        plain: NDArray[np.float32] = gguf.dequantize(data, kind)
        return plain
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = math.gcd(data.nbytes // block_bytes, BLOCKS_PER_ROW)
    data = data.reshape(-1, blocks * block_bytes)
    values = np.empty((len(data), blocks * block_values), np.float32)
    for first in range(0, len(data), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        values[rows] = gguf.dequantize(data[rows], kind)
    return values


def canonical_row_order(rows: int, heads: int) -> NDArray[np.intp]:
    """For each row of a query or key matrix in rotate-half order, its row in GGUF's order."""
    pairs = np.arange(rows).reshape(heads, -1, 2)
    return pairs.swapaxes(1, 2).reshape(rows)


def read_checkpoint(path: Path, name: str) -> Checkpoint:
    """The GGUF file, opened: metadata read and checked, tensors still on disk.

    Raises:
        CorruptModelError: the file is broken, or its keys and tensors do not fit together.
        UnsupportedModelError: it needs something that midfill does not implement.
    """
    parts = parts_of(path)
    metadata, stored = _open_all(parts)
    check_kind(metadata, len(parts))
    divisors = stored.pop(ROPE_DIVISORS, None)
    architecture = read_architecture(metadata, stored.keys())
    if divisors is not None:
        architecture = _with_divisors(path, architecture, divisors)
    tensors = _tensors(path, stored, architecture)
    check_tensors(path, architecture, {name: tensor.shape for name, tensor in tensors.items()})
    vocabulary = read_vocabulary(metadata, architecture.vocab_size)
    check_ids(path, vocabulary, architecture.vocab_size)
    return Checkpoint(name, path, architecture, vocabulary, tensors, files=parts)


def read_metadata(path: Path) -> Metadata:
    """The keys of a GGUF file, which may have no tensors.

    Raises:
        CorruptModelError: the file is broken.
    """
    return _open(parts_of(path)[0])[0]


class _Stored(NamedTuple):
    """A tensor and the file that it stands in."""

    file: Path
    state: State
    tensor: Any
    """The library's ``ReaderTensor``."""


def _open_all(parts: Sequence[Path]) -> tuple[Metadata, dict[str, _Stored]]:
    """The keys of the first part, and all tensors."""
    opened = [_open(part) for part in parts]
    stored = {name: tensor for _, tensors in opened for name, tensor in tensors.items()}
    if len(parts) > 1:
        check_parts([metadata for metadata, _ in opened], len(stored))
    return opened[0][0], stored


def _open(path: Path) -> tuple[Metadata, dict[str, _Stored]]:
    require_plain_file(path)
    state = state_of(path.stat())
    try:
        reader = _Reader(path)
        values = {key: field.contents() for key, field in reader.fields.items()}
    except (ValueError, KeyError, IndexError, OverflowError, struct.error) as error:
        raise CorruptModelError(f"{path} is not a whole GGUF file: {error}") from error
    if reader.byte_order != "I":
        raise UnsupportedModelError(
            f"{path} is written in the other byte order than this machine's"
        )
    tensors = {tensor.name: _Stored(path, state, tensor) for tensor in reader.tensors}
    return Metadata(path, values), tensors


def _tensors(
    path: Path, stored: dict[str, _Stored], architecture: LlamaArchitecture
) -> dict[str, GgufTensor]:
    family = family_of(architecture)
    names = {name: family.from_gguf(name) for name in stored}
    refuse_left_over(path, {name for name, canonical in names.items() if canonical is None})
    return {
        canonical: _tensor(stored[name], architecture)
        for name, canonical in names.items()
        if canonical is not None
    }


def _with_divisors(
    path: Path, architecture: LlamaArchitecture, divisors: _Stored
) -> LlamaArchitecture:
    """The architecture with Llama 3's rotary angles, which stand among the tensors."""
    values = tuple(np.asarray(divisors.tensor.data, np.float32).ravel().tolist())
    if architecture.rope_scaling is not None:
        raise UnsupportedModelError(
            f"{path}: {ROPE_DIVISORS} beside rope.scaling is not implemented"
        )
    if len(values) != architecture.head_dim // 2 or not all(0 < x < math.inf for x in values):
        raise CorruptModelError(
            f"{path}: {ROPE_DIVISORS} must be {architecture.head_dim // 2} finite numbers over 0"
        )
    return replace(architecture, rope_scaling=RopeScaling("divided", 1.0, divisors=values))


def _tensor(stored: _Stored, architecture: LlamaArchitecture) -> GgufTensor:
    file, state, tensor = stored
    type_name = tensor.tensor_type.name
    if type_name not in PLAIN_TYPES | QUANTIZED_TYPES:
        known = ", ".join(sorted(PLAIN_TYPES | QUANTIZED_TYPES))
        raise UnsupportedModelError(
            f"{file}: {tensor.name} is of type {type_name}; midfill implements {known}"
        )
    shape = tuple(int(axis) for axis in reversed(tensor.shape))
    data = StoredArray(file, state, tensor.data_offset, tensor.data.shape, tensor.data.dtype.name)
    return GgufTensor(type_name, shape, data, _row_order(tensor.name, shape, architecture))


def _row_order(
    name: str, shape: tuple[int, ...], architecture: LlamaArchitecture
) -> NDArray[np.intp] | None:
    """The order to undo, or None; a misshapen matrix is left to ``check_tensors``."""
    heads = {
        "attn_q": architecture.num_attention_heads,
        "attn_k": architecture.num_key_value_heads,
    }.get(name.removesuffix(".weight").removesuffix(".bias").split(".", 2)[-1])
    if not family_of(architecture).rotates_neighbours:
        return None
    if heads is None or shape[:1] != (heads * architecture.head_dim,):
        return None
    return canonical_row_order(shape[0], heads)
