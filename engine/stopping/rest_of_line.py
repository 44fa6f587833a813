"""The rest of the cursor's line, which a completion must not write a second time.

Editors close brackets and quotes by themselves, and a hole may end in the middle of a line. A model
that does not see the suffix goes on to the line's end, and so repeats what already follows. Where
the rest closes the string around the cursor, or begins by closing a bracket, the text ends before
it would close the same thing; any rest is cut where the text ends with all of it, unless that may
be chance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

_OPENERS = {")": "(", "]": "[", "}": "{"}
_MARK = re.compile(r"\\.|[\n\"'`()\[\]{}]", re.DOTALL)
_BEFORE, _BEHIND = 20_000, 4_000
"""Characters around the cursor in which open brackets are counted."""
_WORD = re.compile(r"\w\w")


@dataclass(slots=True)
class _Nesting:
    """What stands open at a place: a guess, as comments are not told apart.

    A quote ends with its line at the latest; closing brackets without a partner are kept apart.
    """

    quote: str = ""
    open: list[str] = field(default_factory=list)
    unmatched: str = ""
    mismatched: int = 0

    def enter(self, mark: str) -> None:
        """Take note of a quote, a bracket, a line end or an escaped character."""
        if mark == "\n":
            self.quote = ""
        elif self.quote:
            self.quote = "" if mark == self.quote else self.quote
        elif mark in "\"'`":
            self.quote = mark
        elif mark in "([{":
            self.open.append(mark)
        elif mark in _OPENERS:
            self._close(mark)

    def _close(self, bracket: str) -> None:
        if not self.open:
            self.unmatched += bracket
        elif self.open[-1] == _OPENERS[bracket]:
            self.open.pop()
        else:
            self.mismatched += 1

    def read(self, code: str) -> _Nesting:
        """The same behind some code; this one is left as it was."""
        behind = replace(self, open=self.open.copy())
        for mark in _MARK.findall(code):
            behind.enter(mark)
        return behind


class RestOfLine:
    """What follows the cursor on its line.

    Args:
        prefix: The text before the cursor.
        suffix: The text after it.
    """

    def __init__(self, prefix: str, suffix: str) -> None:
        self.text = suffix.partition("\n")[0].rstrip()
        self._line_prefix = prefix[prefix.rfind("\n") + 1 :]
        self._here = _Nesting().read(prefix[-_BEFORE:])
        self._quote = self._here.quote if self._here.quote in self.text else ""
        self._closes = bool(self._quote) or self.text.lstrip().startswith((*_OPENERS,))
        within = bool(self._quote) and not self.text.startswith(self._quote)
        self._is_distinct = within or bool(_WORD.search(self.text)) or not self._closes
        in_word = _WORD.match(self._line_prefix[-1:] + self.text[:1])
        self._is_in_word = bool(in_word and _WORD.match(self.text))
        self._to_close = _Nesting(self._quote).read(suffix[:_BEHIND]).unmatched
        self._without_partner = self._excess(self._here)
        string = self._line_prefix.rpartition(self._quote)[2] if within else ""
        opener = _OPENERS.get(self.text[:1], "")
        is_pair = bool(opener) and string.count(opener) > string.count(self.text[0])
        self._pair = (opener, self.text[0]) if is_pair else None

    def leaves_open(self, text: str) -> bool:
        """Whether the text opens a bracket that nobody closes.

        That can be told where the brackets before the hole and behind it fit each other.
        """
        if self._here.mismatched or len(self._to_close) != len(self._here.open):
            return False
        return bool(_Nesting(self._here.quote).read(text).open)

    def kept(self, text: str) -> int:
        """How much of a finished text stays, in characters from its start."""
        end = text.rstrip()
        repeats = bool(self.text) and end.endswith(self.text)
        without = len(end) - len(self.text)
        if not self._closes:
            return without if repeats and self._begins_here(end) else len(text)
        first = self._first_misfit(text)
        if repeats and self._is_distinct and (first is None or without <= first):
            return without
        if first is None or (not self._pair and self._fits(self._here.read(text))):
            return len(text)
        fits = repeats and self._fits(self._here.read(text[:without]))
        return max(first, without) if fits else first

    def sure(self, text: str, settled: int) -> int:
        """How much stays in any case, if ``text`` goes on, or ends behind ``text[:settled]``."""
        if not self.text:
            return settled
        if self._closes:
            first = self._first_misfit(text[:settled])
            settled = settled if first is None else first
        if not self._is_distinct:
            return settled
        end = len(text[:settled].rstrip())
        for start in range(max(0, end - len(self.text)), settled):
            if text.startswith(self.text, start) or self.text.startswith(text[start:]):
                return start
        return settled

    def _begins_here(self, end: str) -> bool:
        """Whether the repetition is one: a whole line if the rest is one, else from a word on."""
        before = self._line_prefix + end[: -len(self.text)]
        if not self._line_prefix.strip():
            return before[before.rfind("\n") + 1 :] == self._line_prefix
        return self._is_in_word or not _WORD.match(before[-1:] + self.text[:1])

    def _first_misfit(self, text: str) -> int | None:
        """Where the text first closes what the rest is there to close."""
        nesting, depth = self._here.read(""), 0
        for mark in _MARK.finditer(text):
            nesting.enter(mark[0])
            if self._pair:  # of brackets in a string
                depth += (mark[0] == self._pair[0]) - (mark[0] == self._pair[1])
            if depth < 0 or not self._fits(nesting):
                return mark.start()
        return None

    def _fits(self, nesting: _Nesting) -> bool:
        """Whether the rest still closes what it closed before."""
        same_quote = not self._quote or nesting.quote == self._quote
        return same_quote and self._excess(nesting) <= self._without_partner

    def _excess(self, nesting: _Nesting) -> int:
        """Closing brackets without a partner, if the suffix follows here."""
        behind = replace(nesting, quote="").read(self._to_close)
        return behind.mismatched + len(behind.unmatched)
