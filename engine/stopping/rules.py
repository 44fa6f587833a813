"""Where generated text ends, and how much of it is certain while it still grows.

Each rule looks at the whole text so far and says two things: where the text must end (``cut``), and
from where on it could still be cut (``hold``). The stopper lets out only what no rule holds.

Invariant: what was let out is never taken back, and joined it does not depend on how the text
    arrived. So a rule may never cut before a place that it did not hold, nor change its mind about
    a cut when the text goes on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from midfill.engine.api import FinishReason, Scope
from midfill.engine.stopping.rest_of_line import RestOfLine
from midfill.engine.stopping.surroundings import (
    CLOSER,
    Surroundings,
    indent_of,
    open_long_string,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Rule = Callable[[str, "list[Line]", "Surroundings"], Iterator["Verdict"]]

_CONTINUES_BLOCK = re.compile(
    r"[)\]}{]|</|/>"
    r"|(?:else|elif|elsif|elseif|except|finally|catch|rescue|ensure|case|when|then|do)\b"
    r"|default\s*[-:]"
    r"|(?:end|fi|done|esac)\b(?!\s*=)"
    r"|(?:FROM|WHERE|GROUP|ORDER|HAVING|JOIN|LEFT|RIGHT|INNER|UNION|AND|OR|ON|SET|VALUES|LIMIT"
    r"|ELSE|WHEN|THEN|END)\b"
)
"""Begins a line that stands level with the block's first one and still belongs to it."""
_CLOSING_LINE = re.compile(r"(?:[)\]}]+|</[\w.:-]*>|/>|end|fi|done|esac)[;,]*")
_UNDECIDED = re.compile(r"(?:\w{0,8}\s*|[</])\Z")
"""The begin of a line that could still become one of those above."""
_DISTINCT_LINE = 4
"""A line needs this many characters besides blanks to be told from a coincidence."""
_REPEATED_LINES = 4
"""The longest block of lines whose third copy in a row ends a text."""
_STUTTER_SIZES = range(1, 25)
"""Characters that a line may not say again and again."""
_STUTTER_COPIES, _STUTTER_LENGTH = 8, 48
"""So many copies in a row, and so many characters in all, end a text."""
_RULE = frozenset("-=#*_~+./\\|:<>^'\"` \t\u2014\u2500\u2501\u2550")
"""Characters of which people draw lines and tables: those may be longer."""
_RULE_LENGTH = 160
_SIGN_LENGTH = 16
"""Brackets, emoji and the like stutter sooner."""
_STUTTER_BLOCK = 512
"""Long lines are searched in blocks of twice this, which overlap by more than a stutter needs: the
finished ones are remembered, so that a token costs the same however long its line is."""


class Verdict(NamedTuple):
    """What one rule says of a text."""

    hold: int
    """Characters before this index are certain to stay."""
    cut: int | None = None
    """The text ends here."""
    reason: FinishReason = FinishReason.END_OF_MIDDLE

    @classmethod
    def end(cls, cut: int, reason: FinishReason) -> Verdict:
        """The text ends there."""
        return cls(cut, cut, reason)


class Line(NamedTuple):
    """A line of the generated text; the first one continues the cursor's line."""

    start: int
    text: str
    complete: bool
    """It has its line end, or the text is at its end."""

    @property
    def end(self) -> int:
        """Where it ends, without white space."""
        return self.start + len(self.text.rstrip())


class StopRules:
    """Lets text out as it settles, and says when it is enough."""

    def __init__(self, prefix: str, suffix: str, scope: Scope) -> None:
        self._around = Surroundings.of(prefix, suffix)
        self._rest = RestOfLine(prefix, suffix)
        self._is_in_string = bool(open_long_string(prefix))
        self._keeps_blanks = scope is Scope.MODEL
        self._rules = (*_OF_ALL, *_OF_SCOPE.get(scope, ()))
        self._text = ""
        self._let_out = 0
        self.reason: FinishReason | None = None

    @property
    def first_line_done(self) -> bool:
        """Whether a line with something on it is complete."""
        return "\n" in self._text.lstrip()

    @property
    def is_whole_line(self) -> bool:
        """Whether the hole is a line of its own before another."""
        return self._around.is_whole_line

    @property
    def is_unfinished(self) -> bool:
        """Whether a block without a body, an open bracket or docstring would be left behind."""
        opens_string = not self._is_in_string and bool(open_long_string(self._text))
        in_vain = self._around.opens_in_vain(self._text)
        return opens_string or in_vain or self._rest.leaves_open(self._text)

    @property
    def ends_blank(self) -> bool:
        """Whether a blank line was written last: another would not help."""
        return self._text[len(self._text.rstrip()) :].count("\n") > 1

    def feed(self, text: str) -> str:
        """Take more generated text, return what has settled; sets ``reason`` at the end."""
        assert self.reason is None, self.reason
        self._text += text
        verdicts = self._judge(complete=False)
        settled = min(verdict.hold for verdict in verdicts)
        for verdict in verdicts:
            if verdict.cut == settled:
                return self._end(verdict)
        return self._release(self._rest.sure(self._text, settled))

    def finish(self, reason: FinishReason) -> str:
        """The text has ended: return what was held and stays."""
        end = len(self._text) if self._keeps_blanks else len(self._text.rstrip())
        verdicts = [v for v in self._judge(complete=True) if v.cut is not None]
        return self._end(min([*verdicts, Verdict.end(end, reason)], key=_place))

    def _judge(self, *, complete: bool) -> list[Verdict]:
        lines = list(_lines(self._text, complete=complete))
        return [v for rule in self._rules for v in rule(self._text, lines, self._around)]

    def _end(self, verdict: Verdict) -> str:
        text = self._text[: verdict.cut]
        kept = self._rest.kept(text)
        assert kept >= self._let_out, (text, kept, self._let_out)
        self.reason = verdict.reason if kept == len(text) else FinishReason.SUFFIX
        self._text = text[:kept]
        return self._release(kept)

    def _release(self, until: int) -> str:
        released = self._text[self._let_out : until]
        self._let_out = max(self._let_out, until)
        return released


def _place(verdict: Verdict) -> int:
    return verdict.hold


def _lines(text: str, *, complete: bool) -> Iterator[Line]:
    start = 0
    *whole, last = text.split("\n")
    for line in whole:
        yield Line(start, line, complete=True)
        start += len(line) + 1
    yield Line(start, last, complete)


def _trimmed(text: str, end: int) -> int:
    """The end of ``text[:end]`` without white space."""
    return len(text[: max(end, 0)].rstrip())


def _unless_blank(text: str, _: list[Line], _around: Surroundings) -> Iterator[Verdict]:
    """White space at the end waits: what follows decides whether it stays."""
    yield Verdict(len(text.rstrip()))


def _end_of_line(_text: str, lines: list[Line], _around: Surroundings) -> Iterator[Verdict]:
    if len(lines) > 1:
        yield Verdict.end(lines[0].end, FinishReason.LINE)


@dataclass(slots=True)
class _Block:
    """The block that the cursor's line is in, or that it opens, as lines are read."""

    indent: int | None
    """Indentation of the cursor's line; None if it is blank, then that of the first one written."""
    may_open: bool = False
    """The cursor's line, if the one behind it is deeper; a brace may stand between them."""
    opened: bool = False
    deeper: bool = False
    after_blank: bool = False

    def ends_at(self, line: Line) -> bool:
        """Whether it ends, unless the line closes it or goes on with it.

        It does left of the block, and level with it behind deeper lines: at once if the cursor's
        line opened them, else only after a blank line.
        """
        if not line.text.strip():
            self.after_blank = True
            return False
        indent = indent_of(line.text)
        if self.indent is None:
            self.indent = indent
        self.opened |= self.may_open and indent > self.indent
        self.may_open &= line.text.strip() == "{"
        self.deeper |= indent > self.indent
        apart = self.opened or self.after_blank
        self.after_blank = False
        return self.left(line) or (indent == self.indent and self.deeper and apart)

    def left(self, line: Line) -> bool:
        """Whether a line stands left of the block."""
        return self.indent is not None and indent_of(line.text) < self.indent


def _end_of_block(text: str, lines: list[Line], around: Surroundings) -> Iterator[Verdict]:
    first = around.line_prefix + lines[0].text
    block = _Block(indent_of(first) if first.strip() else None, bool(around.line_prefix.strip()))
    for line in lines[1:]:
        if not block.ends_at(line):
            continue
        left = block.left(line)
        if left and block.opened:  # it closes level with the cursor's line
            yield Verdict.end(_trimmed(text, line.start), FinishReason.BLOCK)
            return
        if verdict := _verdict_on(text, line, around, left=left):
            yield verdict
            return
        if left:  # as "} else {": the block goes on below
            block = _Block(indent_of(line.text) + 1)


def _verdict_on(text: str, line: Line, around: Surroundings, *, left: bool) -> Verdict | None:
    """What becomes of a text whose block may end before or behind this line; None: it goes on."""
    code = line.text.strip()
    before = _trimmed(text, line.start)
    bracket = CLOSER.match(code)
    closing = line.complete and _CLOSING_LINE.fullmatch(code)
    if (bracket or closing) and around.close(line.text):
        return Verdict.end(_before(text, line, around), FinishReason.BLOCK)
    if not line.complete and (_UNDECIDED.match(code) or (left and bracket)):
        return Verdict(before)
    if left and closing:
        return Verdict.end(line.end, FinishReason.BLOCK)
    if bracket if left else _CONTINUES_BLOCK.match(code):
        return None
    return Verdict.end(before, FinishReason.BLOCK)


def _following_line(text: str, lines: list[Line], around: Surroundings) -> Iterator[Verdict]:
    """The text has run into the lines after the cursor.

    One line that is distinct enough, or two in a row, must be equal, indentation included.
    """
    blank = not around.line_prefix.strip()
    if not around.following or (around.rest_of_line and not blank):
        return
    whole = Line(-len(around.line_prefix), around.line_prefix + lines[0].text, lines[0].complete)
    filled = [line for line in ([whole] if blank else []) + lines[1:] if line.text.strip()]
    first, *second = around.following
    for line, after in zip_longest(filled, filled[1:]):
        if not _may_equal(line, first):
            continue
        end = _before(text, line, around)
        distinct = len("".join(first.split())) >= _DISTINCT_LINE
        if line.complete and not distinct and not (second and _may_come(after, second[0])):
            continue
        certain = line.complete and (distinct or (after is not None and after.complete))
        yield Verdict.end(end, FinishReason.SUFFIX) if certain else Verdict(end)
        return


def _may_come(line: Line | None, other: str) -> bool:
    return line is None or _may_equal(line, other)


def _may_equal(line: Line, other: str) -> bool:
    """Whether a line is this other one, trailing blanks aside, or could grow to it."""
    grows = not line.complete and other.startswith(line.text)
    return grows or line.text.rstrip() == other


def _before(text: str, line: Line, around: Surroundings) -> int:
    """Where to cut so that the suffix comes in this line's place, its own line end included."""
    rest = around.rest_of_line
    if not rest:
        return _trimmed(text, line.start)
    return line.start + max(0, indent_of(line.text) - indent_of(rest))


def _repetition(text: str, lines: list[Line], _around: Surroundings) -> Iterator[Verdict]:
    """The third copy in a row of a block of one to four lines is cut, and held until it differs."""
    texts = [line.text.rstrip() for line in lines]
    for size in range(1, _REPEATED_LINES + 1):
        for third in range(2 * size, len(lines)):
            block = texts[third - size : third]
            copy = lines[third : third + size]
            if block != texts[third - 2 * size : third - size] or not any(block):
                continue
            if all(map(_may_equal, copy, block)):
                end = _trimmed(text, lines[third].start)
                certain = len(copy) == size and copy[-1].complete
                yield Verdict.end(end, FinishReason.REPETITION) if certain else Verdict(end)


def _stutter(_text: str, lines: list[Line], _around: Surroundings) -> Iterator[Verdict]:
    """A few characters said again and again in one line are cut behind the second time."""
    for line in lines:
        for start in range(0, max(len(line.text) - _STUTTER_BLOCK, 1), _STUTTER_BLOCK):
            block = line.text[start : start + 2 * _STUTTER_BLOCK]
            hold, cut = _stutter_in(block)
            if cut is not None:
                yield Verdict.end(line.start + start + cut, FinishReason.REPETITION)
            elif not line.complete and start + len(block) == len(line.text):
                yield Verdict(line.start + start + hold)


@lru_cache(maxsize=1024)
def _stutter_in(block: str) -> tuple[int, int | None]:
    """From where on the end of a block may be a stutter, and behind what a certain one is cut."""
    hold, cuts = len(block), []
    for size in _STUTTER_SIZES:
        equal = 0
        for i in range(size, len(block)):
            equal = equal + 1 if block[i] == block[i - size] else 0
            may_be = equal >= (_STUTTER_COPIES - 1) * size
            if may_be and equal == _enough(block[i - size + 1 : i + 1]):
                cuts.append(i - equal + size + 1)
                break
        else:
            if equal > size:
                hold = min(hold, len(block) - equal + size)
    return hold, min(cuts, default=None)


def _enough(unit: str) -> int:
    """How many characters in a row that equal those a unit before them make a stutter."""
    if any(map(str.isalnum, unit)):
        length = _STUTTER_LENGTH if len(set(unit)) > 1 else _RULE_LENGTH  # zeros of a checksum
    else:
        length = _RULE_LENGTH if _RULE.issuperset(unit) else _SIGN_LENGTH
    return max(_STUTTER_COPIES * len(unit), length) - len(unit)


_OF_ALL: tuple[Rule, ...] = (_unless_blank, _repetition, _stutter, _following_line)
_OF_SCOPE: dict[Scope, tuple[Rule, ...]] = {
    Scope.LINE: (_end_of_line,),
    Scope.BLOCK: (_end_of_block,),
}
