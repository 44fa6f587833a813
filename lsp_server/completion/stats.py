"""Counters of one client's completions, for ``midfill/stats``; they never leave the machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from midfill.lsp_server.request.explanation import camel, cost_as_json
from midfill.lsp_server.request.origin import Source

if TYPE_CHECKING:
    from midfill.engine.api import CompletionStats


@dataclass(slots=True)
class Stats:
    """What has happened since the session began.

    A record of counters, and so as long as there are things to count.
    """

    requests: int = 0
    reused: int = 0
    """Answered from a finished completion, without the engine."""
    joined: int = 0
    """Given the rest of a run that an earlier request started."""
    generations: int = 0
    """Requests to the engine."""
    cancelled: int = 0
    """Runs of the engine that were stopped."""
    prefetches: int = 0
    """Requests to the engine for what may be asked next."""
    prefetched: int = 0
    """Answered from one of those."""
    shown: int = 0
    """Suggestions that the user has seen, accepted some of, or turned away; each counts once."""
    accepted: int = 0
    accepted_characters: int = 0
    dismissed: int = 0
    last_cancel_ms: float | None = None
    """Milliseconds from the last cancel to the end of the engine's stream."""
    worst_cancel_ms: float | None = None
    last: CompletionStats | None = None
    """The cost of the last run that came to an end without an error."""

    def count_answer(self, source: Source) -> None:
        """One more request was answered without a run of its own."""
        self.prefetched += source is Source.PREFETCHED
        self.reused += source is Source.REUSED
        self.joined += source is Source.JOINED

    def count_end(self, cost: CompletionStats | None, cancel_ms: float | None) -> None:
        """One more run has ended, at this cost; it was stopped if that took a time."""
        self.last = cost or self.last
        if cancel_ms is not None:
            self.count_cancel(cancel_ms)

    def count_cancel(self, milliseconds: float) -> None:
        """One more run was stopped, and this is how long that took."""
        self.cancelled += 1
        self.last_cancel_ms = milliseconds
        self.worst_cancel_ms = max(milliseconds, self.worst_cancel_ms or 0.0)

    def as_json(self) -> dict[str, object]:
        """The counters for the wire, with camel-case names."""
        fields = {camel(name): value for name, value in asdict(self).items()}
        if self.last is not None:
            fields["last"] = cost_as_json(self.last)
        return fields
