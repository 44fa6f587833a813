"""How a completion came about: kept while it is made, told to whoever wants to know.

::

    Asked(request, provenance, context_ms)      what the engine was asked, made by ``maker``
    Origin(item_id, source, asked, engine)      what a run came from
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midfill.engine.api import CompletionRequest, EngineInfo
    from midfill.lsp_server.context.look import Skip
    from midfill.lsp_server.context.ranking import Provenance


class Source(Enum):
    """How an answer was found."""

    GENERATED = "generated"
    """The engine was asked for it."""
    JOINED = "joined"
    """It is read in a run that an earlier request had started."""
    REUSED = "reused"
    """It is the rest of a finished completion."""
    PREFETCHED = "prefetched"
    """It was prepared when the suggestion before it was shown."""
    CANDIDATE = "candidate"
    """It is a further candidate."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the engine, and where its context came from."""

    request: CompletionRequest
    provenance: tuple[Provenance, ...] = ()
    """Why each piece of the request's context is there, in the same order."""
    context_ms: float = 0.0
    """Milliseconds that gathering the context took."""
    skipped: tuple[Skip, ...] = ()
    """What was passed over because something is wrong with it."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A run's request, its engine, and how it came to be."""

    item_id: str
    source: Source
    asked: Asked
    engine: EngineInfo
