"""How a completion came about, for ``midfill/explain`` and ``midfill infill --explain``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midfill.engine.api import CompletionRequest, CompletionStats, ContextPiece
    from midfill.lsp_server.context.ranking import Provenance
    from midfill.lsp_server.request.origin import Origin, Source

_LABEL_WIDTH = 9


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of another file, why it was chosen, and whether the prompt had room."""

    piece: ContextPiece
    why: Provenance
    is_fitted: bool

    def as_json(self) -> dict[str, object]:
        """An entry of ``context`` in the reply to ``midfill/explain``."""
        lines = self.why.lines
        return {
            "path": self.piece.path,
            "firstLine": lines.start + 1 if lines else None,
            "lastLine": lines.end if lines else None,
            "characters": len(self.piece.text),
            "score": round(self.why.score, 4),
            "reasons": list(self.why.reasons),
            "fitted": self.is_fitted,
        }

    def as_text(self) -> str:
        """A line for people, without its end."""
        lines = f":{self.why.lines.start + 1}-{self.why.lines.end}" if self.why.lines else ""
        left_out = "" if self.is_fitted else "; left out: no room"
        reasons = ", ".join(self.why.reasons)
        return f"{self.piece.path}{lines}  score {self.why.score:.2f} ({reasons}){left_out}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One suggestion, explained."""

    origin: Origin
    source: Source
    """How the last request for it was answered; the origin's is how it began."""
    line: int
    """The cursor's line, from 1."""
    written: str
    """All that the model wrote."""
    shown: str
    """The part of it that is shown; the rest was not worth it."""
    stats: CompletionStats | None
    """What it cost; None while the model still writes."""

    @property
    def cut(self) -> str:
        """What was written and will not be shown."""
        return self.written[len(self.shown) :] if self.stats is not None else ""

    def as_json(self) -> dict[str, object]:
        """The reply to ``midfill/explain``."""
        engine, request = self.origin.engine, self.origin.asked.request
        return {
            "itemId": self.origin.item_id,
            "text": self.shown,
            "source": self.source.value,
            "model": engine.model,
            "dialect": engine.dialect,
            "device": engine.device,
            "dtype": engine.dtype,
            "path": request.path,
            "line": self.line,
            "scope": request.scope.value,
            "temperature": request.sampling.temperature,
            "priority": request.priority.name.lower(),
            "context": [piece.as_json() for piece in self._context()],
            "skipped": [asdict(skip) for skip in self.origin.asked.skipped],
            "cut": self.cut,
            "stats": None if self.stats is None else cost_as_json(self.stats),
            "contextMs": self.origin.asked.context_ms,
            "report": self.as_text(),
        }

    def as_text(self) -> str:
        """Lines for people, each with a line end."""
        return "".join(f"{label:{_LABEL_WIDTH}} {text}\n" for label, text in self._rows())

    def _context(self) -> Iterator[_Piece]:
        asked = self.origin.asked
        pieces = asked.request.context
        fitted = len(pieces) if self.stats is None else self.stats.context_pieces
        for number, (piece, why) in enumerate(zip(pieces, asked.provenance, strict=True)):
            yield _Piece(piece, why, number >= len(pieces) - fitted)  # the first are left out

    def _rows(self) -> Iterator[tuple[str, str]]:
        engine, request = self.origin.engine, self.origin.asked.request
        where = request.path or "a document without a path"
        yield "where", f"{where}, line {self.line}"
        yield "how", f"{self.source.value}, {_asked_in_words(request)}"
        yield "model", f"{engine.model} ({engine.dialect}) on {engine.device} in {engine.dtype}"
        yield from self._prompt_rows()
        for piece in self._context():
            yield "", piece.as_text()
        for skip in self.origin.asked.skipped:
            yield "skipped", f"{skip.what}: {skip.why}"
        if self.stats is not None:
            yield from _cost_rows(self.stats)
        yield "shown", repr(self.shown)
        if self.cut:
            yield "cut", repr(self.cut)

    def _prompt_rows(self) -> Iterator[tuple[str, str]]:
        asked, stats = self.origin.asked, self.stats
        count = len(asked.request.context)
        if stats is None:
            yield "context", f"{count} parts of other files, found in {asked.context_ms:.1f} ms"
            return
        yield (
            "prompt",
            f"{stats.prompt_tokens} tokens, {stats.order.value}: {stats.cached_tokens} cached,"
            f" {stats.prefilled_tokens} computed; {stats.healed_tokens} held back by healing"
            + ("; cut to be read in time" if stats.is_short else ""),
        )
        yield (
            "context",
            f"{stats.context_pieces} of {count} parts of other files fitted,"
            f" found in {asked.context_ms:.1f} ms",
        )


def _asked_in_words(request: CompletionRequest) -> str:
    temperature = request.sampling.temperature
    choice = f"temperature {temperature:g}" if temperature else "greedy"
    return f"priority {request.priority.name.lower()}, scope {request.scope.value}, {choice}"


def _cost_rows(stats: CompletionStats) -> Iterator[tuple[str, str]]:
    yield (
        "written",
        f"{stats.generated_tokens} tokens, ended by {stats.finish_reason.value},"
        f" mean log probability {stats.mean_logprob:.2f}"
        + (f", the best of {stats.tries} tries" if stats.tries > 1 else ""),
    )
    yield (
        "time",
        f"{stats.queue_ms:.0f} ms waiting, {stats.prefill_ms:.0f} ms reading,"
        f" {stats.decode_ms:.0f} ms writing",
    )


def cost_as_json(stats: CompletionStats) -> dict[str, object]:
    """What one completion cost, for the wire."""
    return {camel(name): _plain(value) for name, value in asdict(stats).items()}


def camel(name: str) -> str:
    """A name as it is written on the wire: ``max_tokens`` is ``maxTokens``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value
