"""A small repository to make training examples of, and a base model's vocabulary for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tiny_models import TINY_ARCHITECTURE, write_gguf
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill.recipes.training.examples import FIM_TOKENS, Document

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.architecture import BytePairVocabulary

_SHAPES = '''\
"""Shapes and their areas."""


def area_of_square(side):
    """Side by side."""
    if side < 0:
        raise ValueError(side)
    return side * side


def area_of_circle(radius):
    """Nearly."""
    pi = 3.14159
    return pi * radius * radius
'''
_REPORT = '''\
from shapes import area_of_circle, area_of_square


def total_area(sides, radii):
    """Of all squares and circles."""
    total = 0
    for side in sides:
        total += area_of_square(side)
    for radius in radii:
        total += area_of_circle(radius)
    return total
'''
_SCRIPT = """\
export function clamp(value, low, high) {
  if (value < low) {
    return low;
  }
  return value > high ? high : value;
}
"""


def tiny_documents() -> list[Document]:
    """Three files of one repository, one of another, and one that is held out."""
    return [
        Document("areas", "shapes.py", _SHAPES),
        Document("areas", "report.py", _REPORT),
        Document("areas", "clamp.js", _SCRIPT),
        Document("other", "naïve.py", "# größe, 日本語\n" + _SHAPES.replace("area_of", "size_of")),
        Document("held", "held.py", _REPORT.replace("total", "sum"), held_out=True),
    ]


def tiny_base_vocabulary() -> BytePairVocabulary:
    """A base model's: separators of files, but nothing to infill with."""
    full = tiny_byte_level_vocabulary()
    names = [full.tokens[i] for i in sorted(full.special) if full.tokens[i] not in FIM_TOKENS]
    plain = [token for i, token in enumerate(full.tokens) if i not in full.special]
    return replace(full, tokens=(*names, *plain), special=frozenset(range(len(names))))


def write_tiny_base(path: Path) -> None:
    """A random model with that vocabulary and tied embeddings, as a GGUF file."""
    vocabulary = tiny_base_vocabulary()
    architecture = replace(
        TINY_ARCHITECTURE,
        vocab_size=len(vocabulary.tokens),
        tie_word_embeddings=True,
        max_position_embeddings=2048,
    )
    write_gguf(path, architecture=architecture, vocabulary=vocabulary, types=("F32",))
