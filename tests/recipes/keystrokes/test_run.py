"""The keystroke benchmark: from recordings to a report, and how two players are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from repository import SCRIPTED_SERVER
from scripted_recordings import recording

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.keystrokes.player_llama_vim import THEIRS
from midfill.recipes.keystrokes.player_midfill import OURS
from midfill.recipes.keystrokes.run import against, answers, figures, run
from midfill.recipes.keystrokes.settings import KeystrokeSettings
from midfill.recipes.keystrokes.strokes import GENERATED, REUSED, Sample, Stroke
from midfill.recipes.reports.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence


def samples(player: str, times_ms: Sequence[float], source: str = GENERATED) -> list[Sample]:
    """Keys of one settled session."""
    strokes = [Stroke("type", source, None, ms) for ms in times_ms]
    return [Sample(player, "settled", "r", 0, n, stroke) for n, stroke in enumerate(strokes)]


def test_a_run_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a real server process with a scripted engine: JSON, a line for each key, and a plot."""
    file = tmp_path / "made-up.json"
    steps = {"key": "\n"}, {"type": "ab"}
    file.write_text(recording("fill abcdefghi", *steps).as_json(), encoding="utf-8")
    settings = KeystrokeSettings(
        model="fake",
        threads=1,
        recordings=(file,),
        rounds=2,
        intervals_ms=(None,),
        command=(*SCRIPTED_SERVER, "lsp"),
    )
    out, plot = tmp_path / "out.json", tmp_path / "plot.svg"
    run(settings, Output(out, plot))
    report = json.loads(out.read_text(encoding="utf-8"))
    assert report["figures"]["settled"][OURS]["all"]["keys"] == 8
    assert report["recordings"] == {"made-up": {"commit": "0" * 40}}
    assert report["against"] is None
    assert report["options"]["model"] == "fake"
    lines = out.with_suffix(".jsonl").read_text(encoding="utf-8").strip().split("\n")
    rows = [json.loads(line) for line in lines]
    assert [(row["round"], row["index"]) for row in rows] == [
        (r, n) for r in (0, 1) for n in range(4)
    ]
    assert plot.read_text(encoding="utf-8").startswith("<?xml")
    told = capsys.readouterr().out
    assert "only midfill was measured" in told
    assert "typed on" in told


def test_the_opponent_is_compared_key_by_key_and_by_percentiles() -> None:
    """Only keys for which both models ran; more is how many times as long it took."""
    ours = samples(OURS, [10.0, 10.0, 20.0]) + samples(OURS, [1.0], REUSED)
    theirs = samples(THEIRS, [100.0, 300.0, 400.0])
    found = against([*ours, *theirs])
    assert found is not None
    assert found["p50_answer_ms"] == 30.0
    ratios = found["key_by_key_answer_ms"]
    assert isinstance(ratios, dict)
    assert (ratios["count"], ratios["p50"], ratios["max"]) == (3, 20.0, 30.0)
    assert against(ours) is None


def test_the_plot_has_a_line_for_each_player_that_ran() -> None:
    """Settled keys alone are shown."""
    assert answers([*samples(OURS, [1.0]), *samples(THEIRS, [2.0, 3.0])]) == {
        OURS: [1.0],
        THEIRS: [2.0, 3.0],
    }
    assert answers(samples(OURS, [1.0])) == {OURS: [1.0]}


def test_figures_are_by_pace_player_and_kind() -> None:
    """All keys are a kind as well."""
    found = figures([*samples(OURS, [1.0, 3.0]), *samples(THEIRS, [5.0])], ("all", "type"))
    assert set(found["settled"]) == {OURS, THEIRS}
    assert set(found["settled"][OURS]) == {"all", "type"}
    assert found["settled"][OURS]["all"]["answer_ms"]["p50"] == 2.0


@pytest.mark.parametrize(
    "settings",
    [
        KeystrokeSettings(llama_server=Path("llama-server")),
        KeystrokeSettings(gguf=Path("model.gguf")),
        KeystrokeSettings(recordings=(Path("pyproject.toml"),)),
    ],
)
def test_what_cannot_be_measured_is_said_before_a_server_starts(
    settings: KeystrokeSettings,
) -> None:
    """A half of the opponent, and a file that is no recording."""
    with pytest.raises(InvalidRequestError):
        run(settings, Output(None, None))
