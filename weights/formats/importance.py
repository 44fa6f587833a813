"""How much the inputs of a matrix count, beside an adapter: what 4 bits should keep exactly.

``importance.safetensors`` may have for each matrix of the layers, under its name, the mean square
of every input (in any unit), as the recipe ``importance`` measures it::

    model.layers.0.self_attn.q_proj.weight      (in_features,)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.weights.errors import CorruptModelError
from midfill.weights.formats.safetensors import open_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from midfill.weights.architecture import TensorSource

IMPORTANCE = "importance.safetensors"


def read_importance(
    folder: Path, shapes: Mapping[str, tuple[int, ...]]
) -> Mapping[str, TensorSource]:
    """That of a folder, by the matrix; none without such a file.

    Raises:
        CorruptModelError: it is broken, or does not fit the model's shapes.
    """
    file = folder / IMPORTANCE
    if not file.is_file():
        return {}
    found = open_file(file)
    for name, source in found.items():
        expected = shapes.get(name, ())[1:]
        if len(expected) != 1 or source.shape != expected:
            raise CorruptModelError(
                f"{file}: {name} has the shape {source.shape}, and the model's matrix has"
                f" {expected[0] if expected else 'no'} inputs; measure it again, or remove the file"
            )
    return found
