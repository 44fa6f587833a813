"""Anchored middles: what was typed begins the middle, so that a key only appends."""

from __future__ import annotations

import operator
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING

import pytest
from dialect_tokenizers import TOKENIZERS
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.api import CompletionRequest, ContextPiece, Order, Priority
from midfill.engine.prompt.anchors import BEGUN_CHARACTERS, OLD_ANCHOR, anchors
from midfill.engine.prompt.dialects import DIALECTS
from midfill.engine.prompt.prompter import BEGUN_TOKENS, Prompt, Prompter

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD, TYPED, SUFFIX = "def add(a, b):\n", "    return a + cou", "\n\nprint(add(1, 2))\n" * 9
ONLY_PSM = [name for name, dialect in DIALECTS.items() if dialect.orders == (Order.PSM,)]
TYPING = CompletionRequest(HEAD + TYPED, SUFFIX, priority=Priority.TYPING)


def prompter(name: str = "qwen2.5-coder") -> Prompter:
    """A dialect's, with its tokenizer."""
    return Prompter(DIALECTS[name], TOKENIZERS[name], "tiny")


def after(*prompts: Prompt) -> Callable[[list[int]], int]:
    """A cache that holds these prompts."""

    def match(ids: list[int]) -> int:
        equal = [map(operator.eq, ids, prompt.ids) for prompt in prompts]
        return max((sum(takewhile(bool, each)) for each in equal), default=0)

    return match


def build(request: CompletionRequest, *warm: Prompt, name: str = "qwen2.5-coder") -> Prompt:
    """The prompt of a request when these ones are cached."""
    return prompter(name).build(request, 2048, after(*warm))


def test_the_places_are_the_starts_of_the_last_lines() -> None:
    """The newest first, and none too far away."""
    assert list(anchors("")) == [0]
    assert list(anchors("a\nbc\n\nd")) == [6, 5, 2, 0]
    assert list(anchors("a\n")) == [2, 0]
    many = "x = 1\n" * 1000
    places = list(anchors(many))
    assert places[0] == len(many)
    assert len(many) - BEGUN_CHARACTERS <= places[-1] < len(many) - BEGUN_CHARACTERS + 6


def test_in_a_long_line_the_place_moves_in_large_steps() -> None:
    """Else no key would only append."""
    places = {next(anchors("y\n" + "x" * length)) for length in range(5_000, 6_000)}
    assert places == set(range(4_864, 6_000, OLD_ANCHOR))
    assert list(anchors("x" * 5_000)) == [4_864]


@pytest.mark.parametrize("name", [*ONLY_PSM, "midfill", "codellama", "starcoder2"])
def test_the_end_of_the_prefix_begins_the_middle(name: str) -> None:
    """Behind the prompt of the line's start, and healed at its own end."""
    own, tokenizer = prompter(name), TOKENIZERS[name]
    anchored = own.build(replace(TYPING, order=Order.ANCHORED), 2048, after())
    line = replace(TYPING, prefix=HEAD, order=Order.PSM, heal=False)
    begun = tokenizer.encode(TYPED.removesuffix(" cou"), leading_space=False)
    assert anchored.order is Order.ANCHORED
    assert anchored.ids == own.build(line, 2048, after()).ids + begun
    spelled = b"".join(map(tokenizer.token_bytes, begun)) + anchored.held
    assert spelled.decode() == TYPED
    assert anchored.healed_tokens == len(tokenizer.encode(" cou", leading_space=False))


@given(st.text(st.sampled_from("ab \n\t(é🙂"), max_size=40), st.booleans())
def test_what_a_prompt_shows_is_the_text_to_the_byte(text: str, heal: bool) -> None:
    """Prefix, begin of the middle and held bytes are all that is before the cursor."""
    request = replace(TYPING, prefix=HEAD + text, order=Order.ANCHORED, heal=heal)
    prompt, tokenizer = build(request), TOKENIZERS["qwen2.5-coder"]
    shown = b"".join(map(tokenizer.token_bytes, prompt.ids)) + prompt.held
    assert shown.decode().replace(SUFFIX, "") == HEAD + text


@pytest.mark.parametrize("name", ONLY_PSM)
def test_a_key_appends_where_only_psm_was_trained(name: str) -> None:
    """From the second one on, over line ends; its suffix is not read again."""
    warm = build(replace(TYPING, prefix=HEAD), name=name)
    text = "    total = a\n    if total > b:\n        total = b\n    return tot"
    for length in range(1, len(text)):
        prompt = build(replace(TYPING, prefix=HEAD + text[:length]), warm, name=name)
        assert prompt.order is Order.ANCHORED
        assert prompt.new_tokens <= 4
        warm = prompt


@pytest.mark.parametrize("name", [n for n in DIALECTS if n not in ONLY_PSM])
def test_others_have_a_suffix_first_or_none(name: str) -> None:
    """With the suffix first a key appends anyway, without a place that grows old."""
    assert Order.ANCHORED not in prompter(name).orders(Order.AUTO)


@pytest.mark.parametrize("priority", [Priority.INVOKED, Priority.COMMAND_LINE])
def test_who_asks_once_gets_the_prefix_first(priority: Priority) -> None:
    """Unless what was typed there is warm."""
    asked = replace(TYPING, priority=priority)
    assert build(asked).order is Order.PSM
    assert build(asked, build(TYPING)).order is Order.ANCHORED


@pytest.mark.parametrize(
    "changed",
    [
        {"prefix": "def sub(a, b):\n" + TYPED + "nt\n    y"},
        {"suffix": "\n" + SUFFIX},
        {"context": (ContextPiece("a.py", "a = 1\n"),)},
    ],
)
def test_edits_elsewhere_begin_the_middle_anew(changed: dict[str, object]) -> None:
    """At the cursor's line: an older place would have to be read, too."""
    first = build(TYPING)
    typed_on = replace(TYPING, prefix=HEAD + TYPED + "nt\n    y")
    assert build(typed_on, first).ids[: len(first.ids)] == first.ids
    edited = replace(typed_on, **changed)  # type: ignore[arg-type]
    newest = replace(edited, order=Order.ANCHORED, priority=Priority.PREWARM)
    assert build(edited, first).ids == build(newest).ids


def test_a_place_that_is_old_is_replaced_once_there_is_time() -> None:
    """What is read meanwhile is what the next key takes."""
    first = build(replace(TYPING, prefix=HEAD))
    text = HEAD + "        return None\n" * 15
    prompt = build(replace(TYPING, prefix=text + "    t"), first)
    assert prompt.is_stale
    assert prompt.ids[: len(first.ids)] == first.ids
    newest = replace(TYPING, prefix=text + "    t", order=Order.ANCHORED, priority=Priority.PREWARM)
    read = build(newest, first, prompt)
    assert not read.is_stale
    following = build(replace(TYPING, prefix=text + "    to"), first, prompt, read)
    assert not following.is_stale
    assert following.ids == read.ids


def test_a_middle_begins_with_no_more_than_its_bound() -> None:
    """Then the suffix is read again, behind what was typed."""
    first = build(replace(TYPING, prefix=HEAD))
    text = HEAD + "x = (1, 2, 3)\n" * 20
    prompt = build(replace(TYPING, prefix=text + "y"), first)
    assert len(TOKENIZERS["qwen2.5-coder"].encode("x = (1, 2, 3)\n" * 20)) > BEGUN_TOKENS
    assert prompt.ids[: len(first.ids)] != first.ids


def test_without_a_suffix_there_is_nothing_to_keep() -> None:
    """The prefix first costs no more."""
    assert build(replace(TYPING, suffix="")).order is Order.PSM
    assert build(replace(TYPING, suffix="", order=Order.ANCHORED)).order is Order.PSM
