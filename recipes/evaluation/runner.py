"""Completes and tests many problems, with the model and the sandbox busy at the same time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from midfill.recipes.evaluation.completions import Completed
    from midfill.recipes.reports.journal import Journal
    from midfill.recipes.sandbox.pool import ProgramVerdict, SandboxPool


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """One completion of one task in one cell."""

    task: str
    cell: str
    complete: Callable[[], Completed]
    program: Callable[[str], str]
    """The program that tests a completion's text."""
    judge: Callable[[str], Mapping[str, object]]
    """What else is worth keeping of the completion's text."""


class Runner:
    """Runs the jobs that the journal lacks."""

    def __init__(self, pool: SandboxPool, journal: Journal, room: int) -> None:
        self._pool, self._journal, self._room = pool, journal, room
        self._tested: deque[tuple[EvaluationJob, Completed, Future[ProgramVerdict]]] = deque()
        self._passed = self._done = 0

    def run(self, title: str, jobs: Sequence[EvaluationJob]) -> None:
        """Complete and test, in order, with a bar on standard error."""
        missing = [job for job in jobs if (job.task, job.cell) not in self._journal]
        with Progress(console=Console(stderr=True)) as progress:
            bar = progress.add_task(title, total=len(jobs))
            progress.advance(bar, len(jobs) - len(missing))
            try:
                for job in missing:
                    completed = job.complete()
                    verdict = self._pool.submit(job.program(completed.text))
                    self._tested.append((job, completed, verdict))
                    self._record(self._room)
                    progress.update(bar, advance=1, description=f"{title}: {self._so_far}")
            finally:  # an interrupted run keeps what it has completed
                self._record(0)
                progress.update(bar, description=f"{title}: {self._so_far}")

    @property
    def _so_far(self) -> str:
        return f"{self._passed} of {self._done} passed"

    def _record(self, room: int) -> None:
        """Journal the oldest results that are there, and wait while more than ``room`` are not."""
        while self._tested and (len(self._tested) > room or self._tested[0][2].done()):
            job, completed, future = self._tested.popleft()
            verdict = future.result()
            self._done += 1
            self._passed += verdict.passed
            self._journal.add(job.task, job.cell, _result(job, completed, verdict))


def _result(job: EvaluationJob, completed: Completed, verdict: ProgramVerdict) -> dict[str, Any]:
    return {
        "completion": completed.text,
        "passed": verdict.passed,
        "verdict": verdict.reason,
        **job.judge(completed.text),
        **completed.costs(),
        "test_seconds": verdict.seconds,
    }
