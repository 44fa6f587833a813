"""Holes: each kind is where it says, and nothing impossible is cut out."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_corpus import tiny_documents

from midfill.recipes.training.holes import KIND_SHARES, LONGEST_MIDDLE, SourceText

SHAPES, _, SCRIPT = (
    (document.text, document.language) for document in tiny_documents() if document.repo == "areas"
)


def holes_of(kind: str, text: str = SHAPES[0], language: str = "python") -> list[tuple[str, str]]:
    """Some holes of a kind: the text before and in each."""
    source, rng = SourceText(text, language), Random(1)
    found = [hole for _ in range(600) if (hole := source.hole(rng)) and hole.kind == kind]
    assert found, f"600 draws gave no {kind!r}"
    return [(text[: hole.start], text[hole.start : hole.end]) for hole in found]


@given(
    st.text(st.characters(codec="utf-8") | st.sampled_from("\n\n  ab(){}:"), max_size=300),
    st.sampled_from(["python", "javascript", "c", "plaintext"]),
    st.integers(0, 1000),
)
def test_a_hole_lies_in_its_text_and_has_something_in_it(
    text: str, language: str, seed: int
) -> None:
    """Whatever the text is."""
    hole = SourceText(text, language).hole(Random(seed))

    if hole is not None:
        assert 0 <= hole.start < hole.end <= len(text)
        assert text[hole.start : hole.end].strip()
        assert hole.end - hole.start <= LONGEST_MIDDLE
        assert hole.kind in KIND_SHARES


def test_a_blank_text_has_no_hole() -> None:
    """There is nothing to write."""
    assert SourceText("\n \n\t\n", "python").hole(Random(0)) is None


def test_the_rest_of_a_line_starts_inside_it_and_ends_with_it() -> None:
    """Its newline stays."""
    for before, middle in holes_of("rest of line"):
        assert "\n" not in middle
        assert SHAPES[0][len(before) + len(middle)] == "\n"


def test_a_line_is_whole_but_for_its_indentation_and_end() -> None:
    """With its newline or without."""
    for before, middle in holes_of("line"):
        assert not before.rpartition("\n")[2].strip()
        assert middle.removesuffix("\n").count("\n") == 0
        after = SHAPES[0][len(before) + len(middle) :]
        assert middle.endswith("\n") or not after or after[0] == "\n"


def test_several_lines_reach_over_a_line_end_unless_the_text_ends_there() -> None:
    """Blank ones count."""
    for before, middle in holes_of("lines"):
        assert "\n" in middle or before + middle == SHAPES[0].removesuffix("\n")


def test_a_word_hole_starts_inside_a_word() -> None:
    """As a cursor does while somebody types."""
    for before, middle in holes_of("word"):
        assert before[-1].isidentifier()
        assert (before[-1] + middle[0]).isidentifier()


def test_a_body_is_found_by_the_grammar_and_has_no_braces() -> None:
    """JavaScript has braces."""
    bodies = SourceText(*SCRIPT).bodies()

    texts = [SCRIPT[0][start:end] for start, end in bodies]
    assert "return low;" in texts
    assert all(not text.startswith("{") for text in texts)


def test_block_holes_end_where_a_body_ends() -> None:
    """Wherever in it they start."""
    ends = {end for _, end in SourceText(*SHAPES).bodies()}

    assert all(len(before) + len(middle) in ends for before, middle in holes_of("block"))


def test_comments_are_drawn_less_often_than_code() -> None:
    """But they are drawn."""
    text = "# note\nvalue = 1\n" * 50
    middles = [middle for _, middle in holes_of("line", text)]

    comments = sum(middle.lstrip().startswith("#") for middle in middles)
    assert 0 < comments < len(middles) / 2


@pytest.mark.parametrize("language", ["python", "javascript", "typescript", "go", "rust", "java"])
def test_every_grammar_can_be_loaded(language: str) -> None:
    """Its package and function have the names in the table."""
    assert SourceText("{ x }", language).bodies() is not None


def test_bodies_are_not_looked_for_where_offsets_would_be_wrong() -> None:
    """The parser counts bytes."""
    assert SourceText("def f():\n    return 'ä'\n", "python").bodies() == ()
