"""Healing: the held bytes come back exactly, whichever allowed tokens are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from code_texts import code_texts, whole_characters
from hypothesis import assume, given
from hypothesis import strategies as st
from tiny_tokenizers import code_llama_tokenizer_data, tiny_byte_level_vocabulary

from midfill.engine.tokens.byte_index import ByteIndex
from midfill.engine.tokens.detokenizer import StreamingDetokenizer
from midfill.engine.tokens.healing import MAX_HELD_TOKENS, Healed, HealingState, split
from midfill.engine.tokens.tokenizer import Tokenizer, open_tokenizer
from midfill.weights.formats.gguf import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", params=["byte-level", "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One of each kind."""
    if request.param == "sentencepiece":
        return open_tokenizer(code_llama_tokenizer_data())
    return open_tokenizer(tiny_byte_level_vocabulary())


@pytest.fixture(scope="module")
def index(tokenizer: Tokenizer) -> ByteIndex:
    """The index of that vocabulary."""
    return ByteIndex(tokenizer)


def healed(tokenizer: Tokenizer, text: str) -> Healed:
    """The text's encoding, cut back."""
    return split(tokenizer, text, tokenizer.encode(text))


def decoded(tokenizer: Tokenizer, ids: list[int]) -> bytes:
    """The bytes that these tokens spell."""
    return b"".join(map(tokenizer.token_bytes, ids))


def walk(index: ByteIndex, held: bytes, data: st.DataObject) -> list[int]:
    """Choose allowed tokens by chance until nothing is held."""
    state, chosen = HealingState(index, held), []
    while (allowed := state.allowed()) is not None:
        chosen.append(int(allowed[data.draw(st.integers(0, len(allowed) - 1))]))
        before = state.remaining
        state.advance(chosen[-1])
        assert len(state.remaining) < len(before)
    assert state.remaining == b""
    return chosen


@given(text=code_texts())
def test_nothing_is_lost_when_a_prefix_is_split(tokenizer: Tokenizer, text: str) -> None:
    """What is kept is where the encoding starts, and with the held bytes it spells the text."""
    ids = tokenizer.encode(text)
    parts = split(tokenizer, text, ids)
    assert parts.ids == ids[: len(parts.ids)]
    assert decoded(tokenizer, parts.ids) + parts.held == decoded(tokenizer, ids)


@given(text=code_texts(), data=st.data())
def test_any_allowed_tokens_spell_the_held_bytes_first(
    tokenizer: Tokenizer, index: ByteIndex, text: str, data: st.DataObject
) -> None:
    """And what is streamed is what the tokens say after them."""
    held = healed(tokenizer, text).held
    chosen = walk(index, held, data)
    generated = decoded(tokenizer, chosen)
    assert generated.startswith(held)
    detokenizer = StreamingDetokenizer(tokenizer, skip_bytes=len(held))
    shown = "".join(map(detokenizer.feed, chosen))
    assert shown == whole_characters(generated[len(held) :])


@given(text=code_texts(), extension=code_texts(4))
def test_the_true_continuation_is_always_allowed(
    tokenizer: Tokenizer, index: ByteIndex, text: str, extension: str
) -> None:
    """Healing never forbids the tokens of the whole text, which is what the model learned."""
    parts = healed(tokenizer, text)
    stable = tokenizer.stable_length(text, tokenizer.encode(text))
    assume(stable == len(parts.ids))  # a tail cut at the limit may have been encoded otherwise
    state = HealingState(index, parts.held)
    for token_id in tokenizer.encode(text + extension)[len(parts.ids) :]:
        allowed = state.allowed()
        assert allowed is None or token_id in allowed
        state.advance(token_id)


def test_a_word_begun_is_held_back(tokenizer: Tokenizer, index: ByteIndex) -> None:
    """With its space, in the way that the finished word will have it."""
    parts = healed(tokenizer, "x = pri")
    assert parts.held == b" pri"
    assert decoded(tokenizer, parts.ids).lstrip() == b"x ="
    state = HealingState(index, parts.held)
    for token_id in tokenizer.encode(" print", leading_space=False):
        allowed = state.allowed()
        assert allowed is None or token_id in allowed
        state.advance(token_id)


def test_the_first_words_dummy_space_is_held_with_it() -> None:
    """The model spells it again, and the stream swallows it: nobody sees a space too many."""
    tokenizer = open_tokenizer(code_llama_tokenizer_data())
    parts = healed(tokenizer, "pri")
    assert parts == Healed([], b" pri")
    detokenizer = StreamingDetokenizer(tokenizer, skip_bytes=len(parts.held))
    assert "".join(map(detokenizer.feed, tokenizer.encode("print("))) == "nt("


@pytest.mark.parametrize("text", ["", "x\n", "x = 12"])
def test_a_stable_end_holds_nothing_back(text: str) -> None:
    """No token could come out otherwise, so there is nothing to heal."""
    tokenizer = open_tokenizer(code_llama_tokenizer_data())
    assert healed(tokenizer, text) == Healed(tokenizer.encode(text), b"")


def test_indentation_is_held_back(tokenizer: Tokenizer) -> None:
    """So that the model can choose the token that merges it."""
    assert healed(tokenizer, "if x:\n    ").held.endswith(b"    ")


def test_a_tail_without_end_is_cut_at_the_limit(tokenizer: Tokenizer) -> None:
    """Minified code: a long healing would cost more than it brings."""
    text = "er" * 400
    ids = tokenizer.encode(text)
    parts = split(tokenizer, text, ids)
    assert len(ids) - len(parts.ids) == MAX_HELD_TOKENS
    assert parts.held == decoded(tokenizer, ids[-MAX_HELD_TOKENS:])


def test_a_forbidden_token_is_a_bug_in_the_caller(tokenizer: Tokenizer, index: ByteIndex) -> None:
    """Special tokens, and tokens that spell something else."""
    [other] = tokenizer.encode("q", leading_space=False)
    for token_id in (other, min(tokenizer.special_ids)):
        with pytest.raises(AssertionError, match="pri"):
            HealingState(index, b" pri").advance(token_id)


def test_after_healing_any_token_may_come(tokenizer: Tokenizer, index: ByteIndex) -> None:
    """Also the one that ends the text."""
    state = HealingState(index, b"")
    state.advance(min(tokenizer.special_ids))
    assert (state.allowed(), state.remaining) == (None, b"")


@pytest.mark.real_model
def test_the_real_vocabulary_heals_in_several_tokens(real_model_path: Path) -> None:
    """Eight spaces before a word are two tokens: seven with the line end, one with the word."""
    tokenizer = open_tokenizer(read_checkpoint(real_model_path, "base").tokenizer)
    index = ByteIndex(tokenizer)
    parts = healed(tokenizer, "if x:\n        ")
    assert parts.held == b"\n        "
    state = HealingState(index, parts.held)
    for token_id in tokenizer.encode("\n        return"):
        allowed = state.allowed()
        assert allowed is not None
        assert token_id in allowed
        state.advance(token_id)
    assert state.allowed() is None
