"""Docstrings that stand alone, and rooms that say what they are for."""

from __future__ import annotations

import ast
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from repository import PACKAGES
from source_tree import parsed, product_sources, python_sources, sentences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from source_tree import Sources

LEANING = ("Of ", "To ")
"""What a docstring does not begin with: it would need the line above to be understood."""


def leaning(sources: Sources) -> dict[str, list[str]]:
    """Docstrings of modules, classes, functions and attributes that begin like that, by file."""
    found = defaultdict(list)
    for name, text in sources.items():
        for line, docstring in docstrings(parsed(text)):
            if docstring.lstrip().startswith(LEANING):
                found[name].append(f"{line}: {docstring.strip()[:40]}")
    return found


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every text that is a statement of its own, with its line."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text


def silent(sources: Sources) -> dict[str, str]:
    """Rooms whose ``__init__`` has less than two sentences to say, and what it says.

    A room is a folder with Python files inside a package.
    """
    folders = {name.rpartition("/")[0] for name in sources}
    said = {}
    for room in sorted(folder for folder in folders if "/" in folder):
        text = sources.get(f"{room}/__init__.py", "")
        said[room] = ast.get_docstring(parsed(text)) or ""
    return {room: words for room, words in said.items() if len(sentences(words)) < 2}


def test_docstrings_begin_with_a_noun_or_a_verb() -> None:
    """All Python of the repository, tests too."""
    assert leaning(python_sources()) == {}


@pytest.mark.parametrize(
    "text",
    [
        '"""Of files."""\n',
        'X = 1\n"""Of files."""\n',
        'X: int = 1\n"""To be read."""\n',
        'class A:\n    """Of files."""\n',
        'class A:\n    def __init__(self):\n        self.x = 1\n        """Of files."""\n',
        'async def f():\n    """\n    To be read."""\n',
    ],
)
def test_a_docstring_that_leans_on_the_line_above_is_found(text: str) -> None:
    """Whatever it is about."""
    (found,) = leaning({"tests/a.py": text})["tests/a.py"]
    assert "files" in found or "read" in found


def test_other_texts_may_begin_as_they_like() -> None:
    """Those that are values, and words that only begin with the same letters."""
    text = '"""Often."""\nX = "Of files"\nf("""To be""")\ndef f():\n    """Total."""\n'
    assert leaning({"engine/a.py": text}) == {}


def test_every_room_says_what_it_answers_and_what_it_may_import() -> None:
    """Two sentences at least."""
    rooms = {name.rpartition("/")[0] for name in product_sources()}
    assert len(rooms) > 2 * len(PACKAGES)
    assert silent(product_sources()) == {}


def test_a_room_that_says_little_is_found() -> None:
    """Or nothing; the packages themselves are floors."""
    files = {
        "engine/__init__.py": "",
        "engine/full/__init__.py": '"""What a room has. It imports\nno other room."""\n',
        "engine/full/a.py": "",
        "engine/half/__init__.py": '"""What is in 0.5 of it, e.g.this."""\n',
        "engine/none/__init__.py": "X = 1\n",
        "engine/lost/a.py": '"""One. Two."""\n',
    }
    assert silent(files).keys() == {"engine/half", "engine/none", "engine/lost"}
