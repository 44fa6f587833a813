"""GGUF files in parts, as llama.cpp's ``gguf-split`` writes them: any of them stands for all.

::

    model-00001-of-00003.gguf    every key, and the first tensors
    model-00002-of-00003.gguf    further tensors, and the keys that begin with "split."
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from midfill.weights.errors import CorruptModelError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from midfill.weights.formats.strict import Metadata

_PART = re.compile(r"(.+)-[0-9]{5}-of-([0-9]{5})(\.gguf)", re.IGNORECASE)


def parts_of(path: Path) -> tuple[Path, ...]:
    """All parts, the first one in front; the file alone where its name is no part's."""
    named = _PART.fullmatch(path.name)
    if named is None or int(named[2]) < 2:
        return (path,)
    stem, count, suffix = named.groups()
    numbers = range(1, int(count) + 1)
    return tuple(path.with_name(f"{stem}-{number:05}-of-{count}{suffix}") for number in numbers)


def check_parts(parts: Sequence[Metadata], tensors: int) -> None:
    """Refuse parts that are not those of one model, each in its place.

    Args:
        parts: Their keys.
        tensors: How many there are in all, of different names.

    Raises:
        CorruptModelError: naming the part and the key.
    """
    expected = {"split.count": len(parts), "split.tensors.count": tensors}
    for number, metadata in enumerate(parts):
        for key, value in (expected | {"split.no": number}).items():
            if metadata.integer(key, minimum=0) != value:
                raise CorruptModelError(
                    f"{metadata.origin}: {key} is {metadata.integer(key, minimum=0)}, and by all"
                    f" {len(parts)} parts together it must be {value}; fetch the model anew"
                )
