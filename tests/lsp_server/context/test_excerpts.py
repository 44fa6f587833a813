"""Cuts of files: whole lines, the relevant ones first, never more than allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.lsp_server.context.excerpts import EDIT_MARGIN, LONGEST_LINE, excerpt
from midfill.lsp_server.text.languages import language
from midfill.lsp_server.text.lines import LineRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.lsp_server.text.languages import Language

PYTHON = language("python")


def shown(
    text: str,
    row: Language,
    max_lines: int,
    edited: Sequence[LineRange] = (),
    names: Sequence[str] = (),
    used: Sequence[str] = (),
) -> str:
    """The text of an excerpt."""
    return excerpt(text, row, max_lines, edited, names, used).text


MODULE = """\
\"\"\"About.\"\"\"

import os


def first(a):
    x = 1
    return x


class Second:
    def method(self):
        return 2


def third():
    return 3
"""


def test_a_short_file_is_shown_whole_with_plain_line_ends() -> None:
    """Blank lines at its ends and blanks at the ends of lines go."""
    assert shown("\r\n\n  a  \rb\n\n", PYTHON, 10) == "  a\nb\n"


@pytest.mark.parametrize("text", ["", "\n \n\n"])
def test_a_blank_file_shows_nothing(text: str) -> None:
    """Not even a line end."""
    assert shown(text, PYTHON, 10) == ""


def test_its_lines_are_told() -> None:
    """From the first to the last one that is shown."""
    assert excerpt("\n\nx\ny\n\n", PYTHON, 10).lines == LineRange(2, 4)
    assert excerpt(MODULE, PYTHON, 2, names=("first", "third")).lines == LineRange(5, 16)
    assert excerpt("\n \n", PYTHON, 10).lines == LineRange(0, 0)


def test_of_a_long_file_the_first_lines_of_definitions_are_shown() -> None:
    """Its beginning, if there are none."""
    assert shown(MODULE, PYTHON, 3) == (
        "def first(a):\n# ...\nclass Second:\n# ...\ndef third():\n"
    )
    assert shown("print(1)\nprint(2)\n", PYTHON, 1) == "print(1)\n"


def test_parameters_on_lines_of_their_own_belong_to_the_first_line() -> None:
    """Unless their end is far, or missing."""
    head = "def f(\n    a,\n    b,\n) -> None:\n"
    assert shown(f"import x\n\n{head}    return\n", PYTHON, 4) == head
    assert shown(f"def f(\n{'    a,' * 3}\ndef g():\n    b\n", PYTHON, 2) == (
        "def f(\n# ...\ndef g():\n"
    )


def test_definitions_that_the_current_file_imports_are_shown_in_outline() -> None:
    """A function by its parameters, a class by its members; nothing else is shown then."""
    assert shown(MODULE, PYTHON, 5, names=["third"]) == "def third():\n"
    assert shown(MODULE, PYTHON, 5, names=["Second", "other"]) == (
        "class Second:\n    def method(self):\n"
    )
    long = (
        "class A(\n    B,\n):\n    x: int = 1\n\n    def f(\n        self,\n    ):\n        y = 2\n"
    )
    assert shown(long + "\n" * 9, PYTHON, 8, names=["A"]) == (
        "class A(\n    B,\n):\n    x: int = 1\n# ...\n    def f(\n        self,\n    ):\n"
    )


def test_uses_come_behind_the_definitions_of_the_same_names() -> None:
    """And before definitions that are wanted less."""
    text = f"{MODULE}\n\nif first:\n    first(2)\n"
    everything = ["second", "first", "third"]
    assert shown(text, PYTHON, 9, names=everything, used=["first"]) == (
        "def first(a):\n# ...\ndef third():\n# ...\nif first:\n    first(2)\n"
    )
    assert shown(text, PYTHON, 3, names=everything, used=["first"]) == (
        "def first(a):\n# ...\nif first:\n    first(2)\n"
    )


def test_the_surroundings_of_the_last_edit_come_before_all() -> None:
    """Then those of earlier edits."""
    text = "".join(f"line {n}\n" for n in range(200))
    margin = EDIT_MARGIN
    last = shown(text, PYTHON, 2 * margin + 1, (LineRange(20, 21), LineRange(150, 151)))
    assert last.split("\n")[:-1] == [f"line {n}" for n in range(150 - margin, 151 + margin)]
    both = shown(text, PYTHON, 4 * margin + 2, (LineRange(0, 1), LineRange(199, 200)))
    assert both.startswith("line 0\nline 1\n")
    assert both.endswith("line 199\n")
    assert both.count("# ...") == 1


def test_very_long_lines_are_left_out() -> None:
    """They are data, or written by machines."""
    text = f"a\n{'x' * (LONGEST_LINE + 1)}\nb\n{'y' * LONGEST_LINE}\n"
    assert shown(text, language("c"), 10) == f"a\n// ...\nb\n{'y' * LONGEST_LINE}\n"
    assert shown("x" * 1_000_000, PYTHON, 10) == ""


@given(
    st.lists(st.sampled_from(["def f():", "    x = 1", "", "class C:", "\f", "a\u2028b"])),
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 5))),
)
def test_an_extract_is_made_of_lines_of_the_file_in_order_and_not_too_many(
    lines: list[str], max_lines: int, edits: list[tuple[int, int]]
) -> None:
    """But for the comments where something is left out."""
    edited = [LineRange(start, start + count) for start, count in edits]
    text = shown("\n".join(lines), PYTHON, max_lines, edited, "f", "C")
    kept = [line for line in text.split("\n")[:-1] if line != "# ..."]
    assert len(kept) <= max_lines
    rest = iter(line.rstrip() for line in lines)
    assert all(line in rest for line in kept)
