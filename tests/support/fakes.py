"""An engine that writes what a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from midfill.engine.api import (
    CompletionChunk,
    CompletionRequest,
    CompletionStats,
    EngineConfig,
    EngineInfo,
    FinishReason,
    Order,
    Priority,
)
from midfill.engine.errors import EngineClosedError
from midfill.lsp_server.request.origin import Asked, Origin, Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

FINISHED = FinishReason.END_OF_MIDDLE
INFO = EngineInfo("fake", "fake", 0, 2048, "fp32", "cpu", "it is a fake")


def origin(item_id: str = "1", source: Source = Source.GENERATED) -> Origin:
    """The origin of a text that no real run of an engine wrote."""
    return Origin(item_id, source, Asked(CompletionRequest("")), INFO)


def stats(reason: FinishReason = FINISHED) -> CompletionStats:
    """What a completion cost that cost nothing."""
    return CompletionStats(
        finish_reason=reason,
        order=Order.SPM,
        prompt_tokens=3,
        cached_tokens=2,
        prefilled_tokens=1,
        healed_tokens=0,
        generated_tokens=4,
        context_pieces=0,
        mean_logprob=-0.5,
        queue_ms=0.0,
        prefill_ms=1.0,
        decode_ms=2.0,
    )


class FakeStream:
    """A CompletionStream that a test fills: ``write``, then ``finish`` or ``fail``."""

    def __init__(self, request: CompletionRequest) -> None:
        self.request = request
        self.is_cancelled = False
        self.heeds_cancel = True
        """If not, it goes on until the test finishes it."""
        self._items: deque[CompletionChunk | BaseException] = deque()
        self._filled = threading.Condition()
        self._wakers: list[Callable[[], None]] = []

    def write(self, *texts: str) -> FakeStream:
        """Settle more text."""
        for text in texts:
            self._put(CompletionChunk(text))
        return self

    def finish(
        self, reason: FinishReason = FINISHED, alternatives: Iterable[str] = (), **cost: Any
    ) -> FakeStream:
        """End the stream, with these fields in its stats, and with other texts perhaps."""
        others = tuple(CompletionChunk(text, stats=stats()) for text in alternatives)
        last = replace(stats(reason), **cost)
        self._put(CompletionChunk("", stats=last, alternatives=others))
        return self

    def fail(self, error: BaseException) -> FakeStream:
        """End the stream with an error."""
        self._put(error)
        return self

    def cancel(self) -> None:
        """See CompletionStream."""
        self.is_cancelled = True
        if self.heeds_cancel:
            self.finish(FinishReason.CANCELLED)

    def __iter__(self) -> Iterator[CompletionChunk]:
        """See CompletionStream."""
        while True:
            with self._filled:
                self._filled.wait_for(lambda: self._items)
            chunk = self._take()
            yield chunk
            if chunk.stats is not None:
                return

    async def __aiter__(self) -> AsyncIterator[CompletionChunk]:
        """See CompletionStream."""
        loop, filled = asyncio.get_running_loop(), asyncio.Event()
        self._wakers.append(lambda: loop.call_soon_threadsafe(filled.set))
        while True:
            while not self._items:
                filled.clear()
                await filled.wait()
            chunk = self._take()
            yield chunk
            if chunk.stats is not None:
                return

    def _take(self) -> CompletionChunk:
        item = self._items.popleft()
        if isinstance(item, BaseException):
            raise item
        return item

    def _put(self, item: CompletionChunk | BaseException) -> None:
        with self._filled:
            self._items.append(item)
            self._filled.notify_all()
        for wake in self._wakers:
            wake()


class FakeEngine:
    """An Engine whose streams the test fills, or a script does when they are asked for."""

    def __init__(
        self,
        script: Callable[[FakeStream], object] | None = None,
        config: EngineConfig | None = None,
    ) -> None:
        self.streams: list[FakeStream] = []
        self.prewarms: list[FakeStream] = []
        """Those that only fill the cache; they end when the test ends them."""
        self.is_closed = False
        self.config = config or EngineConfig("fake")
        self._script = script
        self._asked = asyncio.Event()

    @property
    def info(self) -> EngineInfo:
        """See Engine."""
        return replace(INFO, model=self.config.model)

    @property
    def requests(self) -> list[CompletionRequest]:
        """What it was asked, in order."""
        return [stream.request for stream in self.streams]

    def infill(self, request: CompletionRequest) -> FakeStream:
        """See Engine."""
        if self.is_closed:
            raise EngineClosedError("the engine is closed; open another")
        stream = FakeStream(request)
        if request.priority is Priority.PREWARM:
            self.prewarms.append(stream)
            self._asked.set()
            return stream
        self.streams.append(stream)
        self._asked.set()
        if self._script is not None:
            self._script(stream)
        return stream

    def close(self) -> None:
        """See Engine."""
        self.is_closed = True
        for stream in (*self.streams, *self.prewarms):
            stream.cancel()

    async def asked(self, number: int = 1) -> FakeStream:
        """The stream of the request with this number, from 1, as soon as there is one."""
        return await self._nth(self.streams, number)

    async def prewarmed(self, number: int = 1) -> FakeStream:
        """The same, of those that only fill the cache."""
        return await self._nth(self.prewarms, number)

    async def _nth(self, streams: list[FakeStream], number: int) -> FakeStream:
        while len(streams) < number:
            self._asked.clear()
            await self._asked.wait()
        return streams[number - 1]


def writing(*texts: str) -> Callable[[FakeStream], object]:
    """A script: write these and finish."""
    return lambda stream: stream.write(*texts).finish()
