"""Uses of names in a text: it calls them, or takes something from them.

How a function is called elsewhere is the best hint at how it will be called here, better than its
definition. A use is shown with the line before it, and to the end of the call, if that is near.

::

    name_uses(lines, names) -> LineRange, ...      those of the first name first
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from midfill.lsp_server.text.lines import LineRange

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_OF_NAME = 3
"""Uses of one name that a text shows at most."""
LONGEST_USE = 6
"""Lines of a call at most."""

_IMPORT = re.compile(r"\s*(?:from|import|export|use|mod|#\s*include)\b")
_DEFINITION = r"(?:def|class|fn|func|function|interface|struct|trait|enum|type)[ \t]+"
_OPENED, _CLOSED = frozenset("([{"), frozenset(")]}")


def name_uses(lines: Sequence[str], names: Sequence[str]) -> Iterator[LineRange]:
    """The lines of the first uses of each name, in turn: first uses, second ones, ...

    A line that imports or defines the name is no use of it.
    """
    found = [_of_name(lines, name) for name in names]
    for nth in range(MOST_OF_NAME):
        for of_name in found:
            number = next(of_name, None)
            if number is not None:
                yield LineRange(max(0, number - (nth == 0)), call_end(lines, number, LONGEST_USE))


def _of_name(lines: Sequence[str], name: str) -> Iterator[int]:
    """The numbers of the lines that use a name, from the first one on."""
    escaped = re.escape(name)
    use = re.compile(rf"(?<![\w.]){escaped}\s*(?:[.(]|::)")
    definition = re.compile(rf"\s*(?:\w+[ \t]+)*{_DEFINITION}{escaped}\b")
    for number, line in enumerate(lines):
        is_use = name in line and use.search(line)
        if is_use and not _IMPORT.match(line) and not definition.match(line):
            yield number


def call_end(lines: Sequence[str], number: int, most: int) -> int:
    """The line behind the one where the brackets close that a line opens, not too far away."""
    depth = 0
    for below in range(number, min(number + most, len(lines))):
        depth += sum((c in _OPENED) - (c in _CLOSED) for c in lines[below])
        if depth <= 0:
            return below + 1
    return number + 1
