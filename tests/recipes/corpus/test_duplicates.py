"""A document is taken once, and so is one that is nearly the same."""

from __future__ import annotations

from midfill.recipes.corpus.duplicates import Seen

WORDS = [f"word{number}" for number in range(400)]


def test_the_first_of_two_equal_documents_is_new() -> None:
    """White space and punctuation make no difference."""
    seen = Seen(seed=0)
    assert seen.fault(" ".join(WORDS)) is None
    assert seen.fault("\n\n".join(WORDS) + ";") == "duplicate"


def test_a_document_with_a_few_other_words_is_a_near_duplicate() -> None:
    """Two of 400 words changed leave 390 of 396 shingles, far above the threshold."""
    seen = Seen(seed=0)
    seen.fault(" ".join(WORDS))
    changed = [*WORDS[:100], "other", *WORDS[101:300], "another", *WORDS[301:]]
    assert seen.fault(" ".join(changed)) == "near duplicate"


def test_documents_that_share_some_words_are_both_kept() -> None:
    """Half of the shingles in common is a Jaccard similarity of a third."""
    seen = Seen(seed=0)
    seen.fault(" ".join(WORDS))
    half = [*WORDS[:200], *(f"new{number}" for number in range(200))]
    assert seen.fault(" ".join(half)) is None


def test_a_document_without_words_is_no_error() -> None:
    """It is new once."""
    seen = Seen(seed=0)
    assert seen.fault("+") is None
    assert seen.fault("-") == "duplicate"
