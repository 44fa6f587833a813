"""Streaming text: joined it is the whole, and no piece of it is ever half a character."""

from __future__ import annotations

import pytest
from code_texts import code_texts, whole_characters
from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizers import code_llama_tokenizer_data, tiny_byte_level_vocabulary

from midfill.engine.tokens.detokenizer import StreamingDetokenizer
from midfill.engine.tokens.tokenizer import Tokenizer, open_tokenizer


@pytest.fixture(scope="module", params=["byte-level", "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One of each kind."""
    if request.param == "sentencepiece":
        return open_tokenizer(code_llama_tokenizer_data())
    return open_tokenizer(tiny_byte_level_vocabulary())


def streamed(tokenizer: Tokenizer, ids: list[int], skip_bytes: int = 0) -> list[str]:
    """What each token gives."""
    return [*map(StreamingDetokenizer(tokenizer, skip_bytes).feed, ids)]


@given(text=code_texts())
def test_text_streams_whole_characters(tokenizer: Tokenizer, text: str) -> None:
    """Each is out as soon as its last byte is there."""
    ids = tokenizer.encode(text, leading_space=False)
    parts = streamed(tokenizer, ids)
    assert "".join(parts) == text
    seen = b""
    for n, token_id in enumerate(ids, start=1):
        seen += tokenizer.token_bytes(token_id)
        assert "".join(parts[:n]) == seen.decode(errors="ignore")


@given(data=st.data())
def test_any_tokens_stream_as_python_decodes_their_bytes(
    tokenizer: Tokenizer, data: st.DataObject
) -> None:
    """Bytes that are no UTF-8 become U+FFFD; special tokens show nothing."""
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=20))
    whole = b"".join(map(tokenizer.token_bytes, ids))
    assert "".join(streamed(tokenizer, ids)) == whole_characters(whole)


@given(text=code_texts(), data=st.data())
def test_leading_bytes_are_swallowed(tokenizer: Tokenizer, text: str, data: st.DataObject) -> None:
    """Wherever they end: inside a token, or across several."""
    held = text[: data.draw(st.integers(0, len(text)))]
    ids = tokenizer.encode(text, leading_space=False)
    parts = streamed(tokenizer, ids, skip_bytes=len(held.encode()))
    assert "".join(parts) == text[len(held) :]


def test_an_incomplete_character_waits_and_is_given_up_when_others_follow() -> None:
    """The emoji's four bytes are four tokens here."""
    tokenizer = open_tokenizer(code_llama_tokenizer_data())
    ids = tokenizer.encode("🦆", leading_space=False)
    assert len(ids) == 4
    assert streamed(tokenizer, ids) == ["", "", "", "🦆"]
    assert streamed(tokenizer, ids[:3]) == ["", "", ""]
    after = tokenizer.encode("x", leading_space=False)
    assert streamed(tokenizer, ids[:3] + after) == ["", "", "", "\ufffdx"]
