"""Places where completing a repository's Python file takes knowledge of its other files.

A *point* is a line that takes something from a name which the file imports from another file of the
repository: it calls the name, or takes an attribute of it. That use stands nowhere else in the
file, so the file itself does not answer it. Two kinds of middles:

- ``line``: the whole statement's line, the cursor behind its indentation;
- ``span``: from the name's first character to the end of the line.

Sources: CrossCodeEval (Ding et al. 2023, section 2.2) takes what no longer resolves once the
imported names are empty classes, so members and not mere mentions; RepoBench (Liu et al. 2024,
section 3) takes a cross-file name's first use, which nothing above it in the file shows. With a
cursor that sees what follows as well, "nowhere else" takes the place of "not above".
"""

from __future__ import annotations

import ast
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE, SPAN = "line", "span"
SHORTEST, LONGEST = 8, 120
"""Characters of a line's code."""


@dataclass(frozen=True, slots=True)
class Point:
    """A hole in a file of a repository."""

    root: Path
    """The repository's top."""
    path: Path
    kind: str
    start: int
    end: int
    """Offsets into the file's text; the end is a line's."""
    text: str
    """The whole file's text."""
    name: str
    """The imported one that is used."""

    @property
    def middle(self) -> str:
        """What stands there."""
        return self.text[self.start : self.end]


def choose_points(root: Path, count: int, seed: int) -> list[Point]:
    """The points of so many lines, drawn by the seed, in the order of files and places.

    The two points of a line follow each other: their prompts have nearly all in common.

    Raises:
        InvalidRequestError: there is none.
    """
    files = [f for f in sorted(root.rglob("*.py")) if not _is_hidden(f.relative_to(root))]
    found = [point for file in files for point in points_of(file, root)]
    places = [(point.path, point.end) for point in found if point.kind == LINE]
    if not places:
        raise InvalidRequestError(
            f"{root} has no line that calls, or takes an attribute of, a name of another of its"
            " Python files and is alone with it in its file: name the top of a repository"
        )
    draw = random.Random(seed)  # noqa: S311  drawn, not secret
    drawn = set(draw.sample(places, min(count, len(places))))
    return [point for point in found if (point.path, point.end) in drawn]


def _is_hidden(path: Path) -> bool:
    """Whether a file is in an environment, a repository's own folder, or the like."""
    return any(part.startswith(".") or part == "site-packages" for part in path.parts)


def points_of(file: Path, root: Path) -> Iterator[Point]:
    """The points of one file, one or two of a line; none if the file is broken."""
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return
    if not text.isascii() or "\r" in text or "\f" in text:
        return  # columns of ast are bytes, and lines are ours
    names = imported_names(tree, file, root)
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    seen: set[int] = set()
    for node, use in _uses(tree, names):
        start, end = starts[node.lineno - 1], starts[node.lineno] - 1
        code = text[start:end].strip()
        if node.lineno in seen or not SHORTEST <= len(code) <= LONGEST:
            continue
        if use.search(text[:start]) or use.search(text[end:]):
            continue
        seen.add(node.lineno)
        indent = len(text[start:end]) - len(text[start:end].lstrip())
        yield Point(root, file, LINE, start + indent, end, text, node.id)
        if node.col_offset > indent:
            yield Point(root, file, SPAN, start + node.col_offset, end, text, node.id)


def imported_names(tree: ast.Module, file: Path, root: Path) -> frozenset[str]:
    """The names that a file imports from other files below the root."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module or "", node.level, file, root):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            ours = [alias for alias in node.names if _is_ours(alias.name, 0, file, root)]
            names |= {alias.asname or alias.name.partition(".")[0] for alias in ours}
    return frozenset(names - {"*"})


def _is_ours(module: str, level: int, file: Path, root: Path) -> bool:
    """Whether a module is a file or a folder below the root, and not this file."""
    above = file.parents[level - 1] if level else None
    bases = [above] if above else [root, root / "src", file.parent]
    for base in bases:
        target = base.joinpath(*module.split(".")) if module else base
        found = target.is_dir() or target.with_suffix(".py").is_file()
        if found and target.is_relative_to(root) and target.with_suffix(".py") != file:
            return True
    return False


def _uses(tree: ast.Module, names: frozenset[str]) -> Iterator[tuple[ast.Name, re.Pattern[str]]]:
    """Calls and attributes of the names, in the order of the text, and how each is written."""
    found: list[tuple[ast.Name, re.Pattern[str]]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) as used) if name in names:
                found.append((used, re.compile(rf"(?<![\w.]){name}\s*\(")))
            case ast.Attribute(value=ast.Name(id=name) as used, attr=attr) if name in names:
                found.append((used, re.compile(rf"(?<![\w.]){name}\s*\.\s*{attr}\b")))
    yield from sorted(found, key=lambda use: (use[0].lineno, use[0].col_offset))
