"""Runs of the engine that were recorded, and the same runs once more.

A request that was recorded is asked as it was then: with its seed, its context (files may have
changed), the prompt's size (it may have been cut because reading was slow) and without a time limit
that did not end it. What it writes reaches the server no earlier than it did. So the same tokens
can come from a machine of another speed.
"""

from __future__ import annotations

import asyncio
import math
import sys
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from midfill.engine.api import CompletionChunk, CompletionRequest, FinishReason
from midfill.lsp_server.recording.events import Event, Kind, request_in
from midfill.lsp_server.recording.streams import ObservedStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from midfill.engine.api import CompletionStream, Engine, EngineConfig, EngineInfo
    from midfill.lsp_server.engine_host import OpenEngine

_BY_TIME = frozenset({FinishReason.TIME_LIMIT, FinishReason.CANCELLED, FinishReason.SUPERSEDED})
"""Ends that come sooner or later on another machine."""
_NOT_BUILT = frozenset({"sampling", "document"})
"""Fields of a request that are not compared: the seed may have been drawn."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a run wrote."""

    text: str
    tokens: tuple[int, ...]
    reason: FinishReason

    def agrees_with(self, other: Written) -> bool:
        """Whether both wrote the same, as far as both went.

        Of equal texts one may have a token more, which ends it: that depends on drafts.
        """
        ids = zip(self.tokens, other.tokens, strict=False)
        short, long = sorted((self.text, other.text), key=len)
        is_text_same = long.startswith(short) if self._by_time(other) else long == short
        return is_text_same and all(a == b for a, b in ids)

    def _by_time(self, other: Written) -> bool:
        return bool({self.reason, other.reason} & _BY_TIME)


class Gate:
    """How much of a run may be read at a point of the recording."""

    def __init__(self) -> None:
        self.characters = 0
        self.is_open = False
        """Whether all may be read, the end included."""
        self._moved = asyncio.Event()

    def let(self, characters: int | None) -> None:
        """Let so much through; None: all, and the end."""
        if characters is None:
            self.is_open = True
        else:
            self.characters = max(self.characters, characters)
        self._moved.set()

    async def passed(self, characters: float) -> None:
        """Wait until so much may be read; infinity: the end."""
        while not self.is_open and self.characters < characters:
            self._moved.clear()
            await self._moved.wait()


@dataclass(slots=True)
class RecordedRun:
    """A run as it was, and how far it has come once more."""

    number: int
    request: CompletionRequest
    then: Written | None = None
    """None: it failed, or the recording ended before it."""
    stats: Event = field(default_factory=dict)
    is_asked: bool = False
    """Whether it was asked once more."""
    characters: int = 0
    """How much of its text the server has read now."""
    is_at_end: bool = False
    """Whether there is no more text of it now."""
    has_ended: bool = False
    """Whether the server has read its end."""
    gate: Gate = field(default_factory=Gate)
    """How much of its text the server may read."""
    now: Written | None = None
    changed: tuple[str, ...] = ()
    """Fields of the request that would have been others, had it not been asked as it was."""

    @property
    def most_characters(self) -> int:
        """How much of its text is read now: what time has cut off then is cut off."""
        if self.then is None or self.then.reason not in _BY_TIME:
            return sys.maxsize
        return len(self.then.text)

    def again(self, asked: CompletionRequest) -> CompletionRequest:
        """The recorded request, for a machine of another speed."""
        request = replace(self.request, document=asked.document, read_ms=None)
        if self.then is None:
            return request
        if self.stats["is_short"]:
            size = _halved(request.max_prompt_tokens, self.stats["prompt_tokens"])
            request = replace(request, max_prompt_tokens=size)
        if self.then.reason not in _BY_TIME:
            # The best of one is written in another way than the best of several.
            least = min(max(2, request.alternatives + 1), request.tries)
            tries = max(min(request.tries, self.stats["tries"]), least)
            request = replace(request, time_limit_ms=None, tries=tries)
        return request


class RecordedRuns:
    """The runs of a session, and which of them are still to be asked once more.

    Args:
        events: Those of a session that was recorded with its texts.
        on_news: Called when a run has come further.
    """

    def __init__(self, events: Sequence[Event], on_news: Callable[[], object]) -> None:
        self.by_number: dict[int, RecordedRun] = {}
        self.unexpected = 0
        """Requests that were not recorded."""
        self.on_news = on_news
        for event in events:
            if event["kind"] == Kind.ASK:
                run = RecordedRun(event["run"], request_in(event))
                self.by_number[run.number] = run
            elif event["kind"] == Kind.END and event["run"] in self.by_number:
                run, stats = self.by_number[event["run"]], event["stats"]
                reason = FinishReason(stats["finish_reason"])
                run.then = Written(event["text"], tuple(event["tokens"]), reason)
                run.stats = stats

    def opener(self, open_engine: OpenEngine) -> OpenEngine:
        """What opens engines that are asked what was recorded."""

        def opened(config: EngineConfig, on_progress: Callable[[str, float], None]) -> Engine:
            """Open one."""
            return _ReplayedEngine(open_engine(config, on_progress), self)

        return opened

    def release(self) -> None:
        """Let everything be read: the recording is over."""
        for run in self.by_number.values():
            run.gate.let(None)

    def take(self, asked: CompletionRequest) -> RecordedRun | None:
        """The first run that is still to be asked and fills the same hole in the same way."""
        for run in self.by_number.values():
            if not run.is_asked and _purpose(run.request) == _purpose(asked):
                run.is_asked = True
                run.changed = _changed(run.request, asked)
                self.on_news()
                return run
        self.unexpected += 1
        return None


class _ReplayedEngine:
    """An engine that is asked what was recorded."""

    def __init__(self, engine: Engine, runs: RecordedRuns) -> None:
        self._engine = engine
        self._runs = runs

    @property
    def info(self) -> EngineInfo:
        """See Engine."""
        return self._engine.info

    def infill(self, request: CompletionRequest) -> CompletionStream:
        """See Engine."""
        run = self._runs.take(request)
        if run is None:
            return self._engine.infill(request)
        observer = _RunObserver(run, self._runs.on_news)
        stream = _GatedStream(self._engine.infill(run.again(request)), run, self._runs.on_news)
        return ObservedStream(stream, observer)

    def close(self) -> None:
        """See Engine."""
        self._engine.close()


class _GatedStream:
    """A completion's chunks, none read earlier than it was in the recording."""

    def __init__(
        self, stream: CompletionStream, run: RecordedRun, on_news: Callable[[], object]
    ) -> None:
        self._stream = stream
        self._run = run
        self._on_news = on_news

    def __iter__(self) -> Iterator[CompletionChunk]:
        """See CompletionStream; a reader in a thread is not held back."""
        yield from self._stream

    async def __aiter__(self) -> AsyncIterator[CompletionChunk]:
        """See CompletionStream."""
        run, shown, left = self._run, 0, self._run.most_characters
        async for chunk in self._stream:
            text, tokens = chunk.text[:left], chunk.tokens
            left -= len(text)
            while text:
                await run.gate.passed(shown + 1)
                size = len(text) if run.gate.is_open else run.gate.characters - shown
                piece, text = text[:size], text[size:]
                shown += len(piece)
                yield CompletionChunk(piece, tokens)
                tokens = ()
            if chunk.stats is not None:
                run.is_at_end = True
                self._on_news()
                await run.gate.passed(math.inf)
            if tokens or chunk.stats is not None:
                yield replace(chunk, text="", tokens=tokens)

    def cancel(self) -> None:
        """See CompletionStream."""
        self._stream.cancel()


class _RunObserver:
    """Keeps how far a run has come."""

    def __init__(self, run: RecordedRun, on_news: Callable[[], object]) -> None:
        self._run = run
        self._on_news = on_news
        self._text = ""
        self._tokens: list[int] = []

    def read(self, chunk: CompletionChunk) -> None:
        """See StreamObserver."""
        self._text += chunk.text
        self._tokens += (token.id for token in chunk.tokens)
        self._run.characters = len(self._text)
        if chunk.stats is not None:
            reason = chunk.stats.finish_reason
            self._run.now = Written(self._text, tuple(self._tokens), reason)
            self._run.has_ended = True
        self._on_news()

    def failed(self, _error: Exception) -> None:
        """See StreamObserver."""
        self._run.has_ended = True
        self._on_news()

    def cancelled(self) -> None:
        """See StreamObserver; the end tells it, too."""


def _purpose(request: CompletionRequest) -> tuple[Any, ...]:
    """What tells a request from others of a session; those that only fill the cache are alike."""
    if not request.max_tokens:
        return request.priority, request.document
    hole = request.prefix, request.suffix
    return *hole, request.priority, request.tries, request.alternatives


def _changed(then: CompletionRequest, now: CompletionRequest) -> tuple[str, ...]:
    names = (field.name for field in fields(CompletionRequest) if field.name not in _NOT_BUILT)
    return tuple(name for name in names if getattr(then, name) != getattr(now, name))


def _halved(budget: int, tokens: int) -> int:
    """The budget of a prompt of so many tokens: the engine halves it until reading is in time."""
    while budget // 2 >= tokens:
        budget //= 2
    return budget
