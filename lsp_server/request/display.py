r"""What of a model's text is worth showing; a text that grows only ever grows on the screen.

What would leave a file that no longer parses is cut (``judgement.syntax``). Inside a word, a text
that nobody asked for is shown only if it ends with the rest of the word, which then is left out.

Text has "\n" line ends here; ``with_line_ends`` gives it the document's at the very end.

Invariant: unless ``finished(text)`` is empty, it starts with ``settled(text[:n])`` for every n, and
``settled`` of a longer text starts with ``settled`` of a shorter one
(test_what_was_shown_is_never_taken_back).
"""

from __future__ import annotations

import re

from midfill.lsp_server.judgement.syntax import Syntax

_BLANK_LINES_AT_END = re.compile(r"\s*\n\s*\Z")
_IN_WORD = re.compile(r"(?<=\w)\w+")


def _lines(text: str) -> str:
    """The lines that are not blank, without trailing blanks; grows as the text grows."""
    return "\n".join(line.rstrip() for line in text.split("\n") if line.strip())


class Display:
    """Decides what to show of the completions at one place.

    Args:
        prefix: Everything before the cursor.
        suffix: Everything after the cursor.
        language_id: LSP's; the file is parsed if there is a grammar for it.
        is_asked: Whether somebody asked for a text, rather than just typed.
    """

    def __init__(
        self, prefix: str, suffix: str, language_id: str = "", *, is_asked: bool = True
    ) -> None:
        self._line_start = prefix.rpartition("\n")[2]
        self._suffix = suffix
        rest, _, below = suffix.partition("\n")
        self.starts_line = not self._line_start and bool(rest)
        """Whether the cursor is at the start of a line that goes on behind it."""
        self.is_whole_line = self.starts_line and rest[0] in " \t" and bool(rest.strip())
        """Whether it is before a line of its own, its indentation included (as to the engine)."""
        self._lines_below = _lines(suffix if self.is_whole_line else below)
        self._ends_line = not rest.strip()
        self._syntax = Syntax(prefix, suffix, language_id)
        self._prefix, self._is_asked = prefix, is_asked

    def prepare(self) -> None:
        """Parse the file now, while the model reads its prompt."""
        self._syntax.breaks("")

    def finished(self, text: str, typed: str = "") -> str:
        """What to insert of a finished completion; empty if nothing is worth it.

        Nothing is: blanks, what already follows the cursor, and whole lines that already follow.
        Blank lines at the end go, except in front of code on the same line.

        Args:
            text: What is left of the completion.
            typed: What of it was typed already.
        """
        rest_of_word = self._rest_of_word(typed)
        if not text.endswith(rest_of_word):
            return ""
        text = text.removesuffix(rest_of_word)
        text = text[: self._syntax.stays(text)]
        if not text.strip() or self._is_there(text):
            return ""
        return _BLANK_LINES_AT_END.sub("", text) if self._ends_line else text

    def settled(self, text: str, typed: str = "") -> str:
        """What can be shown of an unfinished completion, however it goes on."""
        if self._rest_of_word(typed):
            return ""
        text = text[: self._syntax.sure(text)]
        if not text.strip() or self._may_be_there(text):
            return ""
        return text.rstrip() if self._ends_line else text

    def _rest_of_word(self, typed: str) -> str:
        """The word's rest behind the place where a completion began, if that was inside a word."""
        if self._is_asked:
            return ""
        start = len(self._prefix) - len(typed)
        before = self._prefix[max(start - 1, 0) : start]
        in_word = _IN_WORD.match(before + self._suffix.partition("\n")[0], len(before))
        return in_word[0] if in_word else ""

    def _whole_lines(self, text: str) -> str:
        starts_below = text.lstrip(" \t").startswith("\n")
        return _lines(text if starts_below else self._line_start + text)

    def _is_there(self, text: str) -> bool:
        if not self.is_whole_line and self._suffix.startswith(text.rstrip()):
            return True
        return f"{self._lines_below}\n".startswith(f"{self._whole_lines(text)}\n")

    def _may_be_there(self, text: str) -> bool:
        if not self.is_whole_line and self._suffix.startswith(text.rstrip()):
            return True
        return self._lines_below.startswith(self._whole_lines(text))
