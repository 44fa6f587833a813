r"""The patterns of an ignore file (gitignore(5)), matched in a time that is linear in the name.

Written after git's ``wildmatch.c`` and ``dir.c``, and like them on bytes. RE2 does the matching,
since with stars enough a regular expression that backtracks never ends.

::

    Patterns(lines, problem, ignores_case=) .verdict(name, is_folder=) -> bool | None
    pattern_problem(line) -> str | None                 why git could never match it
    is_match(glob, text, ignores_case=) -> bool         one glob alone
"""

from __future__ import annotations

import os
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

import re2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LONGEST_PATTERN = 4096
"""Bytes; no path is longer (PATH_MAX of Linux)."""

_WILD = frozenset(b"*?[\\")
_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, (*range(32), 127))),
    "digit": string.digits,
    "graph": "".join(map(chr, range(33, 127))),
    "lower": string.ascii_lowercase,
    "print": "".join(map(chr, range(32, 127))),
    "punct": string.punctuation,
    "space": " \t\n\v\f\r",
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}
"""The named classes of POSIX, in the C locale."""


class _BadPatternError(ValueError):
    """Nothing can match the pattern; the message says why."""


def _options() -> re2.Options:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    return options


_OPTIONS = _options()


@dataclass(slots=True)
class _Rule:
    """One pattern: a literal text, or one with wildcards."""

    number: int
    """Its place in the file; of all that match, the last one counts."""
    ignores: bool
    """If not, it takes back what others ignore."""
    for_folders: bool
    of_path: bool
    """Whether it is for the path from the ignore file's folder on; otherwise for a name."""
    glob: bytes
    ignores_case: bool
    """If so, paths and names come in small letters."""
    regex: re2._Regexp | None = None
    """Made from the glob at its first use."""

    def matches(self, path: bytes, name: bytes) -> bool:
        """Whether its wildcards do."""
        head, star, tail = self.glob.partition(b"*")
        if star and not self.of_path and _WILD.isdisjoint(head + tail):  # *.py: most are so
            fits = len(name) >= len(head) + len(tail)
            return fits and name.startswith(head) and name.endswith(tail)
        if self.regex is None:
            self.regex = re2.compile(_regex(self.glob, ignores_case=self.ignores_case), _OPTIONS)
        return self.regex.fullmatch(path if self.of_path else name) is not None


class Patterns:
    """The patterns of one file, in order; the last one that matches counts.

    Args:
        lines: Without line ends.
        problem: Called with a pattern and what is wrong with it, for each that is skipped.
        ignores_case: Whether "A" means "a", too (``core.ignoreCase``); of ASCII only.
    """

    def __init__(
        self,
        lines: Iterable[bytes],
        problem: Callable[[str, str], None],
        *,
        ignores_case: bool = False,
    ) -> None:
        self._ignores_case = ignores_case
        self._literal: dict[tuple[bool, bytes], list[_Rule]] = {}
        self._wild: list[_Rule] = []
        for number, line in enumerate(lines):
            try:
                rule = _rule(number, line, ignores_case=ignores_case)
            except _BadPatternError as error:
                problem(_shown(line), str(error))
                continue
            if rule is not None:
                self._add(rule)

    def verdict(self, path: bytes, *, is_folder: bool) -> bool | None:
        """Whether the last pattern that matches ignores; None if none matches.

        Args:
            path: From the ignore file's folder on, without a slash at either end.
            is_folder: Whether it is one.
        """
        path = path.lower() if self._ignores_case else path
        name = path.rpartition(b"/")[2]
        literal = (*self._literal.get((True, path), ()), *self._literal.get((False, name), ()))
        fitting = (rule for rule in literal if is_folder or not rule.for_folders)
        last = max(fitting, key=lambda rule: rule.number, default=None)
        for rule in reversed(self._wild):
            if last is not None and rule.number < last.number:
                break
            if (is_folder or not rule.for_folders) and rule.matches(path, name):
                return rule.ignores
        return None if last is None else last.ignores

    def _add(self, rule: _Rule) -> None:
        if _WILD.isdisjoint(rule.glob):
            self._literal.setdefault((rule.of_path, rule.glob), []).append(rule)
        else:
            self._wild.append(rule)


def wild_bytes(lines: Iterable[bytes]) -> int:
    """The bytes of all patterns with wildcards, each of which is compared with each name."""
    return sum(len(line) for line in lines if not _WILD.isdisjoint(line))


def pattern_problem(line: str) -> str | None:
    """What is wrong with a pattern, or None."""
    try:
        _rule(0, line.encode("utf-8", "surrogateescape"))
    except (_BadPatternError, UnicodeEncodeError) as error:
        return str(error)
    return None


def is_match(glob: str, text: str, *, ignores_case: bool = False) -> bool:
    """Whether a glob matches a whole text, as git compares paths with it."""
    text = text.lower() if ignores_case else text
    try:
        regex = re2.compile(_regex(os.fsencode(glob), ignores_case=ignores_case), _OPTIONS)
    except (_BadPatternError, re2.error):
        return False
    return regex.fullmatch(os.fsencode(text)) is not None


def _rule(number: int, line: bytes, *, ignores_case: bool = False) -> _Rule | None:
    """The rule of a line; None if there is none in it.

    Raises:
        _BadPatternError: nothing can match it.
    """
    line = line.partition(b"\0")[0]  # a C string, to git
    if line.startswith(b"#"):
        return None
    glob = _without_trailing_spaces(line)
    ignores = not glob.startswith(b"!")
    glob = glob if ignores else glob[1:]
    for_folders = glob.endswith(b"/")
    glob = glob[:-1] if for_folders else glob
    if not glob:
        return None
    if len(glob) > LONGEST_PATTERN:
        raise _BadPatternError(f"longer than {LONGEST_PATTERN} bytes")
    of_path = b"/" in glob
    glob = glob.removeprefix(b"/")
    if b"[" in glob or b"\\" in glob:
        _regex(glob, ignores_case=ignores_case)  # raises what is wrong
    elif ignores_case:
        glob = glob.lower()
    return _Rule(number, ignores, for_folders, of_path, glob, ignores_case)


def _without_trailing_spaces(line: bytes) -> bytes:
    """The line without spaces at its end, but for one behind a backslash."""
    bare = line.rstrip(b" ")
    backslashes = len(bare) - len(bare.rstrip(b"\\"))
    return bare + b" " if backslashes % 2 and len(bare) < len(line) else bare


def _shown(line: bytes) -> str:
    """The line for people, not too long."""
    text = line.decode("utf-8", "backslashreplace")
    return text if len(text) <= 60 else f"{text[:57]}..."


def _regex(glob: bytes, *, ignores_case: bool) -> bytes:
    """The regular expression for a glob; if case is ignored, for a text in small letters."""
    return b"".join(_parts(glob, ignores_case=ignores_case))


def _parts(glob: bytes, *, ignores_case: bool) -> Iterator[bytes]:
    """The parts of the regular expression (``dowild`` with WM_PATHNAME)."""
    at = 0
    while at < len(glob):
        if glob[at] == ord("*"):
            part, at = _stars(glob, at)
            yield part
        elif glob[at] == ord("["):
            chosen, at = _class(glob, at + 1, ignores_case=ignores_case)
            yield _one_of(chosen - {ord("/")})
        elif glob[at] == ord("?"):
            yield b"[^/]"
            at += 1
        else:
            is_escaped = glob[at] == ord("\\")  # git then compares the letter as it is
            at += is_escaped
            byte = _byte(glob, at)
            yield _one_of({byte} if is_escaped or not ignores_case else set(bytes((byte,)).lower()))
            at += 1


def _stars(glob: bytes, start: int) -> tuple[bytes, int]:
    """What stars match, and where the glob goes on; two of them are folders if alone."""
    end = start
    while glob[end : end + 1] == b"*":
        end += 1
    # What is literal before the first wildcard is gone when git looks at the stars.
    is_alone = _WILD.isdisjoint(glob[:start]) or glob[start - 1] == ord("/")
    if end - start > 1 and is_alone:
        if end == len(glob) or glob.startswith(b"\\/", end):
            return b"(?s:.*)", end
        if glob[end] == ord("/"):
            return b"(?s:(?:.*/)?)", end + 1
    return b"[^/]*", end


def _class(glob: bytes, at: int, *, ignores_case: bool) -> tuple[set[int], int]:
    """The bytes that a class in brackets means, and where the glob goes on.

    If case is ignored, git does so in ranges and named classes, not for single letters.
    """

    def add(some: Iterable[int]) -> None:
        chosen.update(bytes(some) + bytes(some).lower() if ignores_case else some)

    is_negated = glob[at : at + 1] in (b"!", b"^")
    at += is_negated
    chosen: set[int] = set()
    before: int | None = None
    """The last byte, if a range may start with it."""
    first = at
    while at == first or _byte(glob, at) != ord("]"):
        byte = _byte(glob, at)
        name_end = glob.find(b"]", at + 2)
        if byte == ord("-") and before is not None and _byte(glob, at + 1) != ord("]"):
            at += 1 + (glob[at + 1] == ord("\\"))
            add(range(before, _byte(glob, at) + 1))
            before = None
        elif glob.startswith(b"[:", at) and name_end > at + 2 and glob[name_end - 1] == ord(":"):
            add(_named(glob[at + 2 : name_end - 1]))
            at, before = name_end, None
        else:
            at += byte == ord("\\")
            before = _byte(glob, at)
            chosen.add(before)
        at += 1
    return (set(range(256)) - chosen if is_negated else chosen), at + 1


def _named(name: bytes) -> set[int]:
    members = _CLASSES.get(name.decode("latin-1"))
    if members is None:
        raise _BadPatternError(f"has no class of characters {_shown(name)!r}")
    return set(members.encode())


def _byte(glob: bytes, at: int) -> int:
    if at >= len(glob):
        raise _BadPatternError("ends within brackets or behind a backslash")
    return glob[at]


def _one_of(chosen: set[int]) -> bytes:
    if not chosen:
        raise _BadPatternError("has brackets that match nothing")
    escaped = "".join(f"\\x{byte:02x}" for byte in sorted(chosen))
    return (escaped if len(chosen) == 1 else f"[{escaped}]").encode()
