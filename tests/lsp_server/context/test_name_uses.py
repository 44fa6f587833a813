"""Uses: calls and attributes of names, with what is needed to read them."""

from __future__ import annotations

import pytest

from midfill.lsp_server.context.name_uses import LONGEST_USE, MOST_OF_NAME, call_end, name_uses


def found(text: str, *names: str) -> list[str]:
    """The texts of the uses."""
    lines = text.split("\n")
    return ["\n".join(lines[part.start : part.end]) for part in name_uses(lines, names)]


@pytest.mark.parametrize("use", ["area(3)", "x = [area (w)]", "area.of(1)", "Area::area::new()"])
def test_a_use_calls_the_name_or_takes_something_from_it(use: str) -> None:
    """It is shown with the line before."""
    assert found(f"a = 1\nb = 2\n{use}\nc = 3\n", "area") == [f"b = 2\n{use}"]


@pytest.mark.parametrize(
    "line",
    [
        "from area import (x)",
        "import area.of",
        "def area(width):",
        "    async def area(width):",
        "pub fn area(width: u32) {",
        "class area(Base):",
        "my_area(3)",
        "self.area(3)",
        "area, other",
    ],
)
def test_imports_definitions_and_other_names_are_none(line: str) -> None:
    """Nor is a mention."""
    assert found(f"a = 1\n{line}\n", "area") == []


def test_a_call_is_shown_to_its_end_if_that_is_near() -> None:
    """Else by its first line."""
    near = "area(\n    1,\n    [2],\n)"
    assert found(f"{near}\nx = 1\n", "area") == [near]
    far = "area(\n" + "    1,\n" * LONGEST_USE + ")\n"
    assert found(far, "area") == ["area("]
    assert call_end(["f(", "1"], 0, 9) == 1


def test_first_uses_of_all_names_come_before_second_ones() -> None:
    """And not too many of one."""
    text = "".join(f"area({n})\n" for n in range(9)) + "edge(1)\n"
    shown = found(text, "edge", "area")
    assert shown[:2] == ["area(8)\nedge(1)", "area(0)"]
    assert shown[2:] == [f"area({n})" for n in range(1, MOST_OF_NAME)]
