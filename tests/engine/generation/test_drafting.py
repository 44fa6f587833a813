"""Drafts by lookup: where they come from, and that they change nothing but the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_engine import ScriptedModel, complete, machine, tiny_model

from midfill.engine.api import CompletionRequest
from midfill.engine.generation.drafting import LEAST_MATCH, MOST_MATCH, MOST_TOKENS, Drafter

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMPT = "def add(a, b):\n    return a + b\n" * 3


def expected(ids: Sequence[int], most: int, never: set[int]) -> list[int]:
    """The same rule, one place after the other."""
    places = []
    for place in range(len(ids) - 1):
        matched = 0
        while (
            matched < MOST_MATCH and matched <= place and ids[place - matched] == ids[-1 - matched]
        ):
            matched += 1
        places.append((matched, place))
    matched, place = max(places, default=(0, 0))
    draft: list[int] = []
    if matched >= LEAST_MATCH:
        for token_id in ids[place + 1 :][: min(most, matched)]:
            if token_id in never:
                break
            draft.append(token_id)
    return draft


@given(
    sources=st.lists(st.lists(st.integers(0, 3), max_size=30), min_size=1, max_size=3),
    added=st.lists(st.integers(0, 3), min_size=1, max_size=300),
    most=st.integers(0, MOST_TOKENS),
    never=st.sets(st.integers(0, 3), max_size=2),
)
def test_the_longest_match_is_taken_and_of_those_the_last(
    sources: list[list[int]], added: list[int], most: int, never: set[int]
) -> None:
    """Across all sources and what was added."""
    drafter = Drafter(sources, never)
    for token_id in added:
        drafter.add(token_id)
    ids = [token_id for source in sources for token_id in source] + added
    assert drafter.draft(most) == expected(ids, most, never)


def test_a_short_match_drafts_nothing_and_a_long_one_much() -> None:
    """As many tokens as matched."""
    assert Drafter([[1, 2, 9, 1, 2]], ()).draft() == []
    assert Drafter([[1, 2, 3, 7, 8, 9, 6, 1, 2, 3]], ()).draft() == [7, 8, 9]
    text = list(range(20))
    assert Drafter([text, [50], text[:10]], ()).draft() == text[10:17]


@pytest.mark.parametrize("max_tokens", [1, 2, 7, 40])
def test_drafts_change_no_token(max_tokens: int) -> None:
    """On a random model, where the text gives few of them, and the last completion many."""
    request = CompletionRequest(PROMPT, max_tokens=max_tokens)
    plain = complete(machine(tiny_model()), request)
    parts = machine(tiny_model(), draft_tokens=MOST_TOKENS)
    first = complete(parts, request)
    second = complete(parts, request, last_middle=first.ids)
    assert (first.ids, first.text) == (second.ids, second.text) == (plain.ids, plain.text)
    assert plain.stats.drafted_tokens == 0
    if max_tokens == 40:
        assert 0 < second.stats.accepted_tokens <= second.stats.drafted_tokens


def test_wrong_drafts_leave_the_cache_as_it_would_be() -> None:
    """The slot holds the prompt and what was generated, without the last token."""
    parts = machine(tiny_model(), draft_tokens=MOST_TOKENS)
    request = CompletionRequest(PROMPT, max_tokens=30)
    done = complete(parts, request)
    slot = max(parts.cache.slots, key=lambda slot: slot.length)
    assert slot.ids.tolist()[slot.prompt_length :] == done.ids[:-1]


def test_a_right_draft_saves_a_pass() -> None:
    """The second time around, the last completion foretells the next."""
    script = [70, 71, 72, 73, 74, 75, 76, 77]
    model = ScriptedModel(script)
    parts = machine(model, dialect="left-to-right", draft_tokens=MOST_TOKENS)
    request = CompletionRequest("x", heal=False, max_tokens=8)
    first = complete(parts, request)
    passes = len(model.forwarded)
    second = complete(parts, request, last_middle=first.ids)
    assert first.ids[:8] == second.ids[:8] == script
    assert len(model.forwarded) - passes < passes
