"""Streams: chunks cross threads and loops in order, and nothing comes after the end."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from midfill.engine.api import CompletionChunk, CompletionStats, FinishReason
from midfill.engine.errors import MidfillError
from midfill.engine.scheduling.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

LAST = CompletionChunk("", stats=CompletionStats(FinishReason.END_OF_MIDDLE))
TEXTS = [str(n) for n in range(200)]


def put_all(stream: Stream) -> None:
    """Many small chunks and the last one."""
    for text in TEXTS:
        stream.put(CompletionChunk(text))
    stream.put(LAST)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Start it."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_thread_reads_what_another_puts() -> None:
    """All of it, in order, and then the iteration ends."""
    stream = Stream()
    thread = in_thread(lambda: put_all(stream))
    chunks = list(stream)
    thread.join()
    assert [chunk.text for chunk in chunks] == [*TEXTS, ""]
    assert chunks[-1] is LAST


async def test_a_loop_reads_what_a_thread_puts() -> None:
    """The same, without blocking the loop."""
    stream = Stream()
    thread = in_thread(lambda: put_all(stream))
    chunks = [chunk async for chunk in stream]
    thread.join()
    assert [chunk.text for chunk in chunks] == [*TEXTS, ""]


async def test_the_loop_is_free_while_a_stream_is_empty() -> None:
    """What is put by the loop itself arrives, because waiting does not block it."""
    stream = Stream()

    async def read() -> list[CompletionChunk]:
        return [chunk async for chunk in stream]

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    stream.put(CompletionChunk("a"))
    await asyncio.sleep(0)
    stream.put(LAST)
    assert await reader == [CompletionChunk("a"), LAST]


async def test_what_was_put_before_reading_is_not_lost() -> None:
    """Neither for a thread nor for a loop."""
    first, second = Stream(), Stream()
    put_all(first)
    put_all(second)
    assert len(list(first)) == len([chunk async for chunk in second]) == len(TEXTS) + 1


async def test_an_error_is_raised_where_the_stream_is_read() -> None:
    """After the chunks before it."""
    streams = [Stream(), Stream()]
    for stream in streams:
        stream.put(CompletionChunk("a"))
        stream.put(MidfillError("no memory"))
    blocking, waiting = iter(streams[0]), aiter(streams[1])
    assert next(blocking) == await anext(waiting) == CompletionChunk("a")
    with pytest.raises(MidfillError, match="no memory"):
        next(blocking)
    with pytest.raises(MidfillError, match="no memory"):
        await anext(waiting)


@pytest.mark.parametrize("end", [LAST, MidfillError("no memory")])
def test_nothing_may_follow_the_end(end: CompletionChunk | MidfillError) -> None:
    """It would be a bug in the engine."""
    stream = Stream()
    stream.put(end)
    with pytest.raises(AssertionError):
        stream.put(CompletionChunk("late"))


def test_a_failure_behind_the_end_is_left_out() -> None:
    """Before it, it is the end."""
    ended, failed = Stream(), Stream()
    ended.put(LAST)
    ended.fail(MidfillError("late"))
    assert list(ended) == [LAST]
    failed.fail(MidfillError("early"))
    with pytest.raises(MidfillError, match="early"):
        list(failed)


def test_a_cancel_from_another_thread_is_seen() -> None:
    """By whoever produces, at its next look."""
    stream = Stream()
    assert stream.interrupted is None
    in_thread(stream.cancel).join()
    assert stream.interrupted is FinishReason.CANCELLED


def test_the_first_reason_stands() -> None:
    """A superseded completion that is then cancelled was superseded."""
    stream = Stream()
    stream.interrupt(FinishReason.SUPERSEDED)
    stream.cancel()
    assert stream.interrupted is FinishReason.SUPERSEDED


def test_a_reader_whose_loop_has_closed_does_not_harm_the_producer() -> None:
    """An editor that goes away leaves half-read streams behind."""
    stream = Stream()

    async def read_one() -> None:
        async for _ in stream:
            break

    stream.put(CompletionChunk("a"))
    asyncio.run(read_one())
    put_all(stream)
    assert len(list(stream)) == len(TEXTS) + 1


async def test_a_reader_that_was_cancelled_leaves_the_rest_to_the_next() -> None:
    """Nothing is swallowed by a task that no longer exists."""
    stream = Stream()

    async def read() -> None:
        async for _ in stream:
            pass

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    put_all(stream)
    assert len([chunk async for chunk in stream]) == len(TEXTS) + 1
