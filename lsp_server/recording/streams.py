"""A completion's stream with somebody who is told what is read from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from midfill.engine.api import CompletionChunk, CompletionStream


class StreamObserver(Protocol):
    """Whoever is told about one stream."""

    def read(self, chunk: CompletionChunk) -> None:
        """A chunk is about to be read."""

    def failed(self, error: Exception) -> None:
        """The stream has ended with an error."""

    def cancelled(self) -> None:
        """Its reader has asked for an early end."""


class ObservedStream:
    """A CompletionStream that is passed on as it is."""

    def __init__(self, stream: CompletionStream, observer: StreamObserver) -> None:
        self._stream = stream
        self._observer = observer

    def __iter__(self) -> Iterator[CompletionChunk]:
        """See CompletionStream."""
        try:
            for chunk in self._stream:
                self._observer.read(chunk)
                yield chunk
        except Exception as error:
            self._observer.failed(error)
            raise

    async def __aiter__(self) -> AsyncIterator[CompletionChunk]:
        """See CompletionStream."""
        try:
            async for chunk in self._stream:
                self._observer.read(chunk)
                yield chunk
        except Exception as error:
            self._observer.failed(error)
            raise

    def cancel(self) -> None:
        """See CompletionStream."""
        self._observer.cancelled()
        self._stream.cancel()
