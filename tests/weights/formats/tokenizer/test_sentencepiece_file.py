"""tokenizer.model, read and written again."""

from __future__ import annotations

from contextlib import suppress

import pytest
import sentencepiece
from tiny_tokenizers import code_llama_sentencepiece, piece_field, train_sentencepiece

from midfill.weights.errors import CorruptModelError
from midfill.weights.formats.tokenizer.sentencepiece_file import (
    open_processor,
    read_model,
    serialize,
)


def test_the_file_written_again_differs_in_what_was_asked_only() -> None:
    """The library reads it, sees the new control pieces, and adds no dummy space."""
    serialized = code_llama_sentencepiece(full_size=True)
    before = sentencepiece.SentencePieceProcessor(model_proto=serialized)
    changed = frozenset({500, 32007})
    again = serialize(read_model(serialized), changed)
    after = sentencepiece.SentencePieceProcessor(model_proto=again)
    assert len(after) == len(before) == 32016
    for i in range(len(after)):
        assert after.id_to_piece(i) == before.id_to_piece(i)
        assert after.get_score(i) == before.get_score(i)
        assert after.is_control(i) == (before.is_control(i) or i in changed)
    assert after.encode(" x") == before.encode("x")


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
        piece_field("<0x7>", piece_type=6),
        piece_field("<0x{A>", piece_type=6),
    ],
)
def test_a_broken_file_is_named_as_such(broken: bytes) -> None:
    """Empty, cut off, of a wire type no longer in use, pieces without text, bytes that are none."""
    with pytest.raises(CorruptModelError, match=r"SentencePiece model .* is broken"):
        read_model(broken)


def test_what_the_library_refuses_is_named_as_such() -> None:
    """It finds more than we do: here two equal pieces."""
    serialized = train_sentencepiece() + piece_field("same") * 2
    with pytest.raises(CorruptModelError, match="same"):
        open_processor(serialized)


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
