"""Which parts of other files are shown, and in which order.

The score of a part is the sum of the weights of the reasons to show it, and the overlap of its
identifiers with those around the cursor (Jaccard index). The order is made for the cache: a part
that was shown before and has not changed keeps its place, and new ones follow at the end, next to
the text before the cursor; so a change costs the prefill of what comes after it, no more.

::

    identifiers(text) -> frozenset[str]
    ranked(found, near, settings) -> {ContextPiece: Provenance}    best first
    in_stable_order(ranked, shown) -> (ContextPiece, ...)               as the engine wants them
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import ContextPiece
from midfill.lsp_server.settings import CHARACTERS_PER_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midfill.lsp_server.settings import ContextSettings
    from midfill.lsp_server.text.lines import LineRange

LEAST_SCORE = 0.15
"""Less is not worth its tokens."""
UNKNOWN_OVERLAP = 0.1
"""Assumed where there is no text around the cursor yet."""
DUPLICATE_SHARE = 0.8
"""The share of the shorter part's lines from which on two parts say the same."""

_IDENTIFIER = re.compile(r"[^\W\d]\w{2,}")
_KEYWORDS = frozenset(
    _IDENTIFIER.findall(
        "and any args assert async await bool boolean break case catch char class const continue "
        "def default del delete double elif else enum except export extends extern false False "
        "final finally float for from func function global goto impl implements import include "
        "int interface internal lambda let local long match mod module mut namespace new nil None "
        "nonlocal not null object override package pass private protected pub public raise record "
        "require return self Self short signed sizeof static str string String struct super "
        "switch template then this throw throws trait true True try type typedef typename typeof "
        "undefined union unsigned unsafe use using val var virtual void volatile when where while "
        "with yield"
    )
)
"""Words of any language: every file has them, so they say nothing about relevance."""


@dataclass(frozen=True, slots=True)
class FoundPiece:
    """A part of a file that might be shown."""

    piece: ContextPiece
    weight: float
    """The sum for the reasons to show it, whatever it says."""
    reasons: tuple[str, ...] = ()
    lines: LineRange | None = None
    """The file's lines from the first to the last one in it."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Why a part is shown."""

    score: float
    reasons: tuple[str, ...]
    lines: LineRange | None
    """The file's lines, as in the found piece."""


def identifiers(text: str) -> frozenset[str]:
    """The words of a text that could be names: three characters or more, and no keywords."""
    return frozenset(_IDENTIFIER.findall(text)) - _KEYWORDS


def ranked(
    found: Iterable[FoundPiece], near: frozenset[str], settings: ContextSettings
) -> dict[ContextPiece, Provenance]:
    """The best ones that fit, best first; of equals, the first by path."""
    scored = [(each.weight + _overlap(near, each.piece.text), each) for each in found]
    scored.sort(key=lambda entry: (-entry[0], entry[1].piece.path, entry[1].piece.text))
    characters = settings.max_tokens * CHARACTERS_PER_TOKEN
    kept: dict[ContextPiece, Provenance] = {}
    seen: list[frozenset[str]] = []
    for score, best in scored:
        piece, lines = best.piece, _lines(best.piece.text)
        fits = len(kept) < settings.max_pieces and len(piece.text) <= characters
        if score >= LEAST_SCORE and fits and not any(_same(lines, other) for other in seen):
            characters -= len(piece.text)
            kept[piece] = Provenance(score, best.reasons, best.lines)
            seen.append(lines)
    return kept


def in_stable_order(
    best_first: Iterable[ContextPiece], shown: tuple[ContextPiece, ...]
) -> tuple[ContextPiece, ...]:
    """Least relevant first, but what was shown before stays in front and in its order."""
    chosen = tuple(best_first)
    kept = tuple(piece for piece in shown if piece in chosen)
    return kept + tuple(piece for piece in reversed(chosen) if piece not in kept)


def _overlap(near: frozenset[str], text: str) -> float:
    if not near:
        return UNKNOWN_OVERLAP
    names = identifiers(text)
    return len(near & names) / len(near | names)


def _lines(text: str) -> frozenset[str]:
    """The lines that say something, without their indentation."""
    return frozenset(line.strip() for line in text.split("\n")) - {""}


def _same(one: frozenset[str], other: frozenset[str]) -> bool:
    return len(one & other) >= DUPLICATE_SHARE * min(len(one), len(other))
