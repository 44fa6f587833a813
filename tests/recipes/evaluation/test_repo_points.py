"""Points: lines that take something from another file, which their own file does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from midfill.recipes.evaluation.repo_points import LINE, SPAN, choose_points, points_of

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = "PI = 3\n\n\ndef area_of(width, height):\n    return width * height\n"


def middles(tmp_path: Path, code: str, kind: str = LINE) -> list[str]:
    """The middles of the points in a file of that code, beside a module ``shapes``."""
    (tmp_path / "shapes.py").write_text(SHAPES, encoding="utf-8")
    file = tmp_path / "main.py"
    file.write_text(code, encoding="utf-8")
    return [point.middle for point in points_of(file, tmp_path) if point.kind == kind]


def test_a_call_of_an_imported_name_is_a_point(tmp_path: Path) -> None:
    """As the whole line, and from the name on; the import is none, nor is the library."""
    code = (
        "import os\nfrom shapes import area_of\n\n\ndef f(w):\n"
        "    size = area_of(w, 2)\n    return size + len(os.sep)\n"
    )
    assert middles(tmp_path, code) == ["size = area_of(w, 2)"]
    assert middles(tmp_path, code, SPAN) == ["area_of(w, 2)"]


def test_an_attribute_of_an_imported_module_is_a_point(tmp_path: Path) -> None:
    """Called or not; a line that begins with it has no span of its own."""
    code = "import shapes\n\nround_ = 2 * shapes.PI\nshapes.area_of(1, 2)\n"
    assert middles(tmp_path, code) == ["round_ = 2 * shapes.PI", "shapes.area_of(1, 2)"]
    assert middles(tmp_path, code, SPAN) == ["shapes.PI"]


@pytest.mark.parametrize(
    "line", ["shown = area_of, PI", "except area_of:", "class Area(area_of): pass"]
)
def test_a_mere_mention_is_none(tmp_path: Path, line: str) -> None:
    """The import line says all that it needs."""
    before = "try:\n    pass\n" if line.startswith("except") else ""
    code = f"from shapes import area_of, PI\n{before}{line}{' pass' if before else ''}\n"
    assert middles(tmp_path, code) == []


@pytest.mark.parametrize("other", ["first = area_of (3, 4)", "print(area_of(5, 6))"])
def test_a_use_that_the_file_shows_elsewhere_is_none(tmp_path: Path, other: str) -> None:
    """Before or behind: the cursor sees both."""
    code = f"from shapes import area_of\n{other}\nsecond = area_of(1, 2)\n"
    assert middles(tmp_path, code) == []


def test_other_attributes_and_longer_names_are_other_uses(tmp_path: Path) -> None:
    """``shapes.PI`` does not say what ``shapes.area_of`` needs."""
    code = "import shapes\nfirst = shapes.PI\nmy_shapes = shapes.area_of(1, 2)\nx.shapes.PI\n"
    assert middles(tmp_path, code) == ["first = shapes.PI", "my_shapes = shapes.area_of(1, 2)"]


def test_the_seed_draws_lines_and_both_of_their_points_come(tmp_path: Path) -> None:
    """In the order of the text."""
    code = "import shapes\n" + "".join(f"value_{n} = shapes.name_{n}\n" for n in range(9))
    middles(tmp_path, code)
    points = choose_points(tmp_path, 3, seed=1)
    assert [point.kind for point in points] == [LINE, SPAN] * 3
    assert [point.start for point in points] == sorted(point.start for point in points)
    assert points == choose_points(tmp_path, 3, seed=1)
    assert points != choose_points(tmp_path, 3, seed=2)
