r"""Secrets in a text, each character of them replaced by a star: every position stays valid.

Masked are the shapes of the table in ``secret_shapes``, private keys in PEM, passwords in URLs and
headers, what is assigned to a name like ``password``, and random texts beside a name like ``key``.
Line ends stay, and a masked text has as many characters as before. RE2 does it, in linear time.

::

    masked(text, language_id) -> str            a whole text
    masked_part(before, text, after, language_id) -> str      a part, judged with all around it
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import re2

from midfill.lsp_server.text.lines import well_formed
from midfill.lsp_server.text.secret_shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Iterator

MASK = "*"
LEAST_ENTROPY = 4.2
"""Bits per character of a random text in base64."""
LEAST_HEX_ENTROPY = 3.0
"""Bits per character of a random text in hexadecimal digits, which has 4 at most."""
WITHIN = 16_384
"""Characters on each side of a part that are looked at; no private key and no line is longer."""
_LINES = 16_384
"""Lines that are remembered."""
_LONGEST_LINE = 500
"""Characters of a remembered line; all of them together have about 16 MB."""

_Spans = list[tuple[int, int]]


class _Rule:
    """A regular expression that is compiled at its first use: a server starts without them."""

    def __init__(self, regex: str) -> None:
        self._regex = regex

    @cached_property
    def _compiled(self) -> re2._Regexp:
        return re2.compile(self._regex)

    def search(self, text: str) -> re2._Match | None:
        """The first match."""
        return self._compiled.search(text)

    def finditer(self, text: str) -> Iterator[re2._Match]:
        """All matches."""
        yield from self._compiled.finditer(text)


_STRONG = (
    r"pass(?:word|wd|phrase|code)|passwd|pwd|secret|credentials?|api_?-?keys?|access_?-?keys?"
    r"|private_?-?keys?|auth_?-?keys?|encryption_?-?keys?|signing_?-?keys?|master_?-?keys?"
    r"|account_?-?keys?|license_?-?keys?|webhook_?-?keys?"
)
_WEAK = r"token|auth|bearer|salt|jwt|signature|session_?-?key|cookie"
_BARE_LANGUAGES = frozenset(
    {"dockerfile", "dotenv", "env", "ini", "makefile", "plaintext", "properties", "shellscript"}
    | {"toml", "yaml", "dockercompose", "terraform", "hcl"}
)
"""Ids of languages whose values stand without quotes."""

_NAME = rf"(?P<name>[\w.$-]*(?:{_STRONG}|{_WEAK})[\w-]*)"
_VALUE = r"""(?:"(?P<double>[^"\n\r]*)|'(?P<single>[^'\n\r]*)|`(?P<back>[^`\n\r]*))"""
_BETWEEN = (
    r"""["'`]?\]?\)?[ \t]*(?::[ \t]*[\w.\[\]|&<> ]{1,40}=|:=|=>|->|[!=]==?|=|:|,|\(|[ \t])"""
    r"""[ \t]*\(?[ \t]*(?:[rbufRBUF@L]|rb|br|Rb|\.to_owned)?"""
)
_ASSIGNED = _Rule(rf"(?i){_NAME}(?P<between>{_BETWEEN}){_VALUE}")
_BARE = _Rule(
    rf"(?i)^[ \t]*(?:-[ \t]+)?(?:export[ \t]+|set[ \t]+|ENV[ \t]+|ARG[ \t]+)?"
    rf"{_NAME}[ \t]*(?:=|:[ \t]|[ \t])[ \t]*(?P<value>[^\s\"'`#;]+)"
)
_LONG = _Rule(r"""["'`](?P<value>[A-Za-z0-9+/_-]{24,}={0,2})(?:["'`]|$)""")
_IN_URL = _Rule(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s:/@'\"<>]*:(?P<value>[^\s/@'\"<>]{3,})@")
_HEADER = _Rule(
    r"(?i)\b(?:bearer[ \t]|basic[ \t]|authorization[\"']?[:=,][ \t]*[\"']?token[ \t]"
    r"|x-[a-z-]*key[\"']?[:=,])[ \t]*[\"']?(?P<value>[A-Za-z0-9+/_.~-]{16,}=*)"
)
_SHAPE = _Rule("|".join(shape.regex for shape in SHAPES))
_HINT = _Rule(rf"(?i){_STRONG}|{_WEAK}|key|cred|://[^\s/]*@|basic")
"""What a line has that any of the other rules may match."""
_PEM = _Rule(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d:|Private-Lines: \d+"
)
_PEM_END = _Rule(r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|Private-MAC:")
_PEM_LINES = _Rule(r"""^(?:(?:\\[nr]|[\s"'`+,;\\])*[A-Za-z0-9+/=]{16,})+""")
_BASE64_RUN = _Rule(r"[A-Za-z0-9+/]{16}")

_IS_STRONG = _Rule(rf"(?i){_STRONG}")
_IS_FOR_PHRASES = _Rule(r"(?i)phrase")
_ABOUT = _Rule(
    r"(?i)(?:name|field|type|url|uri|path|file|dir|header|id|label|help|prompt|error|err|message|msg"
    r"|format|regex|pattern|re|env|var|class|kind|length|len|hint|placeholder|title|description|text"
    r"|chars?|policy|expir\w*|param|prefix|suffix|endpoint|scopes?|method|alg\w*|style|mode|input"
    r"|reset|forgot\w*|confirm\w*|doc|usage|option|arg|flag|command|cmd|map|types|names|s)$"
)
"""Ends of names that say something about a secret, and hold none."""
_PLACEHOLDER = _Rule(
    r"(?i)[<>{}|^]|\$\{|\$\(|\$[a-z_]|%[sd(]|\.\.\.|x{4}|\*{3}|change|example|placeholder|dummy|your"
    r"|redacted|insert|replace|sample|todo|undefined|localhost|https?:|^(?:test|none|null|true|false|"
    r"secret|password|passwd|token|key|foo|bar|baz|abc|string|str|int|bytes|default|empty|unset)\d*$"
)
_WORDS = _Rule(
    r"^(?:[a-z]+(?:[_./:-][a-z]*)+|[A-Z]+(?:[_.-][A-Z]*)*|[A-Z]?[a-z]+(?:[A-Z][a-z]+)+|--?[a-z-]+)$"
)
"""Words put together: a name of something."""
_DIGIT, _LETTER = _Rule(r"\d"), _Rule(r"[A-Za-z]")
_HEX = _Rule(r"^[0-9a-fA-F]+$")


def masked(text: str, language_id: str = "") -> str:
    """The text without its secrets."""
    return masked_part("", text, "", language_id)


def masked_part(before: str, text: str, after: str, language_id: str = "") -> str:
    """A part of a text without secrets, where some may have begun before it or go on behind it."""
    before, after = before[-WITHIN:], after[:WITHIN]
    start, whole = len(before), before + text + after
    keys = _private_keys(whole)
    # The lines that the part begins and ends in count as a whole.
    first = whole.rfind("\n", 0, start) + 1
    end = start + len(text)
    line_end = whole.find("\n", end)
    last = len(whole) if line_end < 0 else line_end
    is_bare = language_id in _BARE_LANGUAGES
    lines = (
        (_masked_line if len(line) <= _LONGEST_LINE else _masked_line.__wrapped__)(line, is_bare)
        for line in whole[first:last].split("\n")
    )
    clean = "\n".join(lines)[start - first :][: len(text)]
    return _starred(
        clean, [(max(a - start, 0), b - start) for a, b in keys if b > start and a < end]
    )


@lru_cache(_LINES)
def _masked_line(line: str, is_bare: bool) -> str:  # noqa: FBT001 (a part of the cache's key)
    r"""A line without secrets; it may have a "\r" in it."""
    clean = well_formed(line)
    spans = [match.span() for match in _SHAPE.finditer(clean)]
    if _HINT.search(clean):
        spans += [_span(match, "value") for match in _IN_URL.finditer(clean)]
        spans += [_span(m, "value") for m in _HEADER.finditer(clean) if _DIGIT.search(m["value"])]
        spans += [span for match in _ASSIGNED.finditer(clean) for span in _assigned(match)]
        spans += [
            _span(match, "value") for match in _LONG.finditer(clean) if _is_random(match["value"])
        ]
        bare = _BARE.search(clean) if is_bare else None
        if bare and _is_secret(bare["name"], bare["value"]):
            spans.append(_span(bare, "value"))
    return _starred(line, spans)


def _span(match: re2._Match, group: str) -> tuple[int, int]:
    """The place of a group, which RE2's own ``span`` takes by number only."""
    start, end = match.span(match.re.groupindex[group])
    return start, end


def _assigned(match: re2._Match) -> _Spans:
    """The value of an assignment, if it is a secret."""
    group = next((each for each in ("double", "single", "back") if match[each]), None)
    if group is None or not _is_secret(match["name"], match[group]):
        return []
    in_list = match["between"].strip("\"'` \t") == ","
    return [_span(match, group)] if not in_list or _DIGIT.search(match[group]) else []


def _is_secret(name: str, value: str) -> bool:
    """Whether the value of a name like ``password`` is a secret, and not a word about one."""
    if _ABOUT.search(name) and not _is_random(value):
        return False
    if _PLACEHOLDER.search(value) or _WORDS.search(value) or len(set(value)) < 4:
        return False
    if any(character.isspace() or not character.isprintable() for character in value):
        return bool(_IS_FOR_PHRASES.search(name)) and value.count(" ") >= 2
    is_mixed = bool(_DIGIT.search(value) and _LETTER.search(value))
    if _IS_STRONG.search(name):
        return len(value) >= 5 and bool(_LETTER.search(value) or _DIGIT.search(value))
    return len(value) >= 10 and is_mixed and _entropy(value) >= 2.5


def _is_random(value: str) -> bool:
    """Whether a text looks drawn by lot: long, with digits and letters, hardly any repetition."""
    digits = sum(character.isdigit() for character in value)
    if len(value) < 24 or digits < 2 or digits == len(value):
        return False
    least = LEAST_HEX_ENTROPY if _HEX.search(value) else LEAST_ENTROPY
    return _entropy(value) >= least


def _entropy(value: str) -> float:
    """Shannon's, in bits per character."""
    shares = (count / len(value) for count in Counter(value).values())
    return -sum(share * math.log2(share) for share in shares)


def _private_keys(text: str) -> _Spans:
    """Where private keys stand, without the lines that begin and end them."""
    if "PRIVATE KEY" not in text and "Private-Lines" not in text:
        return []
    clean = well_formed(text)
    begins = [match.end() for match in _PEM.finditer(clean)]
    spans: _Spans = []
    for begin, next_begin in pairwise((*begins, len(clean))):
        inside = clean[begin : min(next_begin, begin + WITHIN)]
        end = _PEM_END.search(inside)
        body = inside[: end.start()] if end else ""
        if not _BASE64_RUN.search(body):
            match = _PEM_LINES.search(inside)
            body = match[0] if match else ""
        spans.append((begin, begin + len(body)))
    return spans


def _starred(text: str, spans: _Spans) -> str:
    """The text with stars in the spans, but for line ends."""
    for start, end in spans:
        stars = "".join(c if c in "\r\n" else MASK for c in text[start:end])
        text = text[:start] + stars + text[end:]
    return text
