"""What fuzzing has found so far, run again: every input of ``tests/data/fuzz``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fuzz_targets import TARGETS
from repository import TEST_DATA

if TYPE_CHECKING:
    from pathlib import Path

CORPORA = TEST_DATA / "fuzz"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # damaged scales are no numbers
@pytest.mark.parametrize("target", TARGETS)
def test_known_inputs_are_read_or_refused(target: str, tmp_path: Path) -> None:
    """With a typed error, or as the reference does."""
    inputs = sorted((CORPORA / target).iterdir())
    assert inputs
    for file in inputs:
        TARGETS[target](file.read_bytes(), tmp_path)


def test_every_corpus_has_a_target() -> None:
    """None is left over."""
    assert {folder.name for folder in CORPORA.iterdir()} == set(TARGETS)
