"""What was cut out of files lately, so that a long file costs its time once.

::

    Cuts(masks_secrets=) .of(text, language, wanted) -> FileCut(shown, used)    for one thread
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.lsp_server.context.excerpts import excerpt
from midfill.lsp_server.context.imported_names import used_in
from midfill.lsp_server.text.secrets import masked

if TYPE_CHECKING:
    from midfill.lsp_server.context.excerpts import Excerpt
    from midfill.lsp_server.text.languages import Language
    from midfill.lsp_server.text.lines import LineRange

MOST_CUTS = 128
"""Cuts that are remembered; each keeps the text of its file."""


@dataclass(frozen=True, slots=True)
class WantedPart:
    """What to cut out of a file."""

    lines: int
    """Lines, at most."""
    edited: tuple[LineRange, ...] = ()
    """Lines that were edited lately, the last edit last."""
    defined: tuple[str, ...] = ()
    """Names whose definitions are wanted."""
    sought: tuple[str, ...] = ()
    """Names whose uses are wanted."""
    first: tuple[str, ...] = ()
    """Names whose definitions and uses come first, after those of the sought ones."""


@dataclass(frozen=True, slots=True)
class FileCut:
    """A part of a file."""

    shown: Excerpt
    used: tuple[str, ...]
    """Those of the sought names that the file uses."""


class Cuts:
    """The cuts that were made last.

    Args:
        masks_secrets: Whether secrets are masked in them.
    """

    def __init__(self, *, masks_secrets: bool = True) -> None:
        self._masks_secrets = masks_secrets
        self._known: OrderedDict[tuple[str, str, WantedPart], FileCut] = OrderedDict()

    def of(self, text: str, language: Language, wanted: WantedPart) -> FileCut:
        """What is wanted of a file's text."""
        key = (text, language.id, wanted)
        if key not in self._known:
            clean = masked(text, language.id) if self._masks_secrets else text
            self._known[key] = _cut(clean, language, wanted)
            if len(self._known) > MOST_CUTS:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


def _cut(text: str, language: Language, wanted: WantedPart) -> FileCut:
    used = used_in(text, wanted.sought)
    first = tuple(dict.fromkeys((*used, *wanted.first)))
    shown = excerpt(text, language, wanted.lines, wanted.edited, wanted.defined, first)
    return FileCut(shown, used)
