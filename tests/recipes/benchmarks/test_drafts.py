"""The benchmark of drafts: which holes, which players, and what their figures are."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tiny_models import write_gguf

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.benchmarks import drafts
from midfill.recipes.benchmarks.drafts import (
    OURS,
    SPEC_TYPES,
    THEIRS,
    Filled,
    HoleFiller,
    best_opponent,
    ratio,
    requests,
)
from midfill.recipes.benchmarks.settings import DraftBenchSettings
from midfill.recipes.keystrokes.traces import Recording
from midfill.recipes.reports.output import Output

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

TEXT = "".join(f"def f{n}():\n    return {n}\n\n" for n in range(40))
SESSION = Recording("made-up", "nobody", "0" * 40, {"a.py": TEXT, "b.py": "x"}, ())


@pytest.fixture
def settings(tmp_path: Path) -> DraftBenchSettings:
    """A tiny model, few tokens."""
    path = tmp_path / "tiny.Q4_1.gguf"
    write_gguf(path, types=("Q4_1",))
    return DraftBenchSettings(
        str(path), threads=1, rounds=2, holes=1, lines=3, max_tokens=6, prompt_tokens=64
    )


class FakeServer:
    """Writes 100 tokens per second."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def complete(self, ids: Sequence[int], tokens: int) -> dict[str, Any]:
        """Timings, as llama.cpp's server has them."""
        assert ids
        self.asked.append(tokens)
        return {"predicted_n": tokens, "predicted_ms": 10.0 * tokens, "draft_n_accepted": 1}


def test_a_hole_stands_behind_its_indentation_and_takes_whole_lines(
    settings: DraftBenchSettings,
) -> None:
    """What is left around it, and the same holes every time."""
    holes = requests(SESSION, replace(settings, holes=5))
    assert len(holes) == 5
    assert holes == requests(SESSION, replace(settings, holes=5))
    for hole in holes:
        before, behind = hole.prefix, hole.suffix
        middle = TEXT[len(before) : len(TEXT) - len(behind)]
        assert before + middle + behind == TEXT
        assert middle[:1].strip()
        assert middle.count("\n") == settings.lines - 1
        assert behind.startswith("\n")


def test_every_player_fills_all_holes_in_every_round(
    settings: DraftBenchSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ours with drafts and without, theirs in each of its ways, with as many tokens as ours."""
    servers: dict[tuple[str, ...], FakeServer] = {}

    @contextlib.asynccontextmanager
    async def server(
        _program: Path, _model: Path, threads: int, options: Sequence[str]
    ) -> AsyncIterator[FakeServer]:
        assert threads == 1
        yield servers.setdefault(tuple(options[-2:]), FakeServer())

    monkeypatch.setattr(drafts, "llama_server", server)
    out = tmp_path / "drafts.json"
    beside = replace(settings, llama_server=tmp_path / "llama-server", gguf=tmp_path / "a.gguf")
    plot = tmp_path / "drafts.svg"
    drafts.run(beside, Output(out, plot))
    assert plot.read_text(encoding="utf-8").startswith("<?xml")
    report = json.loads(out.read_text())
    players = [(each["player"], each["how"]) for each in report["players"]]
    ours = [(OURS, "auto, guesses"), (OURS, "auto")]
    assert players == ours + [(THEIRS, how) for how in SPEC_TYPES]
    assert {len(each["per_second"]) for each in report["players"]} == {2}
    drafting, plain, *theirs = report["players"]
    assert plain["guessed"] == 0
    assert all(each["per_second"] == pytest.approx([100.0, 100.0]) for each in theirs)
    assert all(each["tokens"] == drafting["tokens"] for each in theirs)
    assert [len(server.asked) for server in servers.values()] == [2 * report["holes"]] * 3
    assert "ngram-simple" in capsys.readouterr().out


def test_without_an_opponent_only_ours_is_measured(settings: DraftBenchSettings) -> None:
    """Half an opponent is refused."""
    drafts.run(replace(settings, rounds=1), Output(None, None))
    with pytest.raises(InvalidRequestError, match="go together"):
        drafts.run(replace(settings, gguf=Path("a.gguf")), Output(None, None))


def test_ratios_are_to_the_fastest_way_in_the_same_round() -> None:
    """By the medians of tokens per second over all holes of a round."""
    plain = HoleFiller(THEIRS, "none", [[Filled(10, 100.0)], [Filled(10, 200.0)]])
    drafting = HoleFiller(
        THEIRS, "ngram-mod", [[Filled(20, 100.0, 9, 5)], [Filled(20, 400.0, 9, 5)]]
    )
    ours = HoleFiller(OURS, "auto", [[Filled(10, 50.0), Filled(50, 50.0)], [Filled(10, 100.0)]])
    assert plain.per_second == [100.0, 50.0]
    assert ours.per_second == [600.0, 100.0]
    assert drafting.accepted == 0.25
    best = best_opponent([ours, plain, drafting])
    assert best is drafting
    assert ratio(ours, best) == 2.5
    assert best_opponent([ours]) is None
    assert ratio(ours, None) is None
