"""The parts of a file that are worth showing: whole lines, within a number of lines.

In order of preference: around recent edits, the last one first; definitions of wanted names, whole;
the first lines of all other top-level definitions; the beginning of the file. They stand in the
file's order, with a comment where lines are left out. A cut depends on the file, the edits in it
and the wanted names, and on nothing else, so that it stays as it is from one keystroke to the next.

::

    extract(text, language, max_lines, edited=(), names=frozenset()) -> Extract(text, lines)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.lsp_server.documents import LineRange
from midfill.lsp_server.languages import Language, defined_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

EDIT_MARGIN = 10
"""Lines shown on each side of an edit."""
LONGEST_HEAD = 10
"""Lines of a definition's parameters."""
LONGEST_LINE = 300
"""Characters; longer lines are data or machine-made, and are left out."""

_LINE_END = re.compile(r"\r\n|[\r\n]")


@dataclass(frozen=True, slots=True)
class Extract:
    """What is shown of a file."""

    text: str
    lines: LineRange
    """From the first to the last one shown, in the file; empty if nothing is."""


def extract(
    text: str,
    language: Language,
    max_lines: int,
    edited: Sequence[LineRange] = (),
    names: frozenset[str] = frozenset(),
) -> Extract:
    r"""At most ``max_lines`` lines of the text, without blank ones at its ends, each with "\n"."""
    lines = _LINE_END.split(text)
    wanted = [LineRange(0, len(lines))]
    if len(lines) > max_lines:
        wanted = [*_around(edited), *_definitions(lines, language, names), *wanted]
    chosen = _without_blank_ends(lines, _chosen(lines, wanted, max_lines))
    span = LineRange(chosen[0], chosen[-1] + 1) if chosen else LineRange(0, 0)
    return Extract(_joined(lines, chosen, f"{language.line_comment} ..."), span)


def _around(edited: Sequence[LineRange]) -> Iterator[LineRange]:
    for lines in reversed(edited):
        yield LineRange(lines.start - EDIT_MARGIN, lines.end + EDIT_MARGIN)


def _definitions(
    lines: Sequence[str], language: Language, names: frozenset[str]
) -> Iterator[LineRange]:
    """Whole definitions of the wanted names, then the first lines of all."""
    starts = [(n, name) for n, line in enumerate(lines) if (name := defined_name(language, line))]
    ends = [*(start for start, _ in starts[1:]), len(lines)]
    for (start, name), end in zip(starts, ends, strict=False):
        if name in names:
            yield LineRange(start, end)
    yield from (LineRange(start, _head_end(lines, start)) for start, _ in starts)


def _head_end(lines: Sequence[str], start: int) -> int:
    """Where the first line of a definition ends, its parameters included if they stand below."""
    if lines[start].rstrip().endswith("("):
        for number in range(start + 1, min(start + LONGEST_HEAD, len(lines))):
            if lines[number].startswith(")"):
                return number + 1
    return start + 1


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
