"""A hole of which the text is not kept: it knows the same places again as one with its text."""

from __future__ import annotations

from fakes import origin
from hypothesis import given
from hypothesis import strategies as st

from midfill.lsp_server.completion.filling import Filling, KeptHole
from midfill.lsp_server.text.located import Hole

TEXT = st.text(alphabet="ab\n\N{GRINNING FACE}", max_size=4)


@given(prefix=TEXT, suffix=TEXT, later_prefix=TEXT, later_suffix=TEXT, typed=TEXT)
def test_a_kept_hole_knows_the_same_places_as_a_whole_one(
    prefix: str, suffix: str, later_prefix: str, later_suffix: str, typed: str
) -> None:
    """What was typed since, and whether anything else was."""
    hole = Hole(prefix, suffix)
    kept = KeptHole.of(hole)
    for later in (Hole(later_prefix, later_suffix), Hole(prefix + typed, suffix), hole):
        since = later.typed_since(hole)
        assert kept.leads_to(later) == (since is not None)
        assert kept.is_at(later) == (later == hole)
        assert since is None or kept.typed_length(later) == len(since)
    assert kept.line == prefix.count("\n") + 1


@given(prefix=TEXT, suffix=TEXT, text=TEXT, document=TEXT, typed=TEXT)
def test_a_filling_goes_on_in_the_documents_that_have_its_start(
    prefix: str, suffix: str, text: str, document: str, typed: str
) -> None:
    """As if the text around the hole were compared."""
    hole = Hole(prefix, suffix)
    filling = Filling(origin(), KeptHole.of(hole), text)
    for later in (document, prefix + typed + suffix, prefix + suffix, prefix + text + suffix):
        there = hole.typed_in(later)
        assert filling.goes_on_in(later) == (there is not None and text.startswith(there))


@given(prefix=TEXT, suffix=TEXT, text=TEXT, typed=TEXT)
def test_a_filling_fits_where_its_start_was_typed(
    prefix: str, suffix: str, text: str, typed: str
) -> None:
    """What was typed and what is left are the whole."""
    filling = Filling(origin(), KeptHole.of(Hole(prefix, suffix)), text)
    later = Hole(prefix + typed, suffix)
    assert filling.fits(later) == text.startswith(typed)
    if filling.fits(later):
        assert filling.typed(later) + filling.rest(later) == text
        assert filling.typed(later) == typed
    assert not filling.fits(Hole(prefix + typed, suffix + "x"))
