"""How well a suffix would follow: which of its tokens are asked about, and what is made of it."""

from __future__ import annotations

import pytest
from tiny_engine import ScriptedModel, new_slot
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill.engine.model.token_tree import SlotText
from midfill.engine.stopping.suffix_fit import (
    FIT_TOKENS,
    EndEvidence,
    EndWeights,
    SuffixFit,
    read_evidence,
)
from midfill.engine.tokens.tokenizer import open_tokenizer

TOKENIZER = open_tokenizer(tiny_byte_level_vocabulary())


@pytest.mark.parametrize(
    ("suffix", "is_whole_line", "text"),
    [
        ("\n  b\nc", False, "\n  b"),
        ("\n\n  b\nc", False, "\n\n  b"),
        ("  b\nc", True, "\n  b"),
        (")\nc", False, ""),
        (" \n\n", False, ""),
        ("", False, ""),
    ],
)
def test_the_suffix_is_asked_about_up_to_its_first_line(
    suffix: str, is_whole_line: bool, text: str
) -> None:
    """Nothing is, where it goes on in the cursor's line or is blank."""
    fit = SuffixFit(TOKENIZER, suffix, is_whole_line=is_whole_line)

    assert fit.ids(behind_line_end=False) == TOKENIZER.encode(text)[:FIT_TOKENS]
    assert fit.ids(behind_line_end=True) == TOKENIZER.encode(text[1:])[:FIT_TOKENS]


@pytest.mark.parametrize(("asked", "expected"), [([7, 8], 0.0), ([7, 9], -10.0)])
def test_the_gap_is_that_of_the_token_that_fits_least(asked: list[int], expected: float) -> None:
    """And the sequence stays as it was."""
    model, slot = ScriptedModel([7, 8]), new_slot()
    hidden = model.forward([5], slot)
    slot.prompt_length = 1
    logits = model.logits(hidden * 0)[0]

    evidence = read_evidence(SlotText(model, slot), logits, asked, {9})  # type: ignore[arg-type]

    assert evidence.gap == pytest.approx(expected)
    assert evidence.end == pytest.approx(float(logits.log_softmax(0)[9]))
    assert slot.ids.tolist() == [5]


def test_the_odds_are_a_weighted_sum() -> None:
    """Evidence of both kinds counts, and a constant."""
    assert EndWeights(1.0, 0.5, 0.25).log_odds(EndEvidence(-2.0, -4.0)) == pytest.approx(-1.0)
