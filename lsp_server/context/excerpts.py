"""The parts of a file that are worth showing: whole lines, within a number of lines.

Preferred are, in this order: lines around recent edits, the last one first; definitions in
outline, and uses, of the names wanted most; definitions of the other wanted names. Where there is
none of this, the first lines of all top-level definitions, or the beginning of the file. They stand
in the file's order, with a comment where lines are left out. A cut depends on the file, the edits
in it and the wanted names, and on nothing else, so that it stays as it is from one keystroke to the
next.

::

    excerpt(text, language, max_lines, edited=(), names=(), used=()) -> Excerpt(text, lines)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.lsp_server.context.name_uses import call_end, name_uses
from midfill.lsp_server.text.languages import Language, defined_name
from midfill.lsp_server.text.lines import LineRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EDIT_MARGIN = 10
"""Lines shown on each side of an edit."""
LONGEST_HEAD = 10
"""Lines of a definition's parameters."""
MOST_MEMBERS = 12
"""Members of a class that its outline shows."""
LONGEST_LINE = 300
"""Characters of a line; longer ones are data or machine-made, and are left out."""

_LINE_END = re.compile(r"\r\n|[\r\n]")
_HAS_MEMBERS = re.compile(
    r"(?:[\w@]+[ \t]+)*(?:class|interface|struct|trait|enum|impl|object|module)\b"
)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is shown of a file."""

    text: str
    lines: LineRange
    """The file's lines from the first to the last one shown; empty if nothing is."""


def excerpt(
    text: str,
    language: Language,
    max_lines: int,
    edited: Sequence[LineRange] = (),
    names: Sequence[str] = (),
    used: Sequence[str] = (),
) -> Excerpt:
    r"""Lines of the text, at most ``max_lines``, each with "\n"; no blank ones at the ends.

    Args:
        text: The file's.
        language: The file's.
        max_lines: All of a file that has no more is shown.
        edited: Ranges of lines, the last edit last.
        names: Whose definitions are wanted.
        used: Names that are wanted most, in order: their definitions, if ``names`` has them too,
            come first, then their uses.
    """
    lines = _LINE_END.split(text)
    wanted: Iterable[LineRange] = [LineRange(0, len(lines))]
    if len(lines) > max_lines:
        wanted = _wanted(lines, language, edited, names, used)
    chosen = _without_blank_ends(lines, _chosen(lines, wanted, max_lines))
    span = LineRange(chosen[0], chosen[-1] + 1) if chosen else LineRange(0, 0)
    return Excerpt(_joined(lines, chosen, f"{language.line_comment} ..."), span)


def _wanted(
    lines: Sequence[str],
    language: Language,
    edited: Sequence[LineRange],
    names: Sequence[str],
    used: Sequence[str],
) -> Iterator[LineRange]:
    """What to show of a long file, the best first."""
    yield from _around(edited)
    starts = [(n, name) for n, line in enumerate(lines) if (name := defined_name(language, line))]
    ends = [*(start for start, _ in starts[1:]), len(lines)]
    places: dict[str, list[LineRange]] = {}
    for (start, name), end in zip(starts, ends, strict=False):
        places.setdefault(name, []).append(LineRange(start, end))
    outlines = {
        name: [part for whole in places.get(name, ()) for part in _outline(lines, language, whole)]
        for name in names
    }
    found = list(name_uses(lines, used))
    yield from (part for name in used for part in outlines.get(name, ()))
    yield from found
    yield from (part for parts in outlines.values() for part in parts)
    if not (found or any(outlines.values())):
        yield from (LineRange(start, call_end(lines, start, LONGEST_HEAD)) for start, _ in starts)
        if not starts:
            yield LineRange(0, len(lines))


def _around(edited: Sequence[LineRange]) -> Iterator[LineRange]:
    for lines in reversed(edited):
        yield LineRange(lines.start - EDIT_MARGIN, lines.end + EDIT_MARGIN)


def _outline(
    lines: Sequence[str], language: Language, definition: LineRange
) -> Iterator[LineRange]:
    """The first line of a definition with its parameters; of a class, those of its members too."""
    start = definition.start
    yield LineRange(start, call_end(lines, start, LONGEST_HEAD))
    if _HAS_MEMBERS.match(lines[start]):
        inside = [n for n in range(start + 1, definition.end) if lines[n][:1].isspace()]
        inside = [n for n in inside if lines[n].strip()]
        indent = min((_indent(lines[n]) for n in inside), default=0)
        members = (n for n in inside if _indent(lines[n]) == indent)
        heads = [n for n in members if defined_name(language, lines[n].lstrip())]
        for number in heads[:MOST_MEMBERS]:
            yield LineRange(number, call_end(lines, number, LONGEST_HEAD))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _chosen(lines: Sequence[str], wanted: Iterable[LineRange], max_lines: int) -> list[int]:
    """The numbers of the lines to show, ascending."""
    chosen: dict[int, None] = {}
    for block in wanted:
        for number in range(max(block.start, 0), min(block.end, len(lines))):
            if len(chosen) == max_lines:
                return sorted(chosen)
            if len(lines[number]) <= LONGEST_LINE:
                chosen[number] = None
    return sorted(chosen)


def _without_blank_ends(lines: Sequence[str], chosen: Sequence[int]) -> Sequence[int]:
    said = [place for place, number in enumerate(chosen) if lines[number].strip()]
    return chosen[said[0] : said[-1] + 1] if said else ()


def _joined(lines: Sequence[str], chosen: Sequence[int], gap: str) -> str:
    """The chosen lines, with the gap's line between those that are not neighbours."""
    shown: list[str] = []
    for before, number in zip([-1, *chosen], chosen, strict=False):
        if shown and number != before + 1:
            shown.append(gap)
        shown.append(lines[number].rstrip())
    return "".join(f"{line}\n" for line in shown)
