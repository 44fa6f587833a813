"""Where generated text ends, and how much of it is certain while it still grows.

Each rule looks at the whole text so far and says two things: where the text must end (``cut``), and
from where on it could still be cut (``hold``). The stopper lets out only what no rule holds.

Invariant: what was let out is never taken back, and joined it does not depend on how the text
    arrived.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from midfill.engine.api import FinishReason, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLOSERS = ")]}"
_OPENERS = {")": "(", "]": "[", "}": "{"}
_CONTINUES_BLOCK = re.compile(
    r"[)\]}]|(?:else|elif|except|finally|catch|case|default|when|end|fi|done|esac)\b"
)
_WORD_MAY_GROW = re.compile(r"\w{0,7}\Z")
_BRACKET_WINDOW = 4000
"""Characters of the prefix in which open brackets are counted."""
_DISTINCT_LINE = 4
"""A line needs this many characters besides blanks to be told from a coincidence."""
_REPEATED_LINES = 4
"""The longest block of lines whose third copy in a row ends a text."""


class Verdict(NamedTuple):
    """What one rule says of a text."""

    hold: int
    """Characters before this index are certain to stay."""
    cut: int | None = None
    """The text ends here."""
    reason: FinishReason = FinishReason.END_OF_MIDDLE


class Line(NamedTuple):
    """A line of the generated text; the first one continues the cursor's line."""

    start: int
    text: str
    complete: bool
    """It has its line end, or the text is at its end."""

    @property
    def indent(self) -> int:
        """Columns of white space at the start; a tab is one."""
        return len(self.text) - len(self.text.lstrip())


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around the hole, as far as the rules need it."""

    prefix: str
    suffix: str

    @property
    def line_prefix(self) -> str:
        """The cursor's line before the cursor."""
        return self.prefix[self.prefix.rfind("\n") + 1 :]

    @property
    def rest_of_line(self) -> str:
        """The cursor's line after the cursor, without trailing blanks."""
        return self.suffix.partition("\n")[0].rstrip()

    def following_lines(self) -> list[str]:
        """The first two lines after the cursor that are not blank."""
        found = (line.rstrip() for line in self.suffix.split("\n", 200)[:200] if line.strip())
        return [line for line, _ in zip(found, range(2), strict=False)]


class Stopper:
    """Lets text out as it settles, and says when it is enough."""

    def __init__(self, prefix: str, suffix: str, scope: Scope) -> None:
        self._around = Surroundings(prefix[-_BRACKET_WINDOW:], suffix)
        self._keeps_blanks = scope is Scope.MODEL
        self._rules = [_unless_blank, _repetition, _following_line, *_OF_SCOPE.get(scope, ())]
        self._text = ""
        self._let_out = 0
        self.reason: FinishReason | None = None

    @property
    def first_line_done(self) -> bool:
        """Whether a line with something on it is complete."""
        return "\n" in self._text.lstrip()

    def feed(self, text: str) -> str:
        """Take more generated text, return what has settled; sets ``reason`` at the end."""
        assert self.reason is None, self.reason
        self._text += text
        verdicts = self._judge(complete=False)
        cuts = [verdict for verdict in verdicts if verdict.cut is not None]
        if cuts:
            return self._end(min(cuts, key=_place))
        settled = min(verdict.hold for verdict in verdicts)
        return self._release(min(settled, _overlap_hold(self._text, self._around)))

    def finish(self, reason: FinishReason, text: str = "") -> str:
        """The text has ended, with a last bit or none: return what was held and stays."""
        self._text += text
        verdicts = [v for v in self._judge(complete=True) if v.cut is not None]
        end = len(self._text) if self._keeps_blanks else len(self._text.rstrip())
        return self._end(min([*verdicts, Verdict(end, end, reason)], key=_place))

    def _judge(self, *, complete: bool) -> list[Verdict]:
        lines = list(_lines(self._text, complete=complete))
        return [rule(self._text, lines, self._around) for rule in self._rules]

    def _end(self, verdict: Verdict) -> str:
        self.reason = verdict.reason
        kept = _without_overlap(self._text[: verdict.cut], self._around)
        if len(kept) < len(self._text[: verdict.cut]):
            self.reason = FinishReason.SUFFIX
        self._text = kept
        return self._release(len(kept))

    def _release(self, until: int) -> str:
        released = self._text[self._let_out : until]
        self._let_out = max(self._let_out, until)
        return released


def _place(verdict: Verdict) -> int:
    assert verdict.cut is not None
    return verdict.cut


def _lines(text: str, *, complete: bool) -> Iterator[Line]:
    start = 0
    *whole, last = text.split("\n")
    for line in whole:
        yield Line(start, line, complete=True)
        start += len(line) + 1
    yield Line(start, last, complete)


def _trimmed(text: str, end: int) -> int:
    """The end of ``text[:end]`` without white space."""
    return len(text[:end].rstrip())


def _unless_blank(text: str, _: list[Line], _around: Surroundings) -> Verdict:
    """White space at the end waits: what follows decides whether it stays."""
    return Verdict(len(text.rstrip()))


def _end_of_line(text: str, lines: list[Line], _around: Surroundings) -> Verdict:
    if len(lines) == 1:
        return Verdict(len(text))
    end = len(lines[0].text.rstrip())
    return Verdict(end, end, FinishReason.LINE)


def _end_of_block(text: str, lines: list[Line], around: Surroundings) -> Verdict:
    """Where a line stands left of the cursor's line, or level with it after deeper ones."""
    first = Line(0, around.line_prefix + lines[0].text, complete=True)
    base = first.indent if first.text.strip() else None
    deeper = False
    for line in lines[1:]:
        if not line.text.strip():
            continue
        if base is None:
            base = line.indent
        deeper |= line.indent > base
        ends = line.indent < base or (deeper and line.indent == base)
        if ends and not _CONTINUES_BLOCK.match(line.text.lstrip()):
            end = _trimmed(text, line.start)
            if not line.complete and _WORD_MAY_GROW.match(line.text.lstrip()):
                return Verdict(end)
            return Verdict(end, end, FinishReason.BLOCK)
        if line.indent < base:
            return _closing_line(text, line, around)
    return Verdict(len(text))


def _closing_line(text: str, line: Line, around: Surroundings) -> Verdict:
    """A bracket that closes the block is kept, as the last line, unless it already follows."""
    end = _trimmed(text, line.start)
    following = around.following_lines()
    closer = line.text.strip()[0]
    if closer not in _CLOSERS or (following and following[0].lstrip().startswith(closer)):
        return Verdict(end, end, FinishReason.BLOCK)
    if not line.complete:
        return Verdict(end)
    end = _trimmed(text, line.start + len(line.text))
    return Verdict(end, end, FinishReason.BLOCK)


def _following_line(text: str, lines: list[Line], around: Surroundings) -> Verdict:
    """The text has run into the lines after the cursor.

    One line that is distinct enough, or two in a row, must be equal, indentation included where the
    suffix shows it.
    """
    following = around.following_lines()
    if not following or not (whole := _comparable(following[0], around)):
        return Verdict(len(text))
    filled = [line for line in lines[1:] if line.text.strip()]
    for line, after in zip_longest(filled, filled[1:]):
        if not _may_equal(line, whole):
            continue
        end = _before(text, line, around)
        if not line.complete:
            return Verdict(end)
        if len("".join(whole.split())) >= _DISTINCT_LINE:
            return Verdict(end, end, FinishReason.SUFFIX)
        if len(following) == 1 or (after and not _may_equal(after, following[1])):
            continue
        if after is None or not after.complete:
            return Verdict(end)
        return Verdict(end, end, FinishReason.SUFFIX)
    return Verdict(len(text))


def _comparable(line: str, around: Surroundings) -> str:
    """The first following line as a generated one would repeat it, or "" where none could."""
    if not around.rest_of_line:
        return line
    return around.line_prefix + line if not around.line_prefix.strip() else ""


def _may_equal(line: Line, other: str) -> bool:
    text = line.text.rstrip()
    return text == other if line.complete else other.startswith(line.text)


def _before(text: str, line: Line, around: Surroundings) -> int:
    """Where to cut so that the suffix follows: after a line end only if it brings none."""
    if around.rest_of_line:
        return line.start + len(around.line_prefix)
    return _trimmed(text, line.start)


def _repetition(text: str, lines: list[Line], _around: Surroundings) -> Verdict:
    """The third copy in a row of a block of one to four lines is cut, and held until it differs."""
    texts = [line.text for line in lines]
    for size in range(1, _REPEATED_LINES + 1):
        for third in range(2 * size, len(lines)):
            block = texts[third - size : third]
            if block != texts[third - 2 * size : third - size] or not any(map(str.strip, block)):
                continue
            copy = lines[third : third + size]
            equal = [_may_equal(line, old) for line, old in zip(copy, block, strict=False)]
            if not all(equal):
                continue
            end = _trimmed(text, lines[third].start)
            if len(copy) == size and copy[-1].complete:
                return Verdict(end, end, FinishReason.REPETITION)
            return Verdict(end)
    return Verdict(len(text))


def _overlap_hold(text: str, around: Surroundings) -> int:
    """From where the text's end could turn out to be the rest of the cursor's line."""
    rest, end = around.rest_of_line, text.rstrip()
    sizes = range(min(len(rest), len(end)), 0, -1)
    return len(end) - next((size for size in sizes if end.endswith(rest[:size])), 0)


def _without_overlap(text: str, around: Surroundings) -> str:
    """The text without a repetition of the rest of the cursor's line at its end.

    Closing brackets are not a repetition where the prefix has left that many open.
    """
    rest, end = around.rest_of_line, text.rstrip()
    if not rest or not end.endswith(rest):
        return text
    without = end[: -len(rest)]
    if all(c in _CLOSERS + "\"'`;:, " for c in rest):
        before = _unmatched_closers(around.prefix + without + rest)
        if _unmatched_closers(around.prefix + end + rest) <= before:
            return text
    return without


def _unmatched_closers(code: str) -> int:
    """Closing brackets without a partner before them; strings and comments are not told apart."""
    stack: list[str] = []
    unmatched = 0
    for character in code:
        if character in "([{":
            stack.append(character)
        elif character in _CLOSERS:
            if stack and stack[-1] == _OPENERS[character]:
                stack.pop()
            else:
                unmatched += 1
    return unmatched


_OF_SCOPE = {Scope.LINE: (_end_of_line,), Scope.BLOCK: (_end_of_block,)}
