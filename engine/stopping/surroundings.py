"""What stands around a hole, line by line."""

from __future__ import annotations

import re
from dataclasses import dataclass

CLOSER = re.compile(r"[)\]}]|</|/>")
"""Begins a line that closes something."""
_OPENS = re.compile(
    r"\s*(?:async\s+)?(?:class|def|if|elif|else|for|while|with|try|except|finally|match|case)\b.*:"
    r"|.*[({\[]"
)
"""A line that is nothing without the lines that it opens."""
_LONG_QUOTE = re.compile(r"\"\"\"|'''")
_FOLLOWING_LINES = 200
"""How far down the first two lines that are not blank are looked for."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around the hole, as far as the rules need it."""

    line_prefix: str
    """The cursor's line before the cursor."""
    rest_of_line: str
    """The cursor's line after the cursor, without trailing blanks."""
    is_whole_line: bool
    """The hole is before a line of its own, its indentation included: nothing is left of it."""
    above: str
    """The last line that is not blank before the cursor's, if only blanks stand before that."""
    following: tuple[str, ...]
    """The first lines that are not blank, two at most, from the cursor's on if it has a rest."""

    @classmethod
    def of(cls, prefix: str, suffix: str) -> Surroundings:
        """Those of a hole."""
        lines = suffix.split("\n", _FOLLOWING_LINES)[:_FOLLOWING_LINES]
        line_prefix = prefix[prefix.rfind("\n") + 1 :]
        rest = lines[0].rstrip()
        if rest:
            lines[0] = line_prefix + rest
        filled = [line.rstrip() for line in lines if line.strip()]
        above = "" if line_prefix.strip() else _last_line(prefix)
        is_whole_line = not line_prefix and suffix[:1] in (" ", "\t") and bool(rest)
        return cls(line_prefix, rest, is_whole_line, above, tuple(filled[:2]))

    def close(self, line: str) -> bool:
        """Whether what this line closes is closed by what follows."""
        if self.rest_of_line and self.line_prefix.strip():
            return self.rest_of_line.lstrip().startswith(_closer(line))
        after = self.following[0] if self.following else ""
        return after.lstrip().startswith(_closer(line)) and indent_of(after) >= indent_of(line)

    def opens_in_vain(self, written: str) -> bool:
        """Whether the last line opens something that no deeper line below the hole fills.

        It is the last one of what was written, or above the hole while nothing is. Blank lines do
        not count.
        """
        line = _last_line(self.line_prefix + written) or self.above
        if not _OPENS.fullmatch(line) or (self.rest_of_line and not self.is_whole_line):
            return False
        return not self.following or indent_of(self.following[0]) <= indent_of(line)


def open_long_string(text: str) -> str:
    """The three quotes of a string that a text opens and does not close; none: empty."""
    opened = ""
    for quote in _LONG_QUOTE.findall(text):
        if opened in ("", quote):
            opened = "" if opened else quote
    return opened


def indent_of(line: str) -> int:
    """Columns of white space at the start; a tab is one."""
    return len(line) - len(line.lstrip())


def _closer(line: str) -> str:
    """What a line closes with: a bracket or the begin of a tag, else the word that it is."""
    bracket = CLOSER.match(line.lstrip())
    return bracket[0] if bracket else line.strip(" \t;,")


def _last_line(text: str) -> str:
    """The last line with something on it, empty if there is none."""
    text = text.rstrip()
    return text[text.rfind("\n") + 1 :]
