"""tokenizer.model, read without the protobuf package, compared with the library's own view."""

from __future__ import annotations

from contextlib import suppress

import pytest
import sentencepiece
from tiny_tokenizers import code_llama_sentencepiece, train_sentencepiece

from midfill.engine.sentencepiece_model import PieceType, read_model
from midfill.weights.errors import CorruptModelError


def test_pieces_are_those_the_library_sees() -> None:
    """All texts, and each kind."""
    serialized = code_llama_sentencepiece()
    library = sentencepiece.SentencePieceProcessor(model_proto=serialized)
    pieces = read_model(serialized).pieces
    assert [p.text for p in pieces] == [library.id_to_piece(i) for i in range(len(library))]
    kinds = {
        PieceType.CONTROL: library.is_control,
        PieceType.UNKNOWN: library.is_unknown,
        PieceType.BYTE: library.is_byte,
        PieceType.UNUSED: library.is_unused,
    }
    for kind, is_kind in kinds.items():
        assert [p.type == kind for p in pieces] == [is_kind(i) for i in range(len(pieces))]


def test_llamas_settings_are_read() -> None:
    """Those that the training was given."""
    model = read_model(train_sentencepiece())
    assert (model.is_bpe, model.byte_fallback, model.adds_dummy_space) == (True, True, True)
    assert (model.escapes_whitespace, model.whitespace_is_suffix) == (True, False)
    assert (model.maps_characters, model.removes_whitespace) == (False, False)


def test_other_settings_are_read() -> None:
    """So that they can be refused."""
    model = read_model(
        train_sentencepiece(
            model_type="unigram",
            byte_fallback=False,
            normalization_rule_name="nmt_nfkc",
            remove_extra_whitespaces=True,
            treat_whitespace_as_suffix=True,
            add_dummy_prefix=False,
        )
    )
    assert (model.is_bpe, model.byte_fallback, model.adds_dummy_space) == (False, False, False)
    assert (model.maps_characters, model.removes_whitespace) == (True, True)
    assert model.whitespace_is_suffix


def test_the_file_written_again_differs_in_what_was_asked_only() -> None:
    """The library reads it, sees the new control pieces, and adds no dummy space."""
    serialized = code_llama_sentencepiece(full_size=True)
    before = sentencepiece.SentencePieceProcessor(model_proto=serialized)
    changed = frozenset({500, 32007})
    again = read_model(serialized).serialize(changed)
    after = sentencepiece.SentencePieceProcessor(model_proto=again)
    assert len(after) == len(before) == 32016
    for i in range(len(after)):
        assert after.id_to_piece(i) == before.id_to_piece(i)
        assert after.get_score(i) == before.get_score(i)
        assert after.is_control(i) == (before.is_control(i) or i in changed)
    assert after.encode(" x") == before.encode("x")


def test_long_pieces_are_read_and_written() -> None:
    """Lengths over 127 take two bytes; a score is optional."""
    field = b"\x0a\x84\x01" + b"\x0a\x81\x01" + b"x" * 129
    model = read_model(train_sentencepiece() + field)
    assert (model.pieces[-1].text, model.pieces[-1].type) == ("x" * 129, PieceType.NORMAL)
    assert field in model.serialize(frozenset())


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"\x0a",
        b"\x0a\x05\x0a\x01",
        b"\x0a\x02\x0a\x00\x80",
        b"\x0f",
        b"\x0a\x02\x18\x01",
        b"\x0a\x03\x0a\x01\xff",
        b"not a model",
    ],
)
def test_a_broken_file_is_named_as_such(broken: bytes) -> None:
    """Empty, cut off, of a wire type that is no longer in use, or with pieces without text."""
    with pytest.raises(CorruptModelError, match=r"SentencePiece model .* is broken"):
        read_model(broken)


def test_a_file_cut_anywhere_is_broken_or_shorter() -> None:
    """No other error; and a cut between two fields leaves a file with fewer pieces."""
    serialized = train_sentencepiece()
    whole = len(read_model(serialized).pieces)
    readable = 0
    for size in range(0, len(serialized) - 1000, 97):
        with suppress(CorruptModelError):
            assert len(read_model(serialized[:size]).pieces) < whole
            readable += 1
    assert readable > 0
