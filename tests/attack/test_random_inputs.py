"""Whole inputs with random damage, for each reader; whoever has atheris searches better (fuzz/)."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from amount import amount
from fuzz_seeds import seeds
from fuzz_targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

IN_ATTACK = {"git_ignore": 2_000, "gguf": 2_000, "text_model": 20_000}
"""Those that take longest; others get 10,000."""


def damaged(data: bytes, random: Random) -> bytes:
    """A few bytes flipped, cut out, doubled, or replaced by extremes."""
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice((1, 1, 1, 4, 8, 64)))
        piece = random.choice(
            (b"", random.randbytes(end - at), b"\xff" * (end - at), data[at:end] * 2, b"\0")
        )
        data = data[:at] + piece + data[end:]
    return data


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # damaged scales are no numbers
@pytest.mark.parametrize("target", TARGETS)
def test_damaged_inputs_are_read_or_refused(target: str, tmp_path: Path) -> None:
    """With a typed error; the text model and ignore files are compared with a reference."""
    whole = list(seeds(target, tmp_path))
    for seed in range(amount(20, IN_ATTACK.get(target, 10_000))):
        random = Random(f"{target} {seed}")
        TARGETS[target](damaged(random.choice(whole), random), tmp_path)


def test_random_edits_give_the_clients_text_in_each_encoding(tmp_path: Path) -> None:
    """Texts, places and changes are drawn; the reference is a client that edits its own text."""
    for seed in range(amount(100, 20_000)):
        TARGETS["text_model"](Random(seed).randbytes(300), tmp_path)
