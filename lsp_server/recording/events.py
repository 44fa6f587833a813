"""The events of a recorded session: a JSON object a line, in the order in which they happened.

::

    {"t": 0.0,  "kind": "begin", "format": 1, "texts": false, ...}     versions, options
    {"t": 1.2,  "kind": "in", "message": {...}}                        from the client
    {"t": 1.3,  "kind": "raw", "bytes": 7, "body": "..."}              from it, and no JSON
    {"t": 1.9,  "kind": "out", "message": {...}}                       to the client
    {"t": 940., "kind": "engine", "config": {...}, "info": {...}, "files": [...]}
    {"t": 951., "kind": "ask", "run": 1, "request": {...}}             with the seed it got
    {"t": 990., "kind": "chunk", "run": 1, "characters": 3}            read from the engine
    {"t": 995., "kind": "cancel", "run": 1}
    {"t": 999., "kind": "end", "run": 1, "text": "...", "tokens": [...], "stats": {...}}
    {"t": 999., "kind": "error", "run": 1, "error": "..."}             instead of an end
    {"t": 999., "kind": "full"}                                        nothing after it was kept

``t`` is in milliseconds since the beginning.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any

from midfill.engine.api import (
    CompletionRequest,
    ContextPiece,
    Order,
    Priority,
    Sampling,
    Scope,
)
from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1

Event = dict[str, Any]


class Kind(StrEnum):
    """What has happened."""

    BEGIN = "begin"
    IN = "in"
    RAW = "raw"
    OUT = "out"
    ENGINE = "engine"
    ASK = "ask"
    CHUNK = "chunk"
    CANCEL = "cancel"
    END = "end"
    ERROR = "error"
    FULL = "full"


_FIELDS: dict[Kind, set[str]] = {
    Kind.BEGIN: {"format", "texts"},
    Kind.IN: {"message"},
    Kind.RAW: {"bytes"},
    Kind.OUT: {"message"},
    Kind.ENGINE: {"config", "info", "files"},
    Kind.ASK: {"run", "request"},
    Kind.CHUNK: {"run", "characters"},
    Kind.CANCEL: {"run"},
    Kind.END: {"run", "text", "tokens", "stats", "alternatives"},
    Kind.ERROR: {"run", "error"},
    Kind.FULL: set(),
}
"""What an event of each kind has, besides its time."""


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """A session that was recorded."""

    begin: Event
    events: tuple[Event, ...]
    """All that follows."""

    @property
    def has_texts(self) -> bool:
        """Whether texts were kept, so that the same tokens can be written again."""
        return bool(self.begin["texts"])


def read_record(file: Path) -> SessionRecord:
    """The session in a file; a last line that a killed process did not finish is left out.

    Raises:
        InvalidRequestError: the file is no recording of this format.
        OSError: it cannot be read.
    """
    lines = file.read_bytes().split(b"\n")[:-1]
    try:
        begin, *events = [json.loads(line) for line in lines]
        is_ours = begin["kind"] == Kind.BEGIN and begin["format"] == FORMAT and "texts" in begin
        is_ours = is_ours and all(map(_is_whole, events))
    except (ValueError, KeyError, TypeError, RecursionError):
        is_ours = False
    if not is_ours:
        text = f"{file} is no recording of format {FORMAT}; midfill lsp --record FILE makes one"
        raise InvalidRequestError(text)
    return SessionRecord(begin, tuple(events))


def _is_whole(event: Event) -> bool:
    """Whether an event has what its kind needs."""
    kind = Kind(event["kind"])
    return _FIELDS[kind] <= event.keys() and isinstance(event.get("message", {}), dict)


def request_as_json(request: CompletionRequest) -> Event:
    """A request to the engine, with enumerations as their values."""
    return {field.name: _plain(getattr(request, field.name)) for field in fields(request)}


def request_in(event: Event) -> CompletionRequest:
    """The request that was asked.

    Raises:
        InvalidRequestError: it is none.
    """
    told = dict(event["request"])
    try:
        told["context"] = tuple(ContextPiece(**piece) for piece in told["context"])
        told["sampling"] = Sampling(**told["sampling"])
        for name, kind in (("priority", Priority), ("order", Order), ("scope", Scope)):
            told[name] = kind(told[name])
        return CompletionRequest(**told)
    except (KeyError, TypeError, ValueError) as error:
        text = f"a recorded request cannot be asked again ({error}); it is of another version"
        raise InvalidRequestError(text) from error


def plain_fields(value: Any) -> Event:
    """A dataclass of plain values as JSON."""
    return {name: _plain(field) for name, field in asdict(value).items()}


def _plain(value: Any) -> Any:
    match value:
        case Enum():
            return value.value
        case Sampling() | ContextPiece():
            return asdict(value)
        case tuple():
            return [_plain(each) for each in value]
    return value
