"""SentencePiece as Code Llama has it: infilling pieces, the dummy space, what is refused."""

from __future__ import annotations

import pytest
import sentencepiece
from code_texts import code_texts
from hypothesis import given
from tiny_tokenizers import (
    CODE_LLAMA_PIECES,
    code_llama_sentencepiece,
    code_llama_tokenizer_data,
    piece_field,
    train_sentencepiece,
)

from midfill.engine.tokens.sentencepiece import SentencePieceTokenizer
from midfill.weights.architecture import SentencePieceModel
from midfill.weights.errors import UnsupportedModelError

NORMALIZER_SPEC = 0x1A  # its tag in the file: field 3, with a length
DO_NOT_ESCAPE = b"\x28\x00"
USER_DEFINED, UNUSED = 4, 5


@pytest.fixture(scope="module")
def tokenizer() -> SentencePieceTokenizer:
    """About 1,000 pieces, the infilling ones among the last."""
    return SentencePieceTokenizer(code_llama_tokenizer_data())


@pytest.fixture(scope="module")
def library() -> sentencepiece.SentencePieceProcessor:
    """The same file in the library's own hands."""
    return sentencepiece.SentencePieceProcessor(model_proto=code_llama_sentencepiece())


def opened(serialized: bytes) -> SentencePieceTokenizer:
    """A tokenizer from these bytes."""
    return SentencePieceTokenizer(SentencePieceModel(serialized, 1, frozenset({2})))


def spelled(tokenizer: SentencePieceTokenizer, ids: list[int]) -> list[bytes]:
    """The bytes of each token."""
    return [tokenizer.token_bytes(i) for i in ids]


def test_the_infilling_pieces_of_the_full_vocabulary_have_code_llamas_ids() -> None:
    """Roziere et al. 2023; ids from the reference's tokenizer.model."""
    tokenizer = SentencePieceTokenizer(code_llama_tokenizer_data(full_size=True))
    markers = [tokenizer.special_id(f"▁<{name}>") for name in ("PRE", "SUF", "MID", "EOT")]
    assert markers == [32007, 32008, 32009, 32010]
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_ids) == (32016, 1, {2})
    assert {0, 1, 2, *range(32007, 32016)} == tokenizer.special_ids


def test_typed_markers_are_text_although_the_library_would_match_them(
    tokenizer: SentencePieceTokenizer, library: sentencepiece.SentencePieceProcessor
) -> None:
    """In Code Llama's file they are ordinary pieces, which any text may be encoded to."""
    for marker in ("<PRE>", "<SUF>", "<MID>", "<EOT>"):
        assert tokenizer.special_id(f"▁{marker}") in library.encode(f"x {marker}")
        ids = tokenizer.encode(f"x {marker}")
        assert tokenizer.special_ids.isdisjoint(ids)
        assert b"".join(spelled(tokenizer, ids)) == f" x {marker}".encode()


def test_the_steps_to_a_marker_stay_plain_pieces(tokenizer: SentencePieceTokenizer) -> None:
    """``▁<PRE`` is the start of many a tag; only the finished marker is special."""
    assert b" <PRE" in spelled(tokenizer, tokenizer.encode("x <PRE>"))
    assert all(tokenizer.special_id(piece) is None for piece in CODE_LLAMA_PIECES[:7])


def without_traps(text: str) -> str:
    """The text without what midfill encodes differently from the library, on purpose."""
    return text.replace("▁", "_").replace("<", "(")


@given(text=code_texts())
def test_ids_are_the_librarys(
    tokenizer: SentencePieceTokenizer, library: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    """With the dummy space, which the library puts in front by itself."""
    plain = without_traps(text)
    assert tokenizer.encode(plain) == library.encode(plain)


@given(text=code_texts())
def test_without_leading_space_ids_are_those_of_code_llamas_reference(
    tokenizer: SentencePieceTokenizer, library: sentencepiece.SentencePieceProcessor, text: str
) -> None:
    """It encodes a "☺" in front and drops its tokens: two in the original vocabulary."""
    plain = without_traps(text)
    sentinel = library.encode("☺")
    reference = library.encode("☺" + plain)
    assert reference[: len(sentinel)] == sentinel
    assert tokenizer.encode(plain, leading_space=False) == reference[len(sentinel) :]


def test_a_typed_space_symbol_is_not_a_space(
    tokenizer: SentencePieceTokenizer, library: sentencepiece.SentencePieceProcessor
) -> None:
    """The library reads U+2581 as a space, so that the user's text would change."""
    assert library.encode("a▁b") == library.encode("a b")
    ids = tokenizer.encode("a▁b", leading_space=False)
    assert spelled(tokenizer, ids) == [b"a", b"\xe2", b"\x96", b"\x81", b"b"]


@pytest.mark.parametrize(
    ("text", "stable"),
    [
        ("pri", b""),
        ("x = pri", b" x ="),
        ("x = pri ", b" x = pri"),
        ("foo:\n", b" foo:\n"),
        ("foo:\n    ", b" foo:\n"),
        ("foo\r\n", b" foo\r\n"),
        ("\n", b" \n"),
        ("12", b" 12"),
        ("日本🚀", " 日本🚀".encode()),
        ("x▁", " x▁".encode()),
    ],
)
def test_tokens_before_the_last_seam_are_stable(
    tokenizer: SentencePieceTokenizer, text: str, stable: bytes
) -> None:
    """A seam is where two characters meet that no piece joins: before a word, around a line end."""
    ids = tokenizer.encode(text)
    assert b"".join(spelled(tokenizer, ids[: tokenizer.stable_length(text, ids)])) == stable


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "unigram"}, "not of type BPE"),
        ({"byte_fallback": False}, "no byte fallback"),
        ({"normalization_rule_name": "nmt_nfkc"}, "maps characters"),
        ({"remove_extra_whitespaces": True}, "removes extra whitespace"),
        ({"treat_whitespace_as_suffix": True}, "whitespace as a suffix"),
    ],
)
def test_a_model_that_would_change_text_is_refused(
    settings: dict[str, object], message: str
) -> None:
    """Each is a setting that SentencePiece offers and Llama does not use."""
    with pytest.raises(UnsupportedModelError, match=message):
        opened(train_sentencepiece(**settings))


def test_unescaped_whitespace_and_unused_pieces_are_refused() -> None:
    """Neither can be had by training."""
    model = train_sentencepiece()
    with pytest.raises(UnsupportedModelError, match="does not escape whitespace"):
        opened(model + bytes([NORMALIZER_SPEC, len(DO_NOT_ESCAPE)]) + DO_NOT_ESCAPE)
    with pytest.raises(UnsupportedModelError, match=r"unused pieces such as .*zzz"):
        opened(model + piece_field("zzz", piece_type=UNUSED))


def test_a_model_without_a_piece_for_a_space_is_refused() -> None:
    """The library would spell U+2581 by bytes instead, which is another text."""
    model, piece = train_sentencepiece(), b"\x0a\x03%s\x15"
    without = model.replace(piece % "▁".encode(), piece % "▂".encode())
    assert without != model
    with pytest.raises(UnsupportedModelError, match="no piece for a space"):
        opened(without)


def test_markers_that_are_user_defined_are_still_special() -> None:
    """Whatever their type in the file: a converted one may say so."""
    model = train_sentencepiece() + piece_field("▁<PRE>", piece_type=USER_DEFINED)
    tokenizer = opened(model)
    assert tokenizer.special_id("▁<PRE>") == 1000
    assert 1000 not in tokenizer.encode("x <PRE>")


def test_a_model_without_dummy_space_gets_none() -> None:
    """Then a text's start is like any other place."""
    tokenizer = opened(train_sentencepiece(add_dummy_prefix=False))
    assert tokenizer.encode("def") == tokenizer.encode("def", leading_space=False)
