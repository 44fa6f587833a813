"""What stands around a hole: what closes a line, and what opens a block in vain."""

from __future__ import annotations

import pytest

from midfill.engine.stopping.surroundings import Surroundings


@pytest.mark.parametrize(
    ("prefix", "suffix", "line", "closed"),
    [
        ("foo(", ")\n", ")", True),
        ("foo(", " )\n", "    )", True),
        ("foo(", "]\n", ")", False),
        ("foo(", "\n)\n", "]", False),
        ("if a {\n    ", "\n}\n", "}", True),
        ("if a {\n    ", "\n}\n", "    }", False),  # the one below is further out
        ("if a {\n    ", "", "}", False),
        ("if a\n    ", "\nend\n", "end;", True),
        ("if a\n    ", "\nend\n", "fi", False),
        ("if a\n    ", "", "X", False),
    ],
)
def test_a_line_is_closed_by_the_rest_of_its_own_or_by_what_follows(
    prefix: str, suffix: str, line: str, closed: bool
) -> None:
    """Brackets and words; deep enough below."""
    assert Surroundings.of(prefix, suffix).close(line) is closed


@pytest.mark.parametrize(
    ("prefix", "suffix", "written", "in_vain"),
    [
        ("", "\nc = 3\n", "if a:", True),
        ("", "\n    c = 3\n", "if a:", False),
        ("", "", "if a:", True),
        ("", "\nc = 3\n", "if a:\n    b()", False),
        ("if a:\n", "\nc = 3\n", "", True),
        ("if a:\n", "\n    c = 3\n", "\n", False),
    ],
)
def test_a_line_opens_a_block_in_vain_unless_a_deeper_one_fills_it(
    prefix: str, suffix: str, written: str, in_vain: bool
) -> None:
    """The last one written, or the one above the hole."""
    assert Surroundings.of(prefix, suffix).opens_in_vain(written) is in_vain
