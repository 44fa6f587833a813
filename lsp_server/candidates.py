"""Further candidates of one place: how they are sampled, which of them count, and in which order.

They are computed one after another with the prompt of the first one, which the engine's cache holds
by then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midfill.lsp_server.explanation import Asked
    from midfill.lsp_server.place import Place
    from midfill.lsp_server.reuse import Generation

TEMPERATURE = 0.8
"""At least; less gives the same text again and again."""
TOP_P = 0.95
"""At most; what is less likely than that is nonsense at this temperature."""
TRIES = 2
"""Samples for each candidate that is wanted, at most."""


def sampled(asked: Asked, number: int) -> Asked:
    """The same request for another text; each number gives its own, and the same one each time."""
    sampling = asked.request.sampling
    other = replace(
        sampling,
        temperature=max(sampling.temperature, TEMPERATURE),
        top_p=min(sampling.top_p, TOP_P),
        seed=(sampling.seed or 0) + number,
    )
    return replace(asked, request=replace(asked.request, sampling=other))


def distinct(place: Place, generations: Iterable[Generation]) -> dict[str, Generation]:
    """By the texts to show at a place: the first generation in front, others the likeliest first.

    Those with nothing to show, or with the text of one before, are left out.
    """
    found: dict[str, Generation] = {}
    for generation in generations:
        text = place.display.finished(generation.rest(place.hole))
        if text:
            found.setdefault(text, generation)
    first = next(iter(found), "")
    return dict(sorted(found.items(), key=lambda each: (each[0] != first, -_likeliness(each[1]))))


def _likeliness(generation: Generation) -> float:
    return generation.stats.mean_logprob if generation.stats is not None else 0.0
