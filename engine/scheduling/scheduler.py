"""Which request runs next. One thread owns the model; this module never sees a tensor.

Of one document the newest request wins: older ones end as superseded. Background work (prefetch,
pre-warm) gives way to any foreground request. Everything queued gets an answer, also at close, and
if the thread ends by what it runs (SystemExit); the next request starts another.
"""

from __future__ import annotations

import atexit
import heapq
import itertools
import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midfill.engine.api import CompletionChunk, CompletionStats, FinishReason, Priority
from midfill.engine.errors import EngineClosedError, MidfillError
from midfill.engine.scheduling.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.engine.api import CompletionRequest

_log = logging.getLogger(__name__)


@dataclass(order=True)
class Job:
    """A queued request; jobs sort by priority, then by arrival."""

    priority: Priority
    number: int
    request: CompletionRequest = field(compare=False)
    stream: Stream = field(compare=False, default_factory=Stream)
    queued_at: float = field(compare=False, default_factory=time.perf_counter)

    @property
    def background(self) -> bool:
        """Whether nobody waits for it."""
        return self.priority >= Priority.PREFETCH


class Scheduler:
    """A priority queue before one worker thread.

    Args:
        run: Answers one job completely (its stream is ended), looking at ``stream.interrupted``
            often. A MidfillError that it raises ends the stream; any other exception too, wrapped.
        prepare: Called on each worker thread before any job; if it raises, all in the queue fail.
    """

    def __init__(
        self, run: Callable[[Job], None], prepare: Callable[[], object] = lambda: None
    ) -> None:
        self._run = run
        self._prepare = prepare
        self._queue: list[Job] = []
        self._running: Job | None = None
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = self._start()
        atexit.register(self.close)  # a thread inside C++ must not see the interpreter end

    def submit(self, request: CompletionRequest) -> Stream:
        """Queue a request; what it makes obsolete is asked to end.

        Raises:
            EngineClosedError: after close().
        """
        with self._changed:
            if self._closed:
                raise EngineClosedError("the engine is closed; open a new one")
            job = Job(request.priority, next(self._numbers), request)
            self._make_way(job)
            heapq.heappush(self._queue, job)
            self._changed.notify()
            if not self._works:
                self._thread = self._start()
            return job.stream

    def close(self) -> None:
        """Cancel everything and wait for the thread to end; harmless when repeated."""
        with self._changed:
            self._closed = True
            self._drop(self._queue, FinishReason.CANCELLED)
            if self._running:
                self._running.stream.interrupt(FinishReason.CANCELLED)
            self._changed.notify()
        self._thread.join()
        atexit.unregister(self.close)

    def _start(self) -> threading.Thread:
        self._works = True
        thread = threading.Thread(target=self._work, name="midfill-engine", daemon=True)
        thread.start()
        return thread

    def _make_way(self, job: Job) -> None:
        self._drop([old for old in self._queue if _supersedes(job, old)], FinishReason.SUPERSEDED)
        if running := self._running:
            if _supersedes(job, running):
                running.stream.interrupt(FinishReason.SUPERSEDED)
            elif running.background and not job.background:
                running.stream.interrupt(FinishReason.CANCELLED)

    def _drop(self, jobs: list[Job], reason: FinishReason) -> None:
        """Answer queued jobs at once, though the thread is busy."""
        for job in jobs:
            job.stream.put(CompletionChunk("", stats=CompletionStats(reason)))
        self._queue = [job for job in self._queue if job not in jobs]
        heapq.heapify(self._queue)

    def _work(self) -> None:
        try:
            self._prepare()
            while job := self._next():
                self._answer(job)
        except BaseException as error:  # noqa: BLE001  whatever it is, somebody waits for an answer
            _log.exception("the engine's thread ended; the next request starts another")
            self._fail_all(_failure("the engine's thread ended", error))

    def _answer(self, job: Job) -> None:
        stream = job.stream
        if stream.interrupted:  # while it was queued
            stream.put(CompletionChunk("", stats=CompletionStats(stream.interrupted)))
            return
        try:
            self._run(job)
            stream.fail(MidfillError("the completion ended without a result"))  # unless it has one
        except MidfillError as error:
            stream.fail(error)
        except BaseException as error:  # noqa: BLE001  the thread must outlive any one request
            _log.exception("a completion failed")
            stream.fail(_failure("the completion failed", error))

    def _fail_all(self, error: MidfillError) -> None:
        with self._changed:
            self._works = False
            for job in (*self._queue, *filter(None, (self._running,))):
                job.stream.fail(error)
            self._queue, self._running = [], None

    def _next(self) -> Job | None:
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._queue or self._closed)
            self._running = heapq.heappop(self._queue) if self._queue else None
            return self._running


def _failure(what: str, error: BaseException) -> MidfillError:
    return MidfillError(f"{what}: {error!r}; see the log")


def _supersedes(newer: Job, older: Job) -> bool:
    same = newer.request.document == older.request.document != ""
    return same and (older.background or not newer.background)
