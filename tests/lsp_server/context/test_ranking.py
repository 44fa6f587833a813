"""Ranking: deterministic, without duplicates, within its limits, in an order that stays."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.api import ContextPiece
from midfill.lsp_server.context.ranking import (
    LEAST_SCORE,
    FoundPiece,
    identifiers,
    in_stable_order,
    ranked,
)
from midfill.lsp_server.settings import ContextSettings

SETTINGS = ContextSettings(max_tokens=100, max_pieces=3)
NEAR = identifiers("alpha beta gamma delta")


def found_piece(path: str, text: str, weight: float = 0.2) -> FoundPiece:
    """A part to rank."""
    return FoundPiece(ContextPiece(path, text), weight)


def paths(found: list[FoundPiece], settings: ContextSettings = SETTINGS) -> list[str]:
    """What is taken, best first."""
    return [piece.path for piece in ranked(found, NEAR, settings)]


def test_weight_and_overlap_with_the_text_around_the_cursor_add_up() -> None:
    """Identifiers have three characters or more, in any script; keywords do not count."""
    assert identifiers("def a bc été x1y 12ab _zz return") == {"été", "x1y", "_zz"}
    found = [
        found_piece("none", "omega"),
        found_piece("some", "alpha omega"),
        found_piece("all", "alpha beta gamma delta"),
        found_piece("heavy", "psi_", 1.3),
    ]
    assert paths(found) == ["heavy", "all", "some"]


def test_of_equals_the_first_path_wins() -> None:
    """Whatever the order in which they were found."""
    found = [found_piece(name, f"text {name * 3}") for name in "bca"]
    assert paths(found) == paths(found[::-1]) == ["a", "b", "c"]


def test_what_has_nothing_in_common_with_the_cursor_needs_a_better_reason() -> None:
    """Its tokens would cost time for nothing."""
    found = [found_piece("far", "omega", LEAST_SCORE - 0.01), found_piece("near", "alpha", 0.01)]
    assert paths(found) == ["near"]


def test_a_new_file_with_no_text_yet_still_has_context() -> None:
    """Overlap is then unknown, not nil."""
    assert ranked([found_piece("a", "omega", 0.08)], frozenset(), SETTINGS)


def test_what_does_not_fit_is_left_out_and_smaller_ones_may_follow() -> None:
    """100 tokens are 400 characters here."""
    found = [
        found_piece("large", "one_\n" * 60, 0.9),
        found_piece("larger", "two_\n" * 60, 0.8),
        found_piece("small", "three\n", 0.7),
        found_piece("small2", "four_\n", 0.6),
        found_piece("small3", "five_\n", 0.5),
    ]
    assert paths(found) == ["large", "small", "small2"]
    assert paths(found, replace(SETTINGS, max_pieces=0)) == []


def test_parts_with_the_same_lines_are_shown_once() -> None:
    """The better one, whatever the indentation and blank lines."""
    body = "".join(f"line_{n}\n" for n in range(10))
    found = [
        found_piece("copy", f"\n    {body}", 0.5),
        found_piece("original", body, 0.6),
        found_piece("part", "line_1\nline_2\nline_3\nline_4\nnew_1\n", 0.4),
        found_piece("other", "line_1\nline_2\nnew_1\nnew_2\nnew_3", 0.3),
    ]
    assert paths(found) == ["original", "other"]


PIECES = [ContextPiece(name, name) for name in "abcdef"]


def test_new_parts_stand_nearest_to_the_prefix_and_known_ones_keep_their_place() -> None:
    """The least relevant of the new ones first."""
    a, b, c, d, e, _ = PIECES
    first = in_stable_order([a, b, c], ())
    assert first == (c, b, a)
    assert in_stable_order([d, a, e, c], first) == (c, a, e, d)
    assert in_stable_order([c, b, a], first) == first


def test_a_part_that_has_changed_moves_to_the_end() -> None:
    """The cache is lost from its old place on anyway; the next change is then a cheap one."""
    a, b, c, *_ = PIECES
    changed = ContextPiece("b", "another text")
    assert in_stable_order([a, changed, c], (c, b, a)) == (c, a, changed)


@given(st.permutations(PIECES).map(lambda p: p[:4]), st.permutations(PIECES).map(lambda p: p[:4]))
def test_the_stable_order_has_exactly_the_chosen_parts(
    shown: list[ContextPiece], chosen: list[ContextPiece]
) -> None:
    """And those shown before in the same order as before."""
    ordered = in_stable_order(chosen, tuple(shown))
    assert sorted(p.path for p in ordered) == sorted(p.path for p in chosen)
    kept = [p for p in shown if p in chosen]
    assert list(ordered[: len(kept)]) == kept
