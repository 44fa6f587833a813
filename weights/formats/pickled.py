"""The tensors of a file that ``torch.save`` wrote (``pytorch_model.bin``), with no code of it run.

Such a file is a zip archive: a pickle that says where each tensor lies, and the numbers in members
that are not compressed. A pickle may name any function of Python to be called. Here it gets what
makes a tensor's place or an ordered dictionary; any other name ends the reading. Source:
``torch._utils._rebuild_tensor_v2`` and ``torch.serialization``.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from midfill.weights.errors import CorruptModelError, MidfillError, UnsupportedModelError
from midfill.weights.stored import StoredArray, state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_DTYPES = {
    "FloatStorage": ("F32", "float32"),
    "HalfStorage": ("F16", "float16"),
    "BFloat16Storage": ("BF16", "uint16"),
}
"""By class of storage: safetensors' name, and NumPy's for the bytes."""
_MOST_PICKLE_BYTES = 16 << 20
"""Bytes of a pickle, at most; one with 10,000 tensors has 2 MB."""
_LOCAL_HEADER = struct.Struct("<26x2H")
"""The begin of a member; at its end the lengths of the name and of what else is before the data."""


class _Storage(NamedTuple):
    kind: str
    key: str
    """The name of its member below ``data/``."""


class _View(NamedTuple):
    """A tensor: a part of a storage, in values."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Path, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self._file = file

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """What one of a few names stands for; nothing is imported."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda *arguments: _View(*arguments[:4])
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name.endswith("Storage"):
            return lambda: name
        raise UnsupportedModelError(
            f"{self._file} wants {module}.{name} to be called, which could do anything; get the"
            " model as safetensors or GGUF"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage, by ``("storage", class, key, device, values)``."""
        _, storage, key, _, _ = pid
        return _Storage(storage(), str(key))


def read_places(file: Path) -> dict[str, tuple[str, StoredArray]]:
    """Every tensor of the file by name: safetensors' name of its dtype, and where it stands.

    Raises:
        CorruptModelError: the file is broken, or is no archive.
        UnsupportedModelError: it names other things than tensors, or is of a dtype or layout that
            is not implemented.
    """
    try:
        with zipfile.ZipFile(file) as archive, file.open("rb") as stream:
            state = state_of(file.stat())
            members = {member.filename: member for member in archive.infolist()}
            named = next(name for name in members if name.endswith("/data.pkl"))
            if members[named].file_size > _MOST_PICKLE_BYTES:
                raise ValueError(f"its pickle has {members[named].file_size} bytes")
            views = _Unpickler(file, archive.read(named)).load()
            places = {}
            for name, view in views.items():
                member = members[f"{named.removesuffix('data.pkl')}data/{view.storage.key}"]
                stream.seek(member.header_offset)
                lengths = _LOCAL_HEADER.unpack(stream.read(_LOCAL_HEADER.size))
                start = member.header_offset + _LOCAL_HEADER.size + sum(lengths)
                dtype, numpy_dtype = _dtype(file, name, view.storage.kind)
                first = _first_byte(file, name, view, numpy_dtype, member)
                places[str(name)] = (
                    dtype,
                    StoredArray(file, state, start + first, tuple(view.shape), numpy_dtype),
                )
            return places
    except MidfillError:
        raise
    except Exception as error:  # a broken pickle can raise anything
        raise CorruptModelError(
            f"{file} is no whole archive of torch.save ({error!r}); get it again, or as safetensors"
            " if PyTorch wrote it before its version 1.6"
        ) from error


def _dtype(file: Path, name: str, kind: str) -> tuple[str, str]:
    if kind not in _DTYPES:
        known = ", ".join(_DTYPES)
        raise UnsupportedModelError(f"{file}: {name} has a {kind}; midfill implements {known}")
    return _DTYPES[kind]


def _first_byte(
    file: Path, name: str, view: _View, numpy_dtype: str, member: zipfile.ZipInfo
) -> int:
    """Where the tensor begins in its storage, after a look at its layout and its end."""
    size = np.dtype(numpy_dtype).itemsize
    numbers = (view.offset, *view.shape, *view.strides)
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError(f"{name} has the offset, shape and strides {numbers}")
    wanted = [prod(view.shape[axis + 1 :]) for axis in range(len(view.shape))]
    pairs = zip(view.shape, view.strides, wanted, strict=True)
    is_plain = all(stride == want for length, stride, want in pairs if length > 1)
    if not is_plain or member.compress_type != zipfile.ZIP_STORED:
        raise UnsupportedModelError(
            f"{file}: {name} is compressed or transposed; save the model as safetensors"
        )
    if size * (view.offset + prod(view.shape)) > member.file_size:
        raise ValueError(f"{name} ends behind its storage")
    return size * view.offset
