"""Replaying: what a player is given, at which pace, and the arithmetic of what it says."""

from __future__ import annotations

from itertools import pairwise

import pytest

from midfill.recipes.keystrokes.strokes import (
    GENERATED,
    NOTHING,
    REUSED,
    Pace,
    Sample,
    Stroke,
    Wait,
    kinds,
    percentile,
    ratios,
    replay,
    spread,
    summary,
)
from midfill.recipes.keystrokes.traces import Change, Editor, Recording

STEPS = ({"switch": ["a.py", 0, 1]}, {"type": "bc"}, {"skip": "de"}, {"delete": 1})
RECORDING = Recording("made-up", "nobody", "0" * 40, {"a.py": "a\n"}, STEPS)


class Witness:
    """A player that keeps what it was given."""

    name = "witness"

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Change | None]] = []
        self.waits: list[Wait] = []
        self.life: list[str] = []

    async def begin(self, recording: Recording) -> None:
        """See Player."""
        self.life.append(f"begin {recording.name}")

    def skip(self, editor: Editor, change: Change, before: str) -> None:
        """See Player."""
        self.seen.append((before, editor.text, change))

    async def press(self, editor: Editor, change: Change | None, before: str, wait: Wait) -> Stroke:
        """See Player."""
        self.seen.append((before, editor.text, change))
        self.waits.append(wait)
        return Stroke(wait.key.kind)

    async def end(self) -> None:
        """See Player."""
        self.life.append("end")


async def test_a_player_sees_each_key_with_the_text_before_and_after_it() -> None:
    """Those that are skipped too, though they have no stroke."""
    player = Witness()
    strokes = await replay(RECORDING, player, Pace())
    assert [stroke.kind for stroke in strokes] == ["switch", "type", "type", "delete"]
    assert player.seen == [
        ("a\n", "a\n", None),
        ("a\n", "ab\n", Change(1, 1, "b")),
        ("ab\n", "abc\n", Change(2, 2, "c")),
        ("abc\n", "abcde\n", Change(3, 3, "de")),
        ("abcde\n", "abcd\n", Change(4, 5, "")),
    ]
    assert player.life == ["begin made-up", "end"]
    assert [wait.until for wait in player.waits] == [None] * 4


async def test_typing_keeps_its_pace() -> None:
    """The moments of the next keys are an interval apart, whatever a player does."""
    player = Witness()
    await replay(RECORDING, player, Pace(2.0))
    moments = [wait.until for wait in player.waits if wait.until is not None]
    steps = [later - earlier for earlier, later in pairwise(moments)]
    assert len(steps) == 3
    assert min(steps) > 0.0019


async def test_a_replay_can_be_cut_short() -> None:
    """After so many strokes; the end is not left out."""
    player = Witness()
    assert len(await replay(RECORDING, player, Pace(), most=2)) == 2
    assert player.life[-1] == "end"


def test_percentiles_lie_between_neighbours() -> None:
    """In proportion, as numpy's default has it."""
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([4.0, 1.0, 2.0, 3.0], 0.5) == 2.5
    assert percentile([float(n) for n in range(101)], 0.95) == pytest.approx(95.0)


def test_a_spread_counts_what_is_known() -> None:
    """None values are no figures."""
    assert spread([None, 2.0, 4.0])["count"] == 2
    assert spread([None, 2.0, 4.0])["p50"] == 3.0
    assert spread([None])["max"] is None


def test_an_answer_is_the_first_text_or_the_end_without_one() -> None:
    """A user waits for either."""
    assert Stroke("type", GENERATED, 5.0, 9.0).answer_ms == 5.0
    assert Stroke("type", GENERATED, None, 9.0).answer_ms == 9.0
    assert Stroke("type").answer_ms is None


def test_a_summary_tells_runs_of_the_model_from_reuse() -> None:
    """And counts tokens wherever a run came to its end."""
    row = summary(
        [
            Stroke("type", GENERATED, 50.0, 90.0, prompt_tokens=100, prefilled_tokens=4),
            Stroke("type", GENERATED, None, 40.0, prompt_tokens=100, prefilled_tokens=0),
            Stroke("type", REUSED, 1.0, 1.0),
            Stroke("jump", NOTHING, cancel_ms=7.0),
        ]
    )
    assert (row["keys"], row["with_text"], row["reused"], row["generated"]) == (4, 2, 1, 2)
    assert row["answer_ms"] == {"count": 3, "p50": 40.0, **upper([1.0, 40.0, 50.0])}
    assert row["answer_ms_generated"] == {"count": 2, "p50": 45.0, **upper([40.0, 50.0])}
    assert row["cache_hit_rate"] == 0.98
    assert row["cancel_ms"] == {"count": 1, "p50": 7.0, **upper([7.0])}


def upper(values: list[float]) -> dict[str, float | None]:
    """The rest of a spread."""
    high = {f"p{n}": percentile(values, n / 100) for n in (95, 99)}
    return {**high, "max": max(values)}


def sample(index: int, stroke: Stroke, recording: str = "r", player: str = "p") -> Sample:
    """In the first round, settled."""
    return Sample(player, "settled", recording, 0, index, stroke)


def test_ratios_compare_the_same_keys() -> None:
    """Those without a figure on one side are left out."""
    ours = [sample(n, Stroke("type", GENERATED, ms)) for n, ms in enumerate([1.0, 2.0, None])]
    theirs = [sample(n, Stroke("type", GENERATED, ms)) for n, ms in enumerate([10.0, None, 30.0])]
    assert ratios(ours, theirs, lambda stroke: stroke.first_ms) == [10.0]


def test_typed_on_are_the_keys_behind_a_typed_one() -> None:
    """Keys of the same session; the first after a jump has another prompt in front of it."""
    pressed = ["jump", "type", "type", "delete", "type"]
    samples = [sample(n, Stroke(kind)) for n, kind in enumerate(pressed)]
    samples.append(sample(0, Stroke("type"), recording="s"))
    found = kinds(samples)
    assert len(found["all"]) == 6
    assert len(found["type"]) == 4
    assert len(found["typed on"]) == 1
