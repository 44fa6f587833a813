"""Incremental encoding: the same ids, whatever was edited, for less work."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from code_texts import code_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import code_llama_tokenizer_data, python_source, tiny_byte_level_vocabulary

from midfill.engine.tokens import incremental
from midfill.engine.tokens.incremental import IncrementalEncoder
from midfill.engine.tokens.tokenizer import Tokenizer, open_tokenizer
from midfill.weights.formats.tokenizer.splits import PRE_TOKENIZERS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["sentencepiece", *sorted(PRE_TOKENIZERS)])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One of each kind."""
    if request.param == "sentencepiece":
        return open_tokenizer(code_llama_tokenizer_data())
    return open_tokenizer(tiny_byte_level_vocabulary(request.param))


@contextmanager
def small_blocks() -> Iterator[None]:
    """So that short texts have many, and are forgotten soon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incremental, "_BLOCK", 8)
        patch.setattr(incremental, "_HEADS", 12)
        yield


class CountingTokenizer:
    """Counts the characters that it is asked to encode."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.characters = 0
        self.token_bytes = tokenizer.token_bytes
        self.stable_length = tokenizer.stable_length

    def encode(self, text: str, *, leading_space: bool = True) -> list[int]:
        """As the tokenizer does."""
        self.characters += len(text)
        return self._tokenizer.encode(text, leading_space=leading_space)


edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 20), code_texts(4)), min_size=1, max_size=8
)


@given(text=code_texts(40), edits=edits)
@settings(deadline=None, max_examples=150)
def test_any_edits_give_the_tokenizers_ids(
    tokenizer: Tokenizer, text: str, edits: list[tuple[float, int, str]]
) -> None:
    """Wherever text is deleted and inserted."""
    encoder = IncrementalEncoder(tokenizer)
    with small_blocks():
        assert encoder.encode(text) == tokenizer.encode(text)
        for where, deleted, inserted in edits:
            at = int(where * len(text))
            text = text[:at] + inserted + text[at + deleted :]
            assert encoder.encode(text) == tokenizer.encode(text)


@given(texts=st.lists(code_texts(30), min_size=1, max_size=6))
@settings(deadline=None, max_examples=50)
def test_texts_do_not_get_into_each_others_way(tokenizer: Tokenizer, texts: list[str]) -> None:
    """Several files through one encoder, again and again."""
    encoder = IncrementalEncoder(tokenizer)
    with small_blocks():
        for text in [*texts, *reversed(texts), *texts]:
            assert encoder.encode(text) == tokenizer.encode(text)


def test_real_blocks_give_the_tokenizers_ids(tokenizer: Tokenizer) -> None:
    """Typing at the end of a file, and in its middle."""
    encoder, source = IncrementalEncoder(tokenizer), python_source()[:30_000]
    for text in (source, source + "pri", source + "print", source[:9_999] + "é" + source[9_999:]):
        assert encoder.encode(text) == tokenizer.encode(text)


def test_a_keystroke_encodes_little(tokenizer: Tokenizer) -> None:
    """At most two blocks, however long the text is before it."""
    counting = CountingTokenizer(tokenizer)
    encoder = IncrementalEncoder(counting)  # type: ignore[arg-type]
    source = python_source()[:100_000]
    encoder.encode(source)
    for typed in ("a", "ab", "abc"):
        counting.characters = 0
        encoder.encode(source + typed)
        assert counting.characters < 4 * 1024  # a new block is encoded, and checked once


def test_what_is_remembered_does_not_grow_with_its_square(tokenizer: Tokenizer) -> None:
    """Each block's ids are kept once, not with those of all blocks before it."""
    encoder, source = IncrementalEncoder(tokenizer), python_source()[:100_000]
    ids = encoder.encode(source)
    assert sum(len(head.ids) for head in encoder._heads.values()) <= len(ids)


def test_the_longest_unused_is_forgotten(tokenizer: Tokenizer) -> None:
    """So that a long session does not fill the memory."""
    encoder = IncrementalEncoder(tokenizer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incremental, "_HEADS", 10)
        for start in range(5):
            text = python_source()[start * 7_000 :][:7_000]
            assert encoder.encode(text) == tokenizer.encode(text)
            assert len(encoder._heads) <= 10
