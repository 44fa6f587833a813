"""A file with a hole, parsed by tree-sitter; and again, as fast, with a text in the hole."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Parser, Tree

WINDOW = 20_000
"""Characters on each side of the hole that are parsed, at most."""
_UNINDENTED = re.compile(r"^(?=\S)", re.MULTILINE)


class ParsedFile:
    """What the grammar cannot read of a file, whatever is in its hole.

    Args:
        parser: For the file's language.
        prefix: Everything before the hole.
        suffix: Everything after it.
    """

    def __init__(self, parser: Parser, prefix: str, suffix: str) -> None:
        start = _line_start_near(prefix, len(prefix) - WINDOW)
        end = _line_start_near(suffix, WINDOW) if len(suffix) > WINDOW else None
        self._parser = parser
        self._before = prefix[start:].encode("utf-8", "replace")
        self._behind = suffix[:end].encode("utf-8", "replace")
        self._tree = parser.parse(self._before + self._behind)

    @cached_property
    def errors(self) -> int:
        """Those with nothing in the hole."""
        return _errors(self._tree)

    @cached_property
    def errors_of_rest(self) -> int:
        """Those without the line of the hole."""
        start = self._before.rfind(b"\n") + 1
        end = self._behind.find(b"\n")
        end = len(self._behind) if end < 0 else end + 1
        return _errors(self._parse(start, len(self._before) + end, b""))

    def errors_with(self, text: str) -> int:
        """Those with a text in the hole."""
        hole = len(self._before)
        return _errors(self._parse(hole, hole, text.encode("utf-8", "replace")))

    def _parse(self, start: int, end: int, text: bytes) -> Tree:
        """The file with these bytes of it replaced."""
        before = self._before + self._behind
        tree = self._tree.copy()
        behind = start + len(text)
        after = before[:start] + text + before[end:]
        tree.edit(
            start, end, behind, _point(before, start), _point(before, end), _point(after, behind)
        )
        return self._parser.parse(after, tree)


def _point(text: bytes, offset: int) -> tuple[int, int]:
    """Line and column of a byte, from 0."""
    return text.count(b"\n", 0, offset), offset - (text.rfind(b"\n", 0, offset) + 1)


def _line_start_near(text: str, place: int) -> int:
    """The first start of a line at or behind a place, one without indentation if there is one."""
    if place <= 0:
        return 0
    found = _UNINDENTED.search(text, place)
    return found.start() if found else text.find("\n", place) + 1 or place


def _errors(tree: Tree) -> int:
    """Nodes that the grammar could not read, or had to make up."""
    found, nodes = 0, [tree.root_node]
    while nodes:
        node = nodes.pop()
        if node.has_error:
            found += node.is_error or node.is_missing
            nodes.extend(node.children)
    return found
