"""Infilling problems with tests, as published for HumanEval (Bavarian et al. 2022, section 4).

One JSON object a line, gzipped or not::

    {"task_id": ..., "entry_point": ..., "prompt": prefix, "suffix": ...,
     "canonical_solution": middle, "test": "def check(candidate): ..."}
"""

from __future__ import annotations

import gzip
import json
import random
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")

SHORTEST_CUT_WORD = 4
"""Characters."""
_WORD = re.compile(r"[^\W\d]\w*")
_KEYS = ("task_id", "entry_point", "prompt", "suffix", "canonical_solution", "test")


@dataclass(frozen=True, slots=True)
class InfillProblem:
    """A hole in a function, what stood there, and tests."""

    task: str
    entry_point: str
    prefix: str
    suffix: str
    middle: str
    test: str

    @property
    def is_inside_word(self) -> bool:
        """Whether the cursor cuts a word: one of its characters on either side."""
        return _in_word(self.prefix[-1:]) and _in_word(self.middle[:1])

    def program(self, completion: str) -> str:
        """What has to run without an error for the completion to pass."""
        filled = self.prefix + completion + self.suffix
        return f"{filled}\n{self.test}\ncheck({self.entry_point})\n"


def read_problems(path: Path) -> list[InfillProblem]:
    """All problems of a file, in order.

    Raises:
        InvalidRequestError: a line is not a problem, a task stands twice, or there is none.
        OSError: the file cannot be read.
    """
    problems = [
        InfillProblem(*(row[key] for key in _KEYS))
        for row in read_rows(path, dict.fromkeys(_KEYS, str))
    ]
    tasks = [problem.task for problem in problems]
    if len(set(tasks)) != len(tasks):
        raise InvalidRequestError(f"{path}: a task_id stands there twice; each must stand once")
    return problems


def read_rows(path: Path, kinds: Mapping[str, type]) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file, gzipped or not; other keys than those named are ignored.

    Raises:
        InvalidRequestError: a line is no object, or lacks a key, or there is no line at all.
        OSError: the file cannot be read.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    rows = []
    with opener(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                rows.append(_row(line, kinds, f"{path}, line {number}"))
    if not rows:
        raise InvalidRequestError(f"{path} has no problems: name a file of JSON lines")
    return rows


def _row(line: str, kinds: Mapping[str, type], place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        raise InvalidRequestError(f"{place} is no JSON: give one object a line") from None
    wrong = [k for k in kinds if not isinstance(row, dict) or not isinstance(row.get(k), kinds[k])]
    if wrong:
        raise InvalidRequestError(
            f"{place} lacks {', '.join(wrong)} (or has another type there); "
            f"it must have {', '.join(kinds)}"
        )
    return dict(row)


def choose(items: Sequence[T], limit: int | None, seed: int) -> list[T]:
    """So many of the items, drawn by a seed, in their order; all of them without a limit."""
    if limit is None or limit >= len(items):
        return list(items)
    draw = random.Random(seed)  # noqa: S311  drawn, not secret
    return [items[index] for index in sorted(draw.sample(range(len(items)), limit))]


def cut_words(problems: Iterable[InfillProblem], seed: int) -> Iterator[InfillProblem]:
    r"""Problems whose cursor stands in the middle of a word, made of those with whole lines.

    The head of the missing line, up to the middle of one of its words of at least 4 characters,
    goes to the prefix; the line end goes to the suffix, as in an editor. Which word is drawn by the
    seed and the task; lines without such a word make no problem::

        prefix    def f():\n          ->  def f():\n    ret
        middle        return x\n      ->  urn x
        suffix    ...                 ->  \n...
    """
    for problem in problems:
        line = problem.middle.removesuffix("\n")
        words = [match for match in _WORD.finditer(line) if len(match[0]) >= SHORTEST_CUT_WORD]
        whole = problem.prefix.endswith("\n") and problem.middle.endswith("\n")
        if not whole or "\n" in line or not words:
            continue
        word = random.Random(f"{seed}:{problem.task}").choice(words)  # noqa: S311  drawn
        at = word.start() + len(word[0]) // 2
        yield replace(
            problem,
            task=f"{problem.task}/cut-word",
            prefix=problem.prefix + line[:at],
            middle=line[at:],
            suffix="\n" + problem.suffix,
        )


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"
