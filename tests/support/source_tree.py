"""The repository's own files as texts, for the rules that keep the house.

A rule takes texts by name, as from ``python_sources``, so that a test can show it a made-up tree.
"""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, TypeAlias

from repository import PACKAGES, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

Sources: TypeAlias = "Mapping[str, str]"
"""The texts of files by their names, which are paths in the repository with slashes."""

_SENTENCE_END = re.compile(r"(?<=[.!?])[)`'\"*]*\s+(?=\S)")


def project_files() -> list[Path]:
    """Every file that git tracks or would track, and that is there."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    """The text of any file; what is not UTF-8 in it is replaced."""
    return path.read_bytes().decode("utf-8", errors="replace")


@cache
def python_sources() -> Sources:
    """All Python of the repository; examples with holes, which are data, are left out."""
    return {
        name: text_of(path)
        for path in project_files()
        if path.suffix == ".py" and not (name := name_of(path)).startswith("docs/")
    }


@cache
def product_sources() -> Sources:
    """The Python of the packages."""
    return {name: text for name, text in python_sources().items() if name.split("/")[0] in PACKAGES}


def name_of(path: Path) -> str:
    """A path in the repository, with slashes."""
    return path.relative_to(ROOT).as_posix()


def classes(sources: Sources) -> Iterator[tuple[str, ast.ClassDef]]:
    """Every class with its file's name, classes inside others too."""
    for name, text in sources.items():
        for node in ast.walk(parsed(text)):
            if isinstance(node, ast.ClassDef):
                yield name, node


@cache
def parsed(text: str) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(text)


def sentences(text: str) -> list[str]:
    """The sentences of plain text."""
    return [sentence for sentence in _SENTENCE_END.split(text.strip()) if sentence]


def find_circle(follows: Mapping[str, Iterable[str]]) -> list[str]:
    """Some files that need each other in a circle, the first one again at the end; or none."""
    try:
        TopologicalSorter(follows).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []
