"""Places where editors ask for a completion, cut out of a source text, drawn at random.

The kinds are those that a cursor meets: the rest of a line, a whole line, several, the body of a
block (found by tree-sitter), text from inside a word on, and any span of characters at all, which
is what Bavarian et al. 2022 (section 3) and the Code Llama paper (section 2.3) train on.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from tree_sitter import Node, Parser

KIND_SHARES = {
    "span": 0.15,
    "rest of line": 0.20,
    "line": 0.25,
    "lines": 0.13,
    "block": 0.12,
    "word": 0.15,
}
"""How often each kind is tried."""
LONGEST_MIDDLE = 600
"""Characters of a middle, at most."""
MOST_LINES = 6
COMMENT_RATE = 0.3
"""The share of the drawn lines of comment that are taken: people ask for code."""
_COMMENTS = ("#", "//", "*", "/*")
_TRIES = 8

_GRAMMARS = {
    "python": ("tree_sitter_python", "language", "block"),
    "javascript": ("tree_sitter_javascript", "language", "statement_block"),
    "typescript": ("tree_sitter_typescript", "language_typescript", "statement_block"),
    "go": ("tree_sitter_go", "language", "block"),
    "rust": ("tree_sitter_rust", "language", "block"),
    "java": ("tree_sitter_java", "language", "block"),
    "c": ("tree_sitter_c", "language", "compound_statement"),
    "cpp": ("tree_sitter_cpp", "language", "compound_statement"),
    "shellscript": ("tree_sitter_bash", "language", "compound_statement"),
}
"""Package, function and the node of a body, by language."""
_WORD = re.compile(r"[A-Za-z_]\w{2,}")


@dataclass(frozen=True, slots=True)
class TrainingHole:
    """A middle: the characters from start to end, exclusive, and why they were chosen."""

    start: int
    end: int
    kind: str


class SourceText:
    """A text in which holes are looked for.

    Args:
        text: Any source text.
        language: An id of LSP; bodies are found in those that have a grammar here.
    """

    def __init__(self, text: str, language: str) -> None:
        self.text = text
        self._language = language
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._bodies: Sequence[tuple[int, int]] | None = None

    def hole(self, rng: Random) -> TrainingHole | None:
        """One hole with something to write in it; None if the text has no room for any."""
        for kind in rng.choices(list(KIND_SHARES), list(KIND_SHARES.values()), k=_TRIES):
            span = _FINDERS[kind](self, rng)
            if span is None:
                continue
            start, end = span
            middle = self.text[start:end]
            if middle.strip() and len(middle) <= LONGEST_MIDDLE:
                return TrainingHole(start, end, kind)
        return None

    def line_at(self, position: int) -> int:
        """The start of the line that holds a position."""
        return self._line_starts[bisect.bisect_right(self._line_starts, position) - 1]

    def line_end(self, position: int) -> int:
        """The end of the line that holds a position, before its newline."""
        end = self.text.find("\n", position)
        return len(self.text) if end < 0 else end

    def a_line(self, rng: Random) -> int | None:
        """The start of a line that is not blank, and seldom of one that is all comment."""
        for _ in range(_TRIES):
            start = rng.choice(self._line_starts)
            line = self.text[start : self.line_end(start)].strip()
            if line and (not line.startswith(_COMMENTS) or rng.random() < COMMENT_RATE):
                return start
        return None

    def bodies(self) -> Sequence[tuple[int, int]]:
        """The bodies of blocks, without their braces and the blanks at their ends."""
        if self._bodies is None:
            self._bodies = tuple(_bodies(self.text, self._language))
        return self._bodies


def _span(source: SourceText, rng: Random) -> tuple[int, int] | None:
    """Any characters, as in the papers, though both ends are near each other."""
    if len(source.text) < 2:
        return None
    start = rng.randrange(len(source.text))
    length = int(2 ** rng.uniform(1, 8))
    return start, min(len(source.text), start + length)


def _rest_of_line(source: SourceText, rng: Random) -> tuple[int, int] | None:
    line = source.a_line(rng)
    if line is None:
        return None
    end = source.line_end(line)
    return rng.randrange(_indented(source, line), end), end


def _line(source: SourceText, rng: Random) -> tuple[int, int] | None:
    return _lines(source, rng, 1)


def _several_lines(source: SourceText, rng: Random) -> tuple[int, int] | None:
    return _lines(source, rng, rng.randint(2, MOST_LINES))


def _lines(source: SourceText, rng: Random, count: int) -> tuple[int, int] | None:
    """Lines in a row: from the start or the code of the first, to the last's end or behind it."""
    line = source.a_line(rng)
    if line is None:
        return None
    end = source.line_end(line)
    for _ in range(count - 1):
        end = source.line_end(min(end + 1, len(source.text)))
    start = rng.choice((line, _indented(source, line)))
    return start, min(len(source.text), end + (start == line and rng.random() < 0.5))


def _word(source: SourceText, rng: Random) -> tuple[int, int] | None:
    """The rest of a word: to its end, a few words on, or to the end of the line."""
    line = source.a_line(rng)
    if line is None:
        return None
    end = source.line_end(line)
    words = list(_WORD.finditer(source.text, line, end))
    if not words:
        return None
    word = rng.choice(words)
    later = [match.end() for match in words if match.end() >= word.end()]
    return rng.randrange(word.start() + 1, word.end()), rng.choice(
        (later[0], rng.choice(later), end)
    )


def _block(source: SourceText, rng: Random) -> tuple[int, int] | None:
    """The body of a block, or its last part."""
    bodies = [body for body in source.bodies() if body[1] - body[0] <= LONGEST_MIDDLE]
    if not bodies:
        return None
    start, end = rng.choice(bodies)
    inner = [at for at in source._line_starts if start < at < end]
    if inner and rng.random() < 0.4:
        start = _indented(source, rng.choice(inner))
    elif rng.random() < 0.3:
        start = source.line_at(start)
    return start, max(start, end)


def _indented(source: SourceText, line: int) -> int:
    end = source.line_end(line)
    text = source.text[line:end]
    return min(line + len(text) - len(text.lstrip()), max(line, end - 1))


_FINDERS: dict[str, Callable[[SourceText, Random], tuple[int, int] | None]] = {
    "span": _span,
    "rest of line": _rest_of_line,
    "line": _line,
    "lines": _several_lines,
    "block": _block,
    "word": _word,
}


@cache
def _parser(language: str) -> Parser:
    from tree_sitter import Language, Parser

    package, function, _ = _GRAMMARS[language]
    return Parser(Language(getattr(import_module(package), function)()))


def _bodies(text: str, language: str) -> list[tuple[int, int]]:
    if language not in _GRAMMARS or not text.isascii():  # offsets are bytes
        return []
    body = _GRAMMARS[language][2]
    waiting: list[Node] = [_parser(language).parse(text.encode()).root_node]
    spans = []
    while waiting:
        node = waiting.pop()
        waiting += node.children
        if node.type == body:
            spans.append(_without_braces(text, node.start_byte, node.end_byte))
    return sorted(span for span in spans if span[0] < span[1])


def _without_braces(text: str, start: int, end: int) -> tuple[int, int]:
    if text[start : start + 1] == "{":
        start, end = start + 1, end - 1
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
