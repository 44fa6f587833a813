"""What every tokenizer promises, whatever its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from code_texts import code_texts
from hypothesis import given
from hypothesis import strategies as st
from tiny_tokenizers import code_llama_tokenizer_data, tiny_byte_level_vocabulary

from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.weights.formats.gguf import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.engine.tokens.tokenizer import Tokenizer

LONE_SURROGATES = st.text(st.characters(categories=["Cs", "Ll"]), max_size=4)


@pytest.fixture(scope="session", params=["smollm", "gpt-2", "qwen2", "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One of each kind, trained once."""
    if request.param == "sentencepiece":
        return open_tokenizer(code_llama_tokenizer_data())
    return open_tokenizer(tiny_byte_level_vocabulary(request.param))


@pytest.fixture(scope="session")
def real_tokenizer(real_model_path: Path) -> Tokenizer:
    """The base model's."""
    return open_tokenizer(read_checkpoint(real_model_path, "base").tokenizer)


def decoded(tokenizer: Tokenizer, ids: list[int]) -> bytes:
    """The bytes that these tokens spell."""
    return b"".join(map(tokenizer.token_bytes, ids))


def check_stability(tokenizer: Tokenizer, text: str, extension: str) -> None:
    """Appending changes none of the ids called stable."""
    ids = tokenizer.encode(text)
    stable = tokenizer.stable_length(text, ids)
    assert 0 <= stable <= len(ids)
    assert tokenizer.encode(text + extension)[:stable] == ids[:stable]


@given(text=code_texts())
def test_tokens_spell_the_text_byte_for_byte(tokenizer: Tokenizer, text: str) -> None:
    """Without the leading space, nothing is added, lost or changed."""
    assert decoded(tokenizer, tokenizer.encode(text, leading_space=False)) == text.encode()


@given(text=code_texts())
def test_user_text_never_becomes_a_special_token(tokenizer: Tokenizer, text: str) -> None:
    """The names of markers are plain text."""
    for leading_space in (True, False):
        ids = tokenizer.encode(text, leading_space=leading_space)
        assert tokenizer.special_ids.isdisjoint(ids)


@given(text=code_texts(), extension=code_texts(max_fragments=3))
def test_stable_tokens_survive_whatever_is_typed_next(
    tokenizer: Tokenizer, text: str, extension: str
) -> None:
    """The promise that healing and the cache rest on."""
    check_stability(tokenizer, text, extension)


@given(text=LONE_SURROGATES, extension=LONE_SURROGATES)
def test_lone_surrogates_are_replaced(tokenizer: Tokenizer, text: str, extension: str) -> None:
    """UTF-8 cannot carry them; U+FFFD stands for each."""
    replaced = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert tokenizer.encode(text) == tokenizer.encode(replaced)
    check_stability(tokenizer, text, extension)


def test_empty_text_has_no_tokens(tokenizer: Tokenizer) -> None:
    """Not even the dummy space."""
    assert tokenizer.encode("") == []
    assert tokenizer.stable_length("", []) == 0


def test_special_tokens_add_no_bytes_and_have_names(tokenizer: Tokenizer) -> None:
    """Each can be found by its piece, and a plain token cannot."""
    assert tokenizer.special_ids
    assert all(tokenizer.token_bytes(i) == b"" for i in tokenizer.special_ids)
    assert all(
        tokenizer.token_bytes(i)
        for i in range(tokenizer.vocab_size)
        if i not in tokenizer.special_ids
    )
    ids = [tokenizer.special_id(name) for name in ("▁<PRE>", "<fim_prefix>")]
    assert [i in tokenizer.special_ids for i in ids if i is not None] == [True]
    assert tokenizer.special_id("def") is None
    assert tokenizer.special_id("<fim_nothing>") is None


@pytest.mark.real_model
@given(text=code_texts(), extension=code_texts(max_fragments=3))
def test_stable_tokens_of_the_real_vocabulary(
    real_tokenizer: Tokenizer, text: str, extension: str
) -> None:
    """The same promise with 49,152 tokens."""
    check_stability(real_tokenizer, text, extension)


@pytest.mark.real_model
def test_the_real_vocabulary_drops_only_bytes_that_it_lacks(real_tokenizer: Tokenizer) -> None:
    """SmolLM2 was trained without these; transformers and llama.cpp drop them too."""
    tokenizer = real_tokenizer
    lost = [chr(c) for c in range(0x300) if decoded(tokenizer, tokenizer.encode(chr(c))) == b""]
    assert lost == ["\x04", "\x06", "\x13", "\x14", "\x16", "\x1d"]
    known = {tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)}
    leads = [b for b in range(0xC2, 0xF5) if bytes([b]) not in known]
    assert leads == [0xF1, 0xF2]
