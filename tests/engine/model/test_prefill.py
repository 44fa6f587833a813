"""The prompt's way into the cache: chunks that follow the rate, and a look between them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
import torch
from tiny_engine import ScriptedModel, new_slot, tiny_model

from midfill.engine.model import prefill
from midfill.engine.model.prefill import CHUNK_MS, Prefiller
from midfill.engine.scheduling.cancel import CancelFlag, CancelledPassError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from midfill.engine.model.decoder import TreePositions
    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.model.llama import LlamaModel


class Clock:
    """Time passes only in the model, so many tokens in a millisecond."""

    def __init__(self, tokens_per_ms: float) -> None:
        self.now = 0.0
        self.tokens_per_ms = tokens_per_ms

    def perf_counter(self) -> float:
        """Seconds."""
        return self.now


class TimedModel(ScriptedModel):
    """Takes its time by the clock."""

    def __init__(self, clock: Clock) -> None:
        super().__init__([])
        self.clock = clock
        self.loses_after: Callable[[], bool] = lambda: False
        """Whether it was cancelled by now."""

    def forward(
        self,
        ids: Sequence[int],
        slot: Slot,
        cancel: CancelFlag | None = None,
        tree: TreePositions | None = None,
    ) -> torch.Tensor:
        """As the scripted model does, later."""
        self.clock.now += len(ids) / self.clock.tokens_per_ms / 1e3
        if self.loses_after():
            raise CancelledPassError
        return super().forward(ids, slot, cancel, tree)

    @property
    def chunks(self) -> list[int]:
        """How many tokens each forward pass had."""
        return [len(ids) for ids in self.forwarded]


def timed(monkeypatch: pytest.MonkeyPatch, tokens_per_ms: float) -> tuple[TimedModel, Prefiller]:
    """A model of that speed, and a prefiller that measures it."""
    clock = Clock(tokens_per_ms)
    monkeypatch.setattr(prefill, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    model = TimedModel(clock)
    return model, Prefiller(cast("LlamaModel", model))


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_chunks_end_in_the_same_state_as_the_whole(chunk: int) -> None:
    """The last token's; 40 tokens do not divide into them."""
    model, ids = tiny_model(), list(range(40))
    slot = new_slot()
    hidden = Prefiller(model, chunk).run(ids, slot)
    assert hidden is not None
    assert hidden.shape == (1, model.architecture.hidden_size)
    assert slot.ids.tolist() == ids
    whole = model.forward(ids, new_slot())[-1:]
    torch.testing.assert_close(hidden, whole, rtol=0, atol=1e-5)


def test_a_prompt_that_is_cancelled_at_every_key_is_read_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a model that sees the cancel in the middle of a pass, and loses what that one computed."""
    model, prefiller = timed(monkeypatch, 1.0)
    slot, cancel, keys = new_slot(), CancelFlag(), 0
    model.loses_after = lambda: model.clock.now > 0.15 * keys
    while slot.length < 1000:
        keys += 1
        assert keys < 10
        prefiller.run(range(slot.length, 1000), slot, cancel)
        model.clock.now = 0.15 * keys


def test_a_fixed_chunk_is_kept() -> None:
    """Whatever the rate."""
    model = ScriptedModel([])
    slot = new_slot()
    Prefiller(cast("LlamaModel", model), 30).run(range(100), slot)
    assert [len(ids) for ids in model.forwarded] == [30, 30, 30, 10]


def test_an_interruption_is_seen_between_two_chunks() -> None:
    """What was finished by then stays in the slot, for the next request."""
    cancel, slot = CancelFlag(), new_slot()
    model = ScriptedModel([], before_forward=lambda number: cancel.set() if number == 2 else None)
    hidden = Prefiller(cast("LlamaModel", model), 10).run(range(100), slot, cancel)
    assert hidden is None
    assert slot.ids.tolist() == list(range(30))


@pytest.mark.parametrize(
    ("tokens_per_ms", "chunk"), [(0.01, 16), (2.0, 64), (5.0, 128), (6.0, 256), (1000.0, 512)]
)
def test_the_chunk_follows_the_measured_rate(
    monkeypatch: pytest.MonkeyPatch, tokens_per_ms: float, chunk: int
) -> None:
    """The power of two that takes 25 to 50 ms, from 16 to 512; the first chunk is a guess."""
    model, prefiller = timed(monkeypatch, tokens_per_ms)
    prefiller.run(range(1200), new_slot())
    assert model.chunks[:2] == [32, chunk]
    assert prefiller.chunk == chunk
    if 16 < chunk < 512:
        assert CHUNK_MS / 2 < chunk / tokens_per_ms <= CHUNK_MS


def test_the_rate_is_remembered_and_smoothed(monkeypatch: pytest.MonkeyPatch) -> None:
    """From one prompt to the next; one slow chunk changes it by less than a third."""
    model, prefiller = timed(monkeypatch, 5.5)  # 275 tokens in 50 ms
    prefiller.run(range(400), new_slot())
    assert prefiller.chunk == 256
    model.clock.tokens_per_ms = 0.01
    prefiller.run(range(20), new_slot())
    assert prefiller.chunk == 128  # 0.7 * 275 = 192


def test_a_few_tokens_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keystroke's: most of their time is overhead."""
    model, prefiller = timed(monkeypatch, 5.5)
    prefiller.run(range(400), new_slot())
    model.clock.tokens_per_ms = 0.01
    for _ in range(50):
        prefiller.run(range(3), new_slot())
    assert prefiller.chunk == 256


def test_a_prompt_moves_its_slot_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many chunks it has: a slot that moves is there twice meanwhile."""
    model, slot = tiny_model(), new_slot()
    places = list[int]()
    forward = model.forward

    def watched(ids: Sequence[int], slot: Slot, cancel: CancelFlag | None = None) -> torch.Tensor:
        hidden = forward(ids, slot, cancel)
        places.append(slot.keys_values.data_ptr())
        return hidden

    monkeypatch.setattr(model, "forward", watched)
    prompt = [1] * 1500
    Prefiller(model, chunk=100).run(prompt, slot)
    assert len(places) == 15
    assert len(set(places)) == 1
    assert slot.keys_values.shape[3] == len(prompt) + prefill.COMPLETION_ROOM
