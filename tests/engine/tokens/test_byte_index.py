"""Which tokens fit held bytes, compared with looking at every token."""

from __future__ import annotations

import pytest
from code_texts import code_texts
from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizers import code_llama_tokenizer_data, tiny_byte_level_vocabulary

from midfill.engine.tokens.byte_index import ByteIndex
from midfill.engine.tokens.tokenizer import Tokenizer, open_tokenizer


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


def every_fit(tokenizer: Tokenizer, held: bytes) -> list[int]:
    """The slow, obvious search."""
    tokens = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
    return [i for i, t in enumerate(tokens) if t and (t.startswith(held) or held.startswith(t))]


@given(held=st.one_of(code_texts(4).map(str.encode), st.binary(max_size=6)))
def test_the_index_finds_what_a_full_search_finds(
    tokenizer: Tokenizer, index: ByteIndex, held: bytes
) -> None:
    """Also for bytes that end inside a character, or that no token starts with."""
    assert index.allowed(held).tolist() == every_fit(tokenizer, held)


def test_nothing_held_allows_every_token_that_adds_bytes(
    tokenizer: Tokenizer, index: ByteIndex
) -> None:
    """And special tokens never."""
    plain = sorted(set(range(tokenizer.vocab_size)) - tokenizer.special_ids)
    assert index.allowed(b"").tolist() == plain


def test_tokens_of_equal_bytes_are_all_found() -> None:
    """A character that has a piece of its own has a byte-fallback piece as well."""
    tokenizer = open_tokenizer(code_llama_tokenizer_data())
    twins = [i for i in range(tokenizer.vocab_size) if tokenizer.token_bytes(i) == b"e"]
    assert len(twins) == 2
    assert set(twins) <= set(ByteIndex(tokenizer).allowed(b"else").tolist())


def test_the_shared_answer_cannot_be_changed(index: ByteIndex) -> None:
    """The same array goes to every request that asks for the same bytes."""
    ids = index.allowed(b"pri")
    assert index.allowed(b"pri") is ids
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 0
