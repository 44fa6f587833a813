"""The soak: what is compared, and a short one on a server whose engine is scripted."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest
from repository import SCRIPTED_SERVER

from midfill.recipes.keystrokes import soak
from midfill.recipes.keystrokes.settings import SoakSettings
from midfill.recipes.keystrokes.soak import Held, growth, look
from midfill.recipes.reports.output import Output

if TYPE_CHECKING:
    from pathlib import Path


def held(minutes: list[float], sizes: list[float | None]) -> list[Held]:
    """Two sessions a round."""
    return [
        Held(number // 2, minute, 10 * number, size, 5, 9)
        for number, (minute, size) in enumerate(zip(minutes, sizes, strict=True))
    ]


def test_the_warm_up_does_not_count() -> None:
    """Nor does the round in which it ends."""
    found = growth(held([1, 4, 4.9, 5.1, 6, 8, 9, 11], [1, 2, 3, 100, 200, 210, 200, 214]))
    assert found["resident_mib"] == (205, 207)
    assert found["threads"] == (5, 5)


def test_a_run_without_an_end_of_the_warm_up_is_compared_from_its_start() -> None:
    """There is nothing else."""
    assert growth(held([1, 2, 3, 4], [10, 20, 30, 50]))["resident_mib"] == (15, 40)


def test_a_figure_that_the_system_does_not_tell_is_left_out() -> None:
    """The others are compared."""
    assert growth(held([6, 7, 8, 9], [None] * 4)).keys() == {"threads", "descriptors"}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_open_file_is_seen(tmp_path: Path) -> None:
    """One more descriptor; memory and threads are there."""
    before = look(os.getpid())
    with (tmp_path / "file").open("w"):
        during = look(os.getpid())
    assert before[0]
    assert before[1]
    assert before[2] is not None
    assert during[2] == before[2] + 1


def test_each_round_has_all_recordings(tmp_path: Path) -> None:
    """The report has what was held behind each of them."""
    out = tmp_path / "out.json"
    command = (*SCRIPTED_SERVER, "lsp")
    settings = SoakSettings("fake", 1, minutes=0, interval_ms=20, keys=1, command=command)
    soak.run(settings, Output(out, None))
    report = json.loads(out.read_text(encoding="utf-8"))
    lines = out.with_suffix(".jsonl").read_text(encoding="utf-8").split("\n")
    held = [json.loads(line) for line in lines if line]
    recordings = len(list(soak.RECORDINGS.glob("*.json")))
    assert [each["round"] for each in held] == [0] * recordings
    assert [each["keys"] for each in held] == list(range(1, recordings + 1))
    assert report["settings"]["interval_ms"] == 20
