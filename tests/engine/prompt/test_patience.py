"""Prompts of which too much would have to be read: cut, unless they are warm."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tiny_tokenizers import python_source, tiny_byte_level_vocabulary

from midfill.engine.api import CompletionRequest
from midfill.engine.prompt.dialects import DIALECTS
from midfill.engine.prompt.prompter import WARM_TOKENS, Prompt, Prompter
from midfill.engine.tokens.tokenizer import open_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable

TOKENIZER = open_tokenizer(tiny_byte_level_vocabulary())
PATIENCE = (None, 3000, 1200, 600, 100)


def prompter() -> Prompter:
    """A prompter of our own dialect."""
    return Prompter(DIALECTS["midfill"], TOKENIZER, "tiny")


def cold(_ids: list[int]) -> int:
    """Nothing is cached."""
    return 0


def kept(*cached: Prompt) -> Callable[[list[int]], int]:
    """A cache that holds these prompts."""

    def match(ids: list[int]) -> int:
        lengths = [0]
        for prompt in cached:
            equal = [a == b for a, b in zip(ids, prompt.ids, strict=False)]
            lengths.append([*equal, False].index(False))
        return max(lengths)

    return match


def lengths_by_patience(*cached: Prompt) -> list[tuple[int, bool]]:
    """Budgets of prompts taken with the patience for so many tokens, and whether they are short."""
    own, source = prompter(), python_source()
    request = CompletionRequest(source[:9_000], source[9_000:], heal=False)
    prompts = [own.build(request, 2048, kept(*cached), patience) for patience in PATIENCE]
    return [(1 << len(prompt.ids).bit_length(), prompt.is_short) for prompt in prompts]


def test_a_prompt_that_takes_too_long_is_cut_and_a_warm_one_comes_first() -> None:
    """The longest one that is read in time, or the least; none that waits while one is warm."""
    own, source = prompter(), python_source()
    request = CompletionRequest(source[:9_000], source[9_000:], heal=False)
    whole, half = (own.build(request, budget, cold) for budget in (2048, 1024))
    long, middle, least = (2048, False), (1024, True), (512, True)

    assert lengths_by_patience() == [long, long, middle, least, least]
    assert lengths_by_patience(half) == [long, middle, middle, middle, middle]
    assert lengths_by_patience(half, whole) == [long] * 5
    grown = replace(whole, ids=whole.ids[:-100])
    assert lengths_by_patience(half, grown) == [long, middle, middle, middle, middle]
    grown = replace(whole, ids=whole.ids[:-WARM_TOKENS])
    assert lengths_by_patience(half, grown) == [long] * 5


def test_a_short_text_is_never_short() -> None:
    """There is no longer prompt than all of it."""
    own = prompter()
    text = python_source()[:900]
    prompt = own.build(CompletionRequest(text), 2048, cold, patience=10)
    assert len(prompt.ids) > WARM_TOKENS
    assert not prompt.is_short
