"""What a replay has shown: where it is as the recording was, and where it is not.

Compared are replies that hold completions, and the tokens of the engine's runs. Without texts there
are no words to compare: then each request must be answered, by a result or by the same error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.lsp_server.messages import CANDIDATES
from midfill.lsp_server.recording.conversation import items_of
from midfill.lsp_server.recording.events import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from midfill.lsp_server.recording.conversation import Conversation, Message
    from midfill.lsp_server.recording.events import SessionRecord
    from midfill.lsp_server.recording.runs import RecordedRuns

_IDS = frozenset({"command", "itemId"})
"""Fields of a suggestion that name it; how many came before it depends on time."""
_COMPLETIONS = frozenset({"textDocument/inlineCompletion", "textDocument/completion", CANDIDATES})


@dataclass(frozen=True, slots=True)
class Deviation:
    """Something that is not as it was."""

    what: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What a replay has shown."""

    same: int
    """Replies and runs that were compared, and are as they were."""
    deviations: tuple[Deviation, ...]
    notes: tuple[str, ...]
    """What could not be compared, or was not asked again."""


def compared(
    record: SessionRecord,
    sides: tuple[Conversation, Conversation],
    runs: RecordedRuns,
    missing: Sequence[str],
) -> ReplayResult:
    """What a replay has shown.

    Args:
        record: The session.
        sides: The conversation then, and the one now.
        runs: The engine's.
        missing: What was waited for in vain.
    """
    found = [*_replies(*sides, has_texts=record.has_texts), *_runs(runs)]
    deviations = [each for each in found if each is not None]
    same = len(found) - len(deviations)
    deviations += [Deviation(what, "it came", "it did not come") for what in missing]
    return ReplayResult(same, tuple(deviations), tuple(_notes(record, runs)))


def _replies(
    then: Conversation, now: Conversation, *, has_texts: bool
) -> Iterator[Deviation | None]:
    """For each reply that counts what is not as it was; None: all is."""
    for number, request in then.requests.items():
        if number not in then.replies or number not in now.replies:
            continue
        both = then.replies[number], now.replies[number]
        is_compared = has_texts and request["method"] in _COMPLETIONS
        told = [_told(reply, is_compared=is_compared) for reply in both]
        if told[0] == told[1]:
            yield None
        elif number not in then.overtaken or all(map(items_of, both)):
            yield Deviation(f"the reply to {request['method']} {number}", *told)


def _told(reply: Message, *, is_compared: bool) -> str:
    """What of a reply must be the same, in words."""
    if "error" in reply:
        return f"error {reply['error']['code']}"
    if not is_compared:
        return "a result"
    items = [{k: v for k, v in item.items() if k not in _IDS} for item in items_of(reply)]
    return json.dumps(items, indent=1, ensure_ascii=False) if items else "no completion"


def _runs(runs: RecordedRuns) -> Iterator[Deviation | None]:
    for run in runs.by_number.values():
        if run.then is None or run.now is None or not run.request.max_tokens:
            continue
        if run.now.agrees_with(run.then):
            yield None
        else:
            told = [f"{each.text}\n\ntokens {[*each.tokens]}" for each in (run.then, run.now)]
            yield Deviation(f"run {run.number} of the engine", *told)


def _notes(record: SessionRecord, runs: RecordedRuns) -> Iterator[str]:
    if any(event["kind"] == Kind.FULL for event in record.events):
        yield "the recording was full before the session had ended"
    if not record.has_texts:
        yield "texts were not recorded: only answers and errors are compared, no tokens"
        return
    asked = [run for run in runs.by_number.values() if run.request.max_tokens]
    if left := sum(not run.is_asked for run in asked):
        yield f"{left} of {len(asked)} requests to the engine were not made again"
    if runs.unexpected:
        yield f"{runs.unexpected} requests to the engine were not in the recording"
    if fields := sorted({name for run in asked for name in run.changed}):
        yield f"requests were made as recorded, and would have others now: {', '.join(fields)}"
