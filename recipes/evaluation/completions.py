"""Completions through the engine's boundary: as ``midfill infill`` shows them, or up to a stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine import FinishReason
from midfill.lsp_server.request.display import Display

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.engine import CompletionRequest, CompletionStats, Engine

STOP_SEQUENCE = "stop_sequence"
_ENDS_BEFORE_LINE_END = {FinishReason.LINE, FinishReason.BLOCK}


@dataclass(frozen=True, slots=True)
class Completed:
    """A text and what it cost."""

    text: str
    stats: CompletionStats
    finish: str
    """A value of FinishReason, or STOP_SEQUENCE."""

    def costs(self) -> dict[str, object]:
        """What of it goes into a journal."""
        stats = self.stats
        return {
            "finish": self.finish,
            "order": stats.order.value,
            "prompt_tokens": stats.prompt_tokens,
            "generated_tokens": stats.generated_tokens,
            "healed_tokens": stats.healed_tokens,
            "context_pieces": stats.context_pieces,
            "tries": stats.tries,
            "prefill_ms": round(stats.prefill_ms, 1),
            "decode_ms": round(stats.decode_ms, 1),
        }


def complete(
    engine: Engine, request: CompletionRequest, language_id: str, *, raw: bool
) -> Completed:
    r"""The finished completion; unless ``raw``, as it is shown to a user.

    That is ``Display.finished``, and a line end behind a completion that our stop rules ended in
    front of one, where what follows the hole starts with a line of its own: some problems count the
    line end to the middle, and an editor, where it is there already, does not.
    """
    completed = complete_until(engine, request, ())
    if raw:
        return completed
    text, reason = completed.text, completed.stats.finish_reason
    display = Display(request.prefix, request.suffix, language_id)
    shown = display.finished(text)
    if shown and display.starts_line and reason in _ENDS_BEFORE_LINE_END:
        shown = shown.rstrip("\n") + "\n"
    return Completed(shown, completed.stats, completed.finish)


def complete_until(engine: Engine, request: CompletionRequest, stops: Sequence[str]) -> Completed:
    """The engine's text up to the first of the stop sequences, which ends the generation."""
    text, stats, finish = "", None, ""
    stream = engine.infill(request)
    for chunk in stream:
        if not finish:
            text += chunk.text
            found = [place for stop in stops if (place := text.find(stop)) >= 0]
            if found:
                text, finish = text[: min(found)], STOP_SEQUENCE
                stream.cancel()
        stats = chunk.stats
    assert stats is not None, "the last chunk of a stream has its stats"
    return Completed(text, stats, finish or stats.finish_reason.value)
