r"""Whether the file would parse with a text in its hole, and how much of the text may stay.

A text *breaks* the file if it leaves more errors than there are without the cursor's line, or with
the hole left empty, whichever are fewer: what was wrong before, elsewhere, is not its fault. Nor is
it what the user has opened in this line and not closed yet.

What stays of a text that breaks it is the longest beginning that does not: so SAFIM cuts
completions (arXiv 2403.04814), though it looks at them afterwards. In the cursor's line a cut may
be at any token, behind it only at a line's end. Text has "\n" for line ends.

Invariant: what stays of a text begins with what is sure to stay of any beginning of it
(test_what_is_sure_stays).

::

    syntax = Syntax(prefix, suffix, language_id)
    syntax.stays(text) -> int       characters, if the text ends here
    syntax.sure(text) -> int        characters, however it goes on
"""

from __future__ import annotations

import re
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING

from midfill.lsp_server.judgement.grammars import parser_of
from midfill.lsp_server.judgement.parsed_file import ParsedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_CUTS = 48
"""Places of one line where a text is tried to be cut, the last ones."""
MOST_ERRORS = 20
"""A file with more is in another language, and nothing can be said of it."""
REMEMBERED = 64
_FINE = dict[tuple[int, int, str], None]()
"""Files, by their hashes, in which a text stayed whole; the oldest come first."""
_TOKEN_END = re.compile(r"(?<=\w)(?!\w)|(?<=[^\w\s\"'`])|(?<=[\"'`])(?![\"'`])")
"""Three quotes are one token, and two perhaps the beginning of them."""
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_MARK = re.compile(r"\\.|[\"'`()\[\]{}]")


class Syntax:
    """What the grammar says of texts for one hole.

    Args:
        prefix: Everything before it.
        suffix: Everything after it.
        language_id: LSP's; without a grammar for it, every text stays.
    """

    def __init__(self, prefix: str, suffix: str, language_id: str) -> None:
        self._prefix, self._suffix, self._language_id = prefix, suffix, language_id
        self._known = dict[str, bool]()

    def stays(self, text: str) -> int:
        """Characters of a finished text, from its start; 0: nothing of it is worth showing.

        What stayed whole does so while it is typed, and nothing is parsed for it again.
        """
        filled = hash(self._prefix + text), hash(self._suffix), self._language_id
        if filled in _FINE:
            return len(text)
        if self.breaks(text):
            return self._longest(text, self._cuts(text))
        _FINE[filled] = None
        if len(_FINE) > REMEMBERED:
            del _FINE[next(iter(_FINE))]
        return len(text)

    def sure(self, text: str) -> int:
        """Characters of an unfinished text that stay however it goes on.

        Its last token may become another one, and so cannot be the end of what stays.
        """
        if self._file is None:
            return len(text)
        return self._longest(text, (cut for cut in self._cuts(text) if cut < len(text)))

    def _longest(self, text: str, cuts: Iterator[int]) -> int:
        return next((cut for cut in cuts if not self.breaks(text[:cut])), 0)

    @staticmethod
    def _cuts(text: str) -> Iterator[int]:
        """Where a text may be cut, the last place first."""
        first = text.find("\n", len(text) - len(text.lstrip()))
        first = len(text) if first < 0 else first
        lines = (match.start() for match in re.finditer(r"\n", text) if match.start() >= first)
        tokens = [match.end() for match in _TOKEN_END.finditer(text[:first])]
        return chain(reversed([*lines]), reversed(tokens[-MOST_CUTS:]))

    def breaks(self, text: str) -> bool:
        """Whether the file has more errors with this text than without it."""
        if self._file is None:
            return False
        if text not in self._known:
            file, closers = self._file, {"", self._closers}
            without = min(file.errors, file.errors_of_rest)
            self._known[text] = all(file.errors_with(text + each) > without for each in closers)
        return self._known[text]

    @cached_property
    def _file(self) -> ParsedFile | None:
        parser = parser_of(self._language_id)
        file = parser and ParsedFile(parser, self._prefix, self._suffix)
        return file if file and file.errors <= MOST_ERRORS else None

    @cached_property
    def _closers(self) -> str:
        """What would close the cursor's line, where nothing behind the hole does."""
        if self._file is None or self._file.errors <= self._file.errors_of_rest:
            return ""
        line_start = self._prefix.rfind("\n") + 1
        return closers_of(self._prefix[line_start:] + self._suffix.partition("\n")[0])


def closers_of(line: str) -> str:
    """The brackets and the quote that a line leaves open, closed."""
    opened = ""
    for mark in _MARK.findall(line):
        quote = opened[-1:] if opened[-1:] in ("'", '"', "`") else ""
        if mark == quote or (not quote and opened and mark == _CLOSERS.get(opened[-1])):
            opened = opened[:-1]
        elif not quote and (mark in _CLOSERS or mark in "'\"`"):
            opened += mark
    return "".join(_CLOSERS.get(mark, mark) for mark in reversed(opened))
