"""Slots: whatever happens, their ids name exactly what they hold; and the choice among them."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tiny_engine import SHAPE, new_slot

from midfill.engine.model.kv_cache import WORTH_KEEPING, KVCache, common_prefix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.engine.model.kv_cache import Slot

TINY = replace(SHAPE, head_dim=2, num_key_value_heads=1)
LAYERS = range(TINY.num_hidden_layers)


def computed(ids: Sequence[int], start: int = 0) -> torch.Tensor:
    """Stands in for keys: (T, 1, 2), different for each token at each position."""
    positions = torch.arange(start, start + len(ids)).float()
    return torch.stack((torch.tensor(ids).float(), positions), -1).unsqueeze(1)


@torch.inference_mode()
def forward(slot: Slot, ids: Sequence[int]) -> None:
    """What the model does with a slot: values are the keys' negatives, layers differ by 1000."""
    slot.reserve(slot.length + len(ids))
    keys = computed(ids, slot.length)
    for layer in LAYERS:
        seen, _ = slot.write(layer, keys + 1000 * layer, -keys - 1000 * layer)
        assert seen.shape == (1, slot.length + len(ids), 2)
    slot.append(ids)


@torch.inference_mode()
def assert_held(slot: Slot) -> None:
    """Keys and values are those that the ids would be computed to."""
    assert len(slot.ids) == slot.length
    nothing = torch.empty(0, 1, 2)
    for layer in LAYERS:
        keys, values = slot.write(layer, nothing, nothing)
        expected = (computed(slot.ids.tolist()) + 1000 * layer).transpose(0, 1)
        assert torch.equal(keys, expected)
        assert torch.equal(values, -expected)


def cache_of(slots: int) -> KVCache:
    """Empty slots of the tiny shape."""
    return KVCache([new_slot(TINY) for _ in range(slots)])


def prefill(cache: KVCache, ids: Sequence[int]) -> Slot:
    """As a completion does it."""
    slot = cache.take(ids)
    forward(slot, ids[slot.length :])
    return slot


def held(cache: KVCache) -> list[list[int]]:
    """The ids of all slots."""
    return [slot.ids.tolist() for slot in cache.slots]


class CacheMachine(RuleBasedStateMachine):
    """Prompts that branch off each other, tokens behind them, cancels in between."""

    @initialize(slots=st.integers(1, 4))
    def open(self, slots: int) -> None:
        """With any number of slots."""
        self.cache = cache_of(slots)
        self.prompts: list[list[int]] = [[0]]
        self.slot = self.cache.slots[0]

    @rule(data=st.data(), tail=st.lists(st.integers(0, 3), min_size=1, max_size=80))
    def take(self, data: st.DataObject, tail: list[int]) -> None:
        """A prompt that shares any part of an earlier one; its prefill may be cancelled."""
        earlier = data.draw(st.sampled_from(self.prompts))
        prompt = earlier[: data.draw(st.integers(0, len(earlier)))] + tail
        before, shared = held(self.cache), self.cache.match(prompt)
        self.slot = self.cache.take(prompt)
        assert shared == max(self.common(ids, prompt) for ids in before)
        assert self.slot.length == min(shared, len(prompt) - 1)
        assert self.slot.ids.tolist() == prompt[: self.slot.length]
        assert sum(a != b for a, b in zip(before, held(self.cache), strict=True)) <= 1
        rest = prompt[self.slot.length :]
        forward(self.slot, rest[: data.draw(st.integers(0, len(rest)) | st.just(len(rest)))])
        self.prompts.append(prompt)

    @rule(ids=st.lists(st.integers(0, 3), min_size=1, max_size=5))
    def generate(self, ids: list[int]) -> None:
        """Tokens behind the newest prompt, which a later prompt may go on from."""
        forward(self.slot, ids)
        self.prompts.append(self.slot.ids.tolist())

    @rule(data=st.data())
    def cut(self, data: st.DataObject) -> None:
        """Back to anywhere."""
        self.slot.cut(data.draw(st.integers(0, self.slot.length)))

    @invariant()
    def ids_name_what_is_held(self) -> None:
        """In every slot, also in those that were not touched."""
        for slot in self.cache.slots:
            assert_held(slot)

    @staticmethod
    def common(a: list[int], b: list[int]) -> int:
        """How many leading tokens are equal, one by one."""
        return len(list(takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False))))


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(deadline=None, max_examples=40, stateful_step_count=20)


def numbers(start: int, count: int) -> list[int]:
    """A prompt that shares nothing with one from another start."""
    return list(range(start, start + count))


def test_growth_keeps_the_contents() -> None:
    """Through several doublings."""
    slot = new_slot(TINY)
    for start in range(0, 2400, 100):
        forward(slot, numbers(start, 100))
    assert_held(slot)
    assert slot.ids.tolist() == numbers(0, 2400)


def test_room_grows_by_doubling() -> None:
    """So that token by token costs no more than all at once."""
    slot, sizes = new_slot(TINY), set()
    for token in range(2000):
        forward(slot, [token])
        sizes.add(slot.keys_values.nbytes)
    assert len(sizes) == 3
    assert max(sizes) == 2 * len(LAYERS) * 2 * 4 * 2048  # keys and values, two numbers of four


def test_the_longest_match_wins() -> None:
    """Not the newest."""
    cache = cache_of(3)
    long = prefill(cache, numbers(0, 60))
    prefill(cache, [*numbers(0, 20), *numbers(500, 60)])
    assert cache.take([*numbers(0, 60), 7]) is long
    assert long.ids.tolist() == numbers(0, 60)


def test_nothing_in_common_is_no_match() -> None:
    """Also in an empty cache."""
    cache = cache_of(2)
    assert cache.match([1, 2]) == 0
    prefill(cache, [5, 6])
    assert (cache.match([1, 2]), cache.match([5, 1]), cache.match([5, 6, 7])) == (0, 1, 2)


def test_the_last_token_of_a_prompt_is_left_to_compute() -> None:
    """Its logits are needed, though the cache holds it and more."""
    cache = cache_of(2)
    slot = prefill(cache, numbers(0, 10))
    forward(slot, [77])
    assert cache.take(numbers(0, 10)).ids.tolist() == numbers(0, 9)


def test_a_prompt_worth_keeping_is_copied_not_destroyed() -> None:
    """Its branch goes on in another slot."""
    cache = cache_of(2)
    old = prefill(cache, numbers(0, 10 + WORTH_KEEPING + 1))
    branch = prefill(cache, [*numbers(0, 10), 99])
    assert branch is not old
    assert old.ids.tolist() == numbers(0, 10 + WORTH_KEEPING + 1)
    assert branch.ids.tolist() == [*numbers(0, 10), 99]
    assert_held(branch)


def test_a_short_end_is_overwritten() -> None:
    """As by a healed prompt that ends a few tokens earlier: no other slot is lost for that."""
    cache = cache_of(2)
    old = prefill(cache, numbers(0, 10 + WORTH_KEEPING))
    assert cache.take([*numbers(0, 10), 99]) is old
    assert held(cache) == [numbers(0, 10), []]


def test_generated_tokens_are_not_worth_keeping() -> None:
    """Only the prompt counts: most of what is generated is never asked for again."""
    cache = cache_of(2)
    slot = prefill(cache, numbers(0, 10))
    forward(slot, numbers(200, 3 * WORTH_KEEPING))
    assert cache.take([*numbers(0, 10), 99]) is slot


def test_what_was_never_computed_is_not_worth_keeping() -> None:
    """A long prompt cancelled in its first chunk must not cost another slot its contents."""
    cache = cache_of(2)
    other = prefill(cache, numbers(500, 60))
    cancelled = cache.take(numbers(0, 200))
    forward(cancelled, numbers(0, 16))
    assert cache.take([*numbers(0, 16), 99]) is cancelled
    assert other.ids.tolist() == numbers(500, 60)


def test_the_slot_used_longest_ago_is_replaced() -> None:
    """Used, not filled: a hit makes a slot young again."""
    cache = cache_of(3)
    first, second, third = (prefill(cache, numbers(1000 * n, 60)) for n in range(3))
    prefill(cache, [*numbers(0, 60), 1])
    assert prefill(cache, numbers(7000, 60)) is second
    assert prefill(cache, numbers(8000, 60)) is third
    assert prefill(cache, numbers(9000, 60)) is first


def test_a_guess_is_the_first_to_go() -> None:
    """Any number of them costs one slot, the one that was used longest ago."""
    cache = cache_of(3)
    first, second, third = (prefill(cache, numbers(1000 * n, 60)) for n in range(3))
    for n in range(4, 8):
        guess = numbers(1000 * n, 60)
        assert cache.take(guess, is_guess=True) is first
        forward(first, guess)
    assert prefill(cache, numbers(9000, 60)) is first
    assert second.ids.tolist() == numbers(1000, 60)
    assert third.ids.tolist() == numbers(2000, 60)


def test_a_guess_that_came_true_is_in_use() -> None:
    """A request that goes on with it makes its slot young."""
    cache = cache_of(2)
    prefill(cache, numbers(0, 60))
    guess = cache.take(numbers(1000, 60), is_guess=True)
    forward(guess, numbers(1000, 60))
    assert prefill(cache, [*numbers(1000, 60), 1]) is guess
    assert prefill(cache, numbers(2000, 60)) is not guess


def test_a_guess_that_goes_on_with_a_prompt_costs_nothing_when_it_is_wrong() -> None:
    """What would follow a suggestion is prepared in the slot of the suggestion's prompt."""
    cache = cache_of(2)
    other, used = prefill(cache, numbers(0, 60)), prefill(cache, numbers(1000, 60))
    guess = [*numbers(1000, 60), *numbers(7000, 60)]
    assert cache.take(guess, is_guess=True) is used
    forward(used, guess[used.length :])
    assert prefill(cache, [*numbers(1000, 60), 5]) is used
    assert other.ids.tolist() == numbers(0, 60)


def test_a_guess_in_an_empty_slot_is_worth_keeping() -> None:
    """It goes on with nothing, so all of it is a prompt of its own."""
    cache = cache_of(2)
    guess = cache.take(numbers(0, 60), is_guess=True)
    forward(guess, numbers(0, 60))
    assert prefill(cache, [0, 1, 99]) is not guess
    assert guess.ids.tolist() == numbers(0, 60)


def test_a_guess_goes_before_the_first_prompt_that_was_used() -> None:
    """However long it is."""
    cache = cache_of(2)
    used = prefill(cache, numbers(0, 40))
    guess = cache.take(numbers(1000, 80), is_guess=True)
    forward(guess, numbers(1000, 80))
    assert prefill(cache, numbers(2000, 60)) is guess
    assert used.ids.tolist() == numbers(0, 40)


def test_a_guess_goes_on_even_with_a_prompt_of_one_token() -> None:
    """What it adds is not worth keeping."""
    cache = cache_of(2)
    used = prefill(cache, [7])
    guess = [7, *numbers(1000, 60)]
    assert cache.take(guess, is_guess=True) is used
    forward(used, guess[used.length :])
    assert cache.take([7, 8]) is used


def test_an_empty_slot_is_taken_before_a_guess_is_given_up() -> None:
    """Both were never used."""
    cache = cache_of(3)
    used = prefill(cache, numbers(0, 60))
    guess = cache.take(numbers(1000, 60), is_guess=True)
    forward(guess, numbers(1000, 60))
    assert prefill(cache, numbers(2000, 60)) not in (used, guess)


def test_a_single_slot_is_cut_whatever_it_holds() -> None:
    """There is nowhere to copy to."""
    cache = cache_of(1)
    prefill(cache, numbers(0, 300))
    assert prefill(cache, [*numbers(0, 20), 5]).ids.tolist() == [*numbers(0, 20), 5]


def test_a_cut_beyond_the_end_is_a_bug_in_the_caller() -> None:
    """It would name tokens that are not there."""
    slot = new_slot(TINY)
    forward(slot, [1, 2])
    for length in (-1, 3):
        with pytest.raises(AssertionError):
            slot.cut(length)


def test_a_slot_reserves_nothing_before_its_first_token() -> None:
    """Most slots of a short session stay empty."""
    cache = cache_of(2)
    slot = prefill(cache, [1])
    sizes = [each.keys_values.nbytes for each in cache.slots if each is not slot]
    assert sizes == [0]
    assert slot.keys_values.nbytes > 0


def test_common_prefix_counts_equal_leading_tokens() -> None:
    """Up to the shorter one's end."""

    def ids(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array(values, dtype=np.int64)

    assert common_prefix(ids(1, 2, 3), ids(1, 2, 4)) == 2
    assert common_prefix(ids(1, 2), ids(1, 2, 4)) == 2
    assert common_prefix(ids(), ids(1)) == 0
    assert common_prefix(ids(2, 2), ids(1, 2)) == 0
