"""Byte-level BPE: the byte alphabet, pre-tokens and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import tiny_byte_level_vocabulary
from tokenizers import pre_tokenizers

from midfill.engine.tokens.bpe import BYTE_ALPHABET, RULES, ByteLevelBpe
from midfill.weights.errors import UnsupportedModelError
from midfill.weights.formats.tokenizer.splits import PRE_TOKENIZERS


def stable_text(pre_tokenizer: str, text: str) -> str:
    """The part of the text whose tokens are stable."""
    tokenizer = ByteLevelBpe(tiny_byte_level_vocabulary(pre_tokenizer))
    ids = tokenizer.encode(text)
    stable = ids[: tokenizer.stable_length(text, ids)]
    return b"".join(map(tokenizer.token_bytes, stable)).decode()


def test_the_alphabet_is_gpt2s() -> None:
    """256 characters, one per byte, those of the tokenizers library."""
    assert sorted(BYTE_ALPHABET) == sorted(pre_tokenizers.ByteLevel.alphabet())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for character in (chr(c) for c in range(0x800)):
        [(shown, _)] = byte_level.pre_tokenize_str(character)
        assert bytes(BYTE_ALPHABET[c] for c in shown) == character.encode()


@pytest.mark.parametrize(
    ("text", "stable"),
    [
        ("", ""),
        ("pri", ""),
        ("x = pri", "x ="),
        ("x = pri ", "x = pri"),
        ("print(", "print"),
        ("foo()\n    ", "foo()"),
        ("foo()\n    \n", "foo()"),
        ("foo()\r\n", "foo()"),
        ("it's", "it's"),
        ("it's so", "it's"),
        ("they'", "they"),
        ("they'r", "they"),
        ("they're", "they're"),
        ("they'rex", "they're"),
        (" 'l", " '"),
        ("x ''l", "x ''"),
        ("'L", "'"),
        ("a\u00a0", "a"),
        ("日本 語", "日本"),
        ("日本語", ""),
        ("cafe\u0301", "cafe"),
        ("e\u0301x", "e\u0301"),
    ],
)
@pytest.mark.parametrize("pre_tokenizer", ["smollm", "gpt-2"])
def test_all_but_the_last_pre_token_is_stable(pre_tokenizer: str, text: str, stable: str) -> None:
    """A finished contraction is stable as well, and half a one takes its apostrophe with it."""
    assert stable_text(pre_tokenizer, text) == stable


@pytest.mark.parametrize(
    ("text", "stable"),
    [
        ("x = pri", "x ="),
        ("print(", "print"),
        ("foo()\n    ", "foo()\n"),
        ("foo()\n", "foo"),
        ("x\n  ", "x"),  # another line end makes one of all of them
        ("x\n  \t ", "x"),
        ("x = 12", "x = 12"),
        ("they'", "they"),
        ("they'r", "they"),
        ("x=", "x"),
        ("x= ", "x="),
    ],
)
def test_qwens_punctuation_takes_line_ends_and_line_ends_take_blanks(
    text: str, stable: str
) -> None:
    """And letters take a character in front of them."""
    assert stable_text("qwen2", text) == stable


@pytest.mark.parametrize(
    ("rule", "text", "stable"),
    [
        ("llama-bpe", "x = 12", "x = "),
        ("llama-bpe", "x = 1234", "x = 123"),
        ("llama-bpe", "1234567+", "1234567"),
        ("llama-bpe", "x\n  ", "x"),
        ("qwen35", "x = 12", "x = 12"),
        ("qwen35", "cafe\u0301", ""),
        ("qwen2", "cafe\u0301", "cafe"),
    ],
)
def test_llama_3_takes_digits_by_three_and_qwen_3_5_keeps_accents_in_words(
    rule: str, text: str, stable: str
) -> None:
    """Threes are counted from the first digit, so no place within a run of them is a seam."""
    assert stable_text(rule, text) == stable


@cache
def with_whole_characters(rule: str) -> ByteLevelBpe:
    """With a token for an umlaut as it is, as DeepSeek has."""
    plain = tiny_byte_level_vocabulary(rule)
    data = replace(plain, tokens=(*plain.tokens, "ö"))
    return ByteLevelBpe(replace(data, whole_characters=frozenset({len(plain.tokens)})))


def test_a_character_that_is_a_token_as_it_is_stands_alone() -> None:
    """Found before words are split; its byte in the alphabet is none of UTF-8."""
    tokenizer = with_whole_characters("deepseek-coder")
    spelled = [tokenizer.token_bytes(i) for i in tokenizer.encode("schön, 12\n")]
    assert spelled[-7:] == ["ö".encode(), b"n", b",", b" ", b"1", b"2", b"\n"]
    assert b"".join(spelled) == "schön, 12\n".encode()


@given(st.text(alphabet="aZ's19+/ .\n\t\u0301語½§ö", max_size=24), st.data())
@settings(max_examples=60)
@pytest.mark.parametrize("rule", sorted(PRE_TOKENIZERS))
def test_what_is_stable_starts_the_ids_of_any_longer_text(
    rule: str, text: str, data: st.DataObject
) -> None:
    """Whatever is appended, and what is behind it is encoded as if it stood alone."""
    tokenizer = with_whole_characters(rule)
    beginning = text[: data.draw(st.integers(0, len(text)))]
    ids, whole = tokenizer.encode(beginning), tokenizer.encode(text)
    stable = ids[: tokenizer.stable_length(beginning, ids)]
    assert whole[: len(stable)] == stable
    characters = len(b"".join(map(tokenizer.token_bytes, stable)).decode())
    assert tokenizer.encode(text[characters:]) == whole[len(stable) :]


def test_llama_3_keeps_a_word_that_is_a_token_whole() -> None:
    """Where the merges do not lead to it; by the other rules its letters are merged."""
    plain = tiny_byte_level_vocabulary("llama-bpe")
    word = len(plain.tokens)
    data = replace(plain, tokens=(*plain.tokens, "qzxj"))
    assert ByteLevelBpe(data).encode("qzxj") == [word]
    assert word not in ByteLevelBpe(replace(data, pre_tokenizer="qwen35")).encode("qzxj")


def test_single_digits_are_stable_where_digits_are_split() -> None:
    """One token each, whatever follows; GPT-2 takes runs of digits together."""
    assert stable_text("smollm", "x = 12") == "x = 12"
    assert stable_text("gpt-2", "x = 12") == "x ="
    assert stable_text("smollm", "x = ½") == "x = "


def test_digits_are_split_and_whitespace_before_them_is_not() -> None:
    """The smollm rule splits digits first, so a digit never takes the space in front of it."""
    tokenizer = ByteLevelBpe(tiny_byte_level_vocabulary("smollm"))
    spelled = [tokenizer.token_bytes(i) for i in tokenizer.encode("x  12")]
    assert spelled == [b"x", b"  ", b"1", b"2"]
    tokenizer = ByteLevelBpe(tiny_byte_level_vocabulary("gpt-2"))
    spelled = [tokenizer.token_bytes(i) for i in tokenizer.encode("x  12")]
    assert spelled[:2] == [b"x", b" "]


def test_a_long_text_without_seams_is_still_exact() -> None:
    """Minified text of other scripts has no seam at all: the whole of it is split."""
    tokenizer = ByteLevelBpe(tiny_byte_level_vocabulary())
    text = "語。" * 500
    ids = tokenizer.encode(text)
    assert tokenizer.stable_length(text, ids) == len(ids) - len(tokenizer.encode("。"))


def test_the_pre_tokenizers_that_the_formats_let_through_are_implemented() -> None:
    """Those and no others."""
    assert RULES.keys() == PRE_TOKENIZERS


def test_an_unknown_pre_tokenizer_is_refused() -> None:
    """A guess would silently split text in another way than the model's training did."""
    data = replace(tiny_byte_level_vocabulary(), pre_tokenizer="mpt")
    with pytest.raises(UnsupportedModelError, match="'mpt'; known are gpt-2, smollm"):
        ByteLevelBpe(data)


@pytest.mark.parametrize("token", ["a b", "▁def", "", "\xad"])
def test_a_token_that_is_no_bytes_is_refused(token: str) -> None:
    """Tokens are written in the byte alphabet; a raw space, for one, is not in it."""
    data = tiny_byte_level_vocabulary()
    with pytest.raises(UnsupportedModelError, match="cannot be mapped to bytes"):
        ByteLevelBpe(replace(data, tokens=(*data.tokens, token)))


def test_a_merge_that_makes_a_special_token_is_refused() -> None:
    """User text could reach it."""
    data = tiny_byte_level_vocabulary()
    left, right = data.merges[-1]
    special = data.special | {data.tokens.index(left + right)}
    with pytest.raises(UnsupportedModelError, match="missing or special"):
        ByteLevelBpe(replace(data, special=special))
