"""Who goes first, who gives way, and that everybody gets an answer. Events decide, not clocks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tiny_engine import Completed, collect

from midfill.engine.api import (
    CompletionChunk,
    CompletionRequest,
    CompletionStats,
    FinishReason,
    Priority,
)
from midfill.engine.errors import EngineClosedError, InvalidRequestError, MidfillError
from midfill.engine.scheduling.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from midfill.engine.scheduling.scheduler import Job
    from midfill.engine.scheduling.stream import Stream

WAIT_S = 20
"""Until a test that would hang fails instead."""
FOREGROUND = (Priority.TYPING, Priority.INVOKED, Priority.COMMAND_LINE)
BACKGROUND = (Priority.PREFETCH, Priority.PREWARM)


class Worker:
    """Runs jobs as a test lets it: the one named ``held`` goes on only when it is released."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.begun, self.released = threading.Event(), threading.Event()
        self.on_run: Callable[[Job], None] = lambda _job: None
        self.scheduler = Scheduler(self.run)

    def run(self, job: Job) -> None:
        """End the job's stream with what interrupted it, or with the end of the middle."""
        self.ran.append(job.request.prefix)
        if job.request.prefix == "held":
            self.begun.set()
            assert self.released.wait(WAIT_S)
        self.on_run(job)
        reason = job.stream.interrupted or FinishReason.END_OF_MIDDLE
        job.stream.put(CompletionChunk(job.request.prefix, stats=CompletionStats(reason)))

    def submit(self, name: str, priority: Priority = Priority.TYPING, document: str = "") -> Stream:
        """Queue a job of that name."""
        return self.scheduler.submit(CompletionRequest(name, priority=priority, document=document))

    def hold(self, priority: Priority = Priority.TYPING, document: str = "") -> Stream:
        """Keep the thread busy from now on."""
        stream = self.submit("held", priority, document)
        assert self.begun.wait(WAIT_S)
        return stream

    def close(self) -> None:
        """End the thread, whatever state it is in."""
        self.released.set()
        self.scheduler.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    """Its thread ends with the test."""
    worker = Worker()
    yield worker
    worker.close()


def reason(stream: Stream) -> FinishReason:
    """Why it ended, waiting for that."""
    return collect(stream).stats.finish_reason


def test_a_request_is_answered_by_the_thread(worker: Worker) -> None:
    """Not by the caller's."""
    threads = []
    worker.on_run = lambda _job: threads.append(threading.current_thread().name)
    assert collect(worker.submit("a")).text == "a"
    assert threads == ["midfill-engine"]


def test_urgent_requests_go_first_and_equals_in_turn(worker: Worker) -> None:
    """Once the thread is free."""
    worker.hold()
    names = {priority: priority.name for priority in sorted(Priority, reverse=True)}
    streams = [
        worker.submit(f"{name} {turn}", priority)
        for turn in (1, 2)
        for priority, name in names.items()
    ]
    worker.released.set()
    for stream in streams:
        assert reason(stream) is FinishReason.END_OF_MIDDLE
    expected = [f"{priority.name} {turn}" for priority in sorted(Priority) for turn in (1, 2)]
    assert worker.ran[1:] == expected


def test_the_newest_request_of_a_document_wins(worker: Worker) -> None:
    """Queued ones are answered at once, the thread being busy; a running one is asked to end."""
    running = worker.hold(document="a.py")
    queued = worker.submit("queued", document="a.py")
    other = worker.submit("other", document="b.py")
    newest = worker.submit("newest", document="a.py")
    superseded = collect(queued)
    assert superseded.chunks == (
        CompletionChunk("", stats=CompletionStats(FinishReason.SUPERSEDED)),
    )
    worker.released.set()
    assert reason(running) is FinishReason.SUPERSEDED
    assert reason(other) is reason(newest) is FinishReason.END_OF_MIDDLE
    assert worker.ran == ["held", "other", "newest"]


def test_requests_without_a_document_leave_each_other_alone(worker: Worker) -> None:
    """The command line's."""
    streams = [worker.hold(), worker.submit("second"), worker.submit("third")]
    worker.released.set()
    assert {reason(stream) for stream in streams} == {FinishReason.END_OF_MIDDLE}


@pytest.mark.parametrize("urgent", FOREGROUND)
@pytest.mark.parametrize("background", BACKGROUND)
def test_background_work_gives_way(worker: Worker, background: Priority, urgent: Priority) -> None:
    """Any request that somebody waits for comes first, whichever document it is for."""
    running = worker.hold(background, "a.py")
    assert worker.submit("urgent", urgent, "b.py") is not running
    assert running.interrupted is FinishReason.CANCELLED
    worker.released.set()
    assert reason(running) is FinishReason.CANCELLED


def test_foreground_work_does_not_give_way(worker: Worker) -> None:
    """A key typed elsewhere waits its turn."""
    running = worker.hold(Priority.COMMAND_LINE, "a.py")
    worker.submit("urgent", Priority.TYPING, "b.py")
    assert running.interrupted is None


@pytest.mark.parametrize("foreground", FOREGROUND)
@pytest.mark.parametrize("background", BACKGROUND)
def test_background_work_never_supersedes_what_somebody_waits_for(
    worker: Worker, foreground: Priority, background: Priority
) -> None:
    """Neither running nor queued."""
    running = worker.hold(foreground, "a.py")
    queued = worker.submit("queued", foreground, "b.py")
    for document in ("a.py", "b.py"):
        worker.submit("background", background, document)
    worker.released.set()
    assert reason(running) is reason(queued) is FinishReason.END_OF_MIDDLE


def test_background_work_supersedes_background_work(worker: Worker) -> None:
    """A newer prefetch of the same document makes the older one pointless."""
    running = worker.hold(Priority.PREWARM, "a.py")
    queued = worker.submit("queued", Priority.PREFETCH, "a.py")
    worker.submit("newest", Priority.PREFETCH, "a.py")
    assert running.interrupted is reason(queued) is FinishReason.SUPERSEDED


def test_close_answers_all(worker: Worker) -> None:
    """Running and queued ones alike, and the thread has ended when it returns."""
    running = worker.hold(document="a.py")
    queued = [worker.submit(str(n), document=f"{n}.py") for n in range(5)]
    closing = threading.Thread(target=worker.scheduler.close)
    closing.start()
    assert {reason(stream) for stream in queued} == {FinishReason.CANCELLED}
    assert running.interrupted is FinishReason.CANCELLED
    worker.released.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert reason(running) is FinishReason.CANCELLED
    assert worker.ran == ["held"]


def test_after_close_nothing_is_taken(worker: Worker) -> None:
    """And closing again is harmless."""
    worker.scheduler.close()
    worker.scheduler.close()
    with pytest.raises(EngineClosedError, match="open a new one"):
        worker.submit("late")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InvalidRequestError("device is 'tpu'"), "device is 'tpu'"),
        (RuntimeError("out of memory"), "the completion failed.*out of memory.*log"),
    ],
)
def test_an_exception_ends_only_its_own_stream(
    worker: Worker, error: Exception, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As a MidfillError, with the traceback in the log unless it was raised on purpose."""

    def fail(job: Job) -> None:
        if job.request.prefix == "bad":
            raise error

    worker.on_run = fail
    bad, good = worker.submit("bad"), worker.submit("good")
    with pytest.raises(MidfillError, match=message):
        collect(bad)
    assert collect(good).text == "good"
    assert ("out of memory" in caplog.text) == isinstance(error, RuntimeError)


def test_a_failure_behind_the_end_of_a_stream_harms_nobody(
    worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """The reader already has its answer; the next request gets one, too."""

    def end_then_fail(job: Job) -> None:
        if job.request.prefix == "bad":
            job.stream.put(CompletionChunk("", stats=CompletionStats(FinishReason.LINE)))

    worker.on_run = end_then_fail
    bad, good = worker.submit("bad"), worker.submit("good")
    assert reason(bad) is FinishReason.LINE
    assert collect(good).text == "good"
    assert "AssertionError" in caplog.text


def test_what_was_cancelled_in_the_queue_is_never_run(worker: Worker) -> None:
    """It is answered when its turn comes, without work and without touching the cache."""
    worker.hold()
    queued = worker.submit("queued")
    queued.cancel()
    worker.released.set()
    assert collect(queued) == Completed(
        (CompletionChunk("", stats=CompletionStats(FinishReason.CANCELLED)),)
    )
    assert worker.ran == ["held"]


def test_the_thread_is_prepared_before_any_job() -> None:
    """On itself: some settings belong to a thread."""
    events: list[tuple[str, str]] = []

    def note(what: str) -> None:
        events.append((what, threading.current_thread().name))

    def run(job: Job) -> None:
        note("run")
        job.stream.put(CompletionChunk("", stats=CompletionStats(FinishReason.LINE)))

    scheduler = Scheduler(run, prepare=lambda: note("prepare"))
    collect(scheduler.submit(CompletionRequest("")))
    scheduler.close()
    assert events == [("prepare", "midfill-engine"), ("run", "midfill-engine")]


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Exception()]
)
def test_whatever_a_job_raises_everybody_gets_an_answer(
    worker: Worker, error: BaseException
) -> None:
    """A library may call sys.exit; who waits in the queue is served all the same."""

    def fail(job: Job) -> None:
        """Raise in the first one only."""
        if job.request.prefix == "held":
            raise error

    worker.on_run = fail
    held, queued = worker.hold(), worker.submit("queued")
    worker.released.set()
    with pytest.raises(MidfillError, match="the completion failed"):
        collect(held)
    assert reason(queued) is FinishReason.END_OF_MIDDLE


def test_a_job_that_ends_without_a_word_is_an_error(worker: Worker) -> None:
    """Nobody waits for a stream that nobody will end."""
    worker.scheduler._run = lambda _job: None
    with pytest.raises(MidfillError, match="without a result"):
        collect(worker.submit("silent"))


@pytest.mark.parametrize("error", [SystemExit(3), RuntimeError("no threads")])
def test_a_thread_that_ends_is_started_again_for_the_next_request(error: BaseException) -> None:
    """All who wait are told; the next one is served."""
    failures = iter([error])
    may_fail = threading.Event()

    def prepare() -> None:
        """Fail the first time."""
        assert may_fail.wait(WAIT_S)
        for failure in failures:
            raise failure

    def run(job: Job) -> None:
        """Say that it ran."""
        job.stream.put(CompletionChunk("x", stats=CompletionStats(FinishReason.END_OF_MIDDLE)))

    scheduler = Scheduler(run, prepare)
    streams = [scheduler.submit(CompletionRequest(name)) for name in "ab"]
    may_fail.set()
    for stream in streams:
        with pytest.raises(MidfillError, match="the engine's thread ended"):
            collect(stream)
    assert reason(scheduler.submit(CompletionRequest("c"))) is FinishReason.END_OF_MIDDLE
    scheduler.close()
