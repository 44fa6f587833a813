"""Further candidates of one place: how the engine is asked for them, and which of them count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midfill.lsp_server.completion.engine_run import EngineRun
    from midfill.lsp_server.request.origin import Asked
    from midfill.lsp_server.request.place import Place

TRIES = 3
"""Of the engine for each candidate that is wanted."""
SPARE = 2
"""Candidates more than are wanted: some look like others, or like nothing, once they are cut."""


def several(asked: Asked, number: int) -> Asked:
    """The same request, for so many different texts."""
    alternatives = number - 1 + SPARE
    tries = TRIES * number + SPARE
    request = replace(asked.request, tries=tries, alternatives=alternatives)
    return replace(asked, request=request)


def has_several(generation: EngineRun, number: int) -> bool:
    """Whether so many were asked for with this one."""
    return generation.origin.asked.request.alternatives >= number - 1 + SPARE


def distinct(place: Place, generations: Iterable[EngineRun]) -> dict[str, EngineRun]:
    """By the texts to show at a place, in order; without what shows nothing or nothing new."""
    found: dict[str, EngineRun] = {}
    for generation in generations:
        text = place.display.finished(generation.rest(place.hole))
        if text:
            found.setdefault(text, generation)
    return found
