"""Replays a recording to something that completes, and what each key cost.

Two paces: *settled*, where the next key waits until all work for the last one has ended, so that
each figure is one key's alone; and *typing*, a key every so many milliseconds whether there is an
answer or not, as at a keyboard.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from midfill.recipes.keystrokes.traces import SKIP, Editor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from midfill.recipes.keystrokes.traces import Change, Key, Recording

SHARES = (0.5, 0.95, 0.99)
GENERATED, REUSED, NOTHING = "generated", "reused", "nothing"


@dataclass(frozen=True, slots=True)
class Stroke:
    """What came of one key."""

    kind: str
    """The kind of the key."""
    source: str = NOTHING
    """GENERATED: a model ran for it and nothing was known before; REUSED: an earlier completion, or
    one that runs, answered; NOTHING: no completion was asked for or the wait was too short."""
    first_ms: float | None = None
    """Milliseconds from the key to the first text that a user could see; None: there was none."""
    full_ms: float | None = None
    """Milliseconds from the key to the end of the suggestion; None also if another key came
    first."""
    prompt_tokens: int | None = None
    """Tokens of a model's prompt for this key; None: it did not run, or did not end."""
    prefilled_tokens: int | None = None
    """Tokens of the prompt that were computed."""
    generated_tokens: int | None = None
    parts_ms: Mapping[str, float] | None = None
    """Milliseconds by what they were spent on, as the server says."""
    cancel_ms: float | None = None
    """Milliseconds from the cancel of a run, by this or an earlier key, to the end of its work."""

    @property
    def answer_ms(self) -> float | None:
        """Milliseconds to the first text, or to the end where the answer is that there is none."""
        return self.full_ms if self.first_ms is None else self.first_ms


@dataclass(frozen=True, slots=True)
class Sample:
    """A stroke and where it belongs."""

    player: str
    pace: str
    recording: str
    round: int
    index: int
    stroke: Stroke


@dataclass(frozen=True, slots=True)
class Pace:
    """The moment of the next key: ``settled``, or after so many milliseconds."""

    interval_ms: float | None = None

    @property
    def name(self) -> str:
        """The name in reports."""
        return "settled" if self.interval_ms is None else "typing"


class Player(Protocol):
    """Something that completes at a cursor."""

    name: str

    async def begin(self, recording: Recording) -> None:
        """Get ready for a session; untimed."""
        ...

    def skip(self, editor: Editor, change: Change, before: str) -> None:
        """Take a change that nobody asks about; ``before`` is the file's text without it."""
        ...

    async def press(self, editor: Editor, change: Change | None, before: str, wait: Wait) -> Stroke:
        """Take a key that has been pressed, ask, and say what came of it."""
        ...

    async def end(self) -> None:
        """The session is over: stop all work."""
        ...


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to look at a key, and what it is."""

    key: Key
    until: float | None
    """The moment (``perf_counter``) of the next key; None: until all work has ended."""


async def replay(
    recording: Recording, player: Player, pace: Pace, most: int | None = None
) -> list[Stroke]:
    """Press the keys of a recording, ``most`` of them at most; a stroke for each one measured."""
    editor = Editor(recording.files)
    strokes: list[Stroke] = []
    await player.begin(recording)
    moment = time.perf_counter()
    for key in recording.keys:
        if most is not None and len(strokes) >= most:
            break
        before = editor.texts.get(key.file or editor.file, "")
        change = editor.press(key)
        if key.kind == SKIP:
            assert change is not None, key
            player.skip(editor, change, before)
            continue
        if pace.interval_ms is None:
            moment = time.perf_counter()
            wait = Wait(key, None)
        else:
            await asyncio.sleep(moment - time.perf_counter())
            moment = max(moment, time.perf_counter()) + pace.interval_ms / 1e3
            wait = Wait(key, moment)
        strokes.append(await player.press(editor, change, before, wait))
    await player.end()
    return strokes


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which that share lies, between neighbours in proportion; None of none."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def spread(values: Iterable[float | None]) -> dict[str, float | int | None]:
    """p50, p95, p99, the greatest, and how many there are; None values do not count."""
    known = [value for value in values if value is not None]
    row: dict[str, float | int | None] = {"count": len(known)}
    row |= {f"p{round(100 * share)}": percentile(known, share) for share in SHARES}
    return row | {"max": max(known, default=None)}


def summary(strokes: Sequence[Stroke]) -> dict[str, object]:
    """The figures of many strokes."""
    ran = [stroke for stroke in strokes if stroke.source == GENERATED]
    prompts = [s for s in strokes if s.prompt_tokens is not None]
    prompt = sum(s.prompt_tokens or 0 for s in prompts)
    prefilled = sum(s.prefilled_tokens or 0 for s in prompts)
    return {
        "keys": len(strokes),
        "with_text": sum(s.first_ms is not None for s in strokes),
        "reused": sum(s.source == REUSED for s in strokes),
        "generated": len(ran),
        "answer_ms": spread(s.answer_ms for s in strokes),
        "answer_ms_generated": spread(s.answer_ms for s in ran),
        "first_ms_generated": spread(s.first_ms for s in ran),
        "full_ms_generated": spread(s.full_ms for s in ran),
        "prompt_tokens": spread(s.prompt_tokens for s in prompts),
        "prefilled_tokens": spread(s.prefilled_tokens for s in prompts),
        "generated_tokens": spread(s.generated_tokens for s in prompts),
        "cache_hit_rate": 1 - prefilled / prompt if prompt else None,
        "cancel_ms": spread(s.cancel_ms for s in strokes),
    }


def ratios(
    ours: Sequence[Sample], theirs: Sequence[Sample], figure: Callable[[Stroke], float | None]
) -> list[float]:
    """Theirs over ours, key by key of the same round, where both have a figure."""
    known = {_place(sample): figure(sample.stroke) for sample in theirs}
    pairs = [(figure(sample.stroke), known.get(_place(sample))) for sample in ours]
    return [second / first for first, second in pairs if first and second is not None]


def kinds(samples: Sequence[Sample]) -> dict[str, list[Stroke]]:
    """Strokes by the kind of their key, and of all keys; "typed on" are those after a typed one.

    Those have a warm cache in front of them on any server that has one.
    """
    found: dict[str, list[Stroke]] = {"all": [], "typed on": []}
    last: Sample | None = None
    for sample in samples:
        found["all"].append(sample.stroke)
        found.setdefault(sample.stroke.kind, []).append(sample.stroke)
        is_next = last is not None and _place(last) == _place(
            replace(sample, index=sample.index - 1)
        )
        if is_next and last is not None and last.stroke.kind == sample.stroke.kind == "type":
            found["typed on"].append(sample.stroke)
        last = sample
    return found


def median(values: Sequence[float]) -> float | None:
    """The middle one; None of none."""
    return statistics.median(values) if values else None


def _place(sample: Sample) -> tuple[str, str, int, int]:
    return sample.pace, sample.recording, sample.round, sample.index
