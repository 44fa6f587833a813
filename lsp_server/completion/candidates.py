"""Further candidates of one place: how the engine is asked for them, and which of them count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from midfill.lsp_server.completion.filling import Filling
    from midfill.lsp_server.completion.suggestions import Items
    from midfill.lsp_server.request.origin import Asked
    from midfill.lsp_server.request.place import Place, Suggestion

TRIES = 3
"""Tries of the engine for each candidate that is wanted."""
SPARE = 2
"""Candidates more than are wanted: some look like others, or like nothing, once they are cut."""


def several(asked: Asked, number: int) -> Asked:
    """The request again, for so many different texts."""
    alternatives = number - 1 + SPARE
    tries = TRIES * number + SPARE
    request = replace(asked.request, tries=tries, alternatives=alternatives)
    return replace(asked, request=request)


def are_enough(place: Place, known: Sequence[Filling], number: int) -> bool:
    """Whether so many different texts are known, or were asked for and did not come."""
    were_asked_for = any(
        each.origin.asked.request.alternatives >= number - 1 + SPARE for each in known
    )
    return were_asked_for or len(distinct(place, known)) >= number


def distinct(place: Place, fillings: Iterable[Filling]) -> dict[str, Filling]:
    """The fillings by their texts to show at a place; without what shows nothing or nothing new."""
    found: dict[str, Filling] = {}
    for filling in fillings:
        hole = place.hole
        text = place.display.finished(filling.rest(hole), filling.typed(hole))
        if text:
            found.setdefault(text, filling)
    return found


def offer_distinct(
    items: Items, place: Place, fillings: Iterable[Filling], number: int
) -> list[Suggestion]:
    """Different suggestions, so many if there are; the first is offered last, as the newest."""
    chosen = list(distinct(place, fillings).items())[:number]
    offered: list[Suggestion] = []
    for text, filling in reversed(chosen):
        offered = items.offer(filling, place, text, filling.origin.source) + offered
    return offered
