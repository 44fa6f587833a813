"""Problems are read strictly, drawn by a seed, and cut at words without changing the program."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest
from eval_data import PROBLEMS, write_problems

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.evaluation.problems import choose, cut_words, read_problems

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_may_be_gzipped(tmp_path: Path) -> None:
    """As the published ones are; blank lines are nothing."""
    plain = write_problems(tmp_path / "problems.jsonl")
    zipped = tmp_path / "problems.jsonl.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes() + b"\n"))
    assert read_problems(plain) == read_problems(zipped)
    assert [problem.task for problem in read_problems(plain)] == ["double", "greet", "shout"]


def test_a_program_is_the_filled_text_and_its_tests(tmp_path: Path) -> None:
    """The true middle passes them."""
    problems = read_problems(write_problems(tmp_path / "problems.jsonl"))
    for problem in problems:
        exec(problem.program(problem.middle), {})  # noqa: S102  our own text
    shout = problems[-1]
    with pytest.raises(AssertionError):
        exec(shout.program(shout.middle.replace("upper", "lower")), {})  # noqa: S102


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1 is no JSON"),
        ("[]", "line 1 lacks task_id, entry_point"),
        ('{"task_id": 3}', "line 1 lacks task_id, entry_point"),
        ("", "has no problems"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, line: str, message: str) -> None:
    """With the place."""
    path = tmp_path / "x.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InvalidRequestError, match=message):
        read_problems(path)


def test_a_task_stands_once(tmp_path: Path) -> None:
    """Results are kept by task."""
    path = tmp_path / "x.jsonl"
    path.write_text(f"{json.dumps(PROBLEMS[0])}\n" * 2, encoding="utf-8")
    with pytest.raises(InvalidRequestError, match="twice"):
        read_problems(path)


def test_problems_are_drawn_by_the_seed_and_keep_their_order() -> None:
    """A larger limit than there are problems takes them all."""
    drawn = choose(range(100), 10, seed=1)
    assert drawn == sorted(drawn) == choose(range(100), 10, seed=1)
    assert drawn != choose(range(100), 10, seed=2)
    assert choose([1, 2], 5, seed=0) == choose([1, 2], None, seed=0) == [1, 2]


def test_a_cut_word_moves_the_cursor_and_nothing_else(tmp_path: Path) -> None:
    """Into the middle of a word of 4 characters or more; the line end goes to the suffix."""
    problems = {p.task: p for p in read_problems(write_problems(tmp_path / "problems.jsonl"))}
    cut = list(cut_words(problems.values(), seed=0))
    assert [problem.task for problem in cut] == ["double/cut-word", "shout/cut-word"]
    for problem in cut:
        whole = problems[problem.task.removesuffix("/cut-word")]
        assert problem.is_inside_word
        assert not whole.is_inside_word
        assert problem.program(problem.middle) == whole.program(whole.middle)
        assert not problem.middle.endswith("\n")
        assert problem.suffix.startswith("\n")
    assert cut[0].prefix.endswith("    ret")
    assert cut[0].middle == "urn 2 * n"


def test_the_word_depends_on_the_seed_and_the_task_only(tmp_path: Path) -> None:
    """A limit or another order of the problems changes no problem."""
    problems = read_problems(write_problems(tmp_path / "problems.jsonl"))
    forward, backward = cut_words(problems, 0), cut_words(problems[::-1], 0)
    assert list(forward) == list(backward)[::-1]
    places = {next(cut_words(problems[2:], seed)).prefix for seed in range(20)}
    assert len(places) > 1
