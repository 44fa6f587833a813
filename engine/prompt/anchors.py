"""Where a middle may begin that the user has begun to type.

A model that was trained with the suffix behind the prefix only (PSM) would read its suffix anew at
each key. But what is typed may as well begin the middle: the model saw middles that begin anywhere,
and so a key only appends. Begun middles start where lines do, so that a text has few such places
and its prompts share them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGUN_CHARACTERS = 512
"""A middle does not begin further before the cursor."""
OLD_ANCHOR = BEGUN_CHARACTERS // 2
"""Characters; if it does by more than this, a newer place is read as soon as there is time."""


def anchors(text: str) -> Iterator[int]:
    """The places before the end of a text where the middle may begin, the newest one first.

    They are the starts of its last lines. In a line that is too long they move in large steps.
    """
    least = max(0, len(text) - BEGUN_CHARACTERS)
    line_end = text.rfind("\n", least)
    if line_end < 0 < least:
        yield len(text) // OLD_ANCHOR * OLD_ANCHOR
    while line_end >= 0:
        yield line_end + 1
        line_end = text.rfind("\n", least, line_end)
    if not least:
        yield 0
