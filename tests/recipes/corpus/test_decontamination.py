"""Documents that hold a problem of an evaluation are told, others are not."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from midfill.recipes.corpus.decontamination import WINDOW, Evaluation, read_evaluation

if TYPE_CHECKING:
    from pathlib import Path

PROBLEM = {
    "task_id": "Made/1",
    "entry_point": "weigh",
    "prompt": (
        "def weigh(parcels, limit):\n"
        '    """Tell how many of the parcels a van can carry before its axle gives way today.\n'
        '    """\n'
        "    carried = 0\n"
    ),
    "canonical_solution": "    for parcel in sorted(parcels):\n",
    "suffix": (
        "        if carried + parcel > limit:\n"
        "            break\n"
        "        carried += parcel\n"
        "    return carried\n"
    ),
}
DOCSTRING = "Tell how many of the parcels a van can carry before its axle gives way today."


@pytest.fixture(params=["plain", "gzip"])
def evaluation(request: pytest.FixtureRequest, tmp_path: Path) -> Evaluation:
    """The one problem, twice, as files of single lines have it once for each line."""
    path = tmp_path / "problems.jsonl"
    raw = (json.dumps(PROBLEM) + "\n").encode() * 2
    path.write_bytes(gzip.compress(raw) if request.param == "gzip" else raw)
    return read_evaluation([path])


def test_problems_are_counted_and_their_functions_read_once(evaluation: Evaluation) -> None:
    """The same program gives the same function."""
    assert evaluation.problems == 2
    assert [len(found) for found in evaluation.functions.values()] == [1]


def test_words_of_a_docstring_contaminate_a_document_in_any_language(
    evaluation: Evaluation,
) -> None:
    """Punctuation and case do not matter; one word less than the window is a coincidence."""
    said = DOCSTRING.upper().replace(" ", " - ").split(" - ")
    assert evaluation.fault("// " + " ".join(said[:WINDOW])) == "13 words of an evaluation"
    assert evaluation.fault("// " + " ".join(said[: WINDOW - 1])) is None


def test_words_of_a_solution_contaminate_a_document(evaluation: Evaluation) -> None:
    """Under whatever name."""
    body = PROBLEM["canonical_solution"] + PROBLEM["suffix"]
    text = f"def other(parcels, limit):\n    carried = 0\n{body}"
    assert evaluation.fault(text) == "13 words of an evaluation"


def test_a_function_of_the_same_name_with_nearly_the_same_docstring_is_told(
    evaluation: Evaluation,
) -> None:
    """Though no window of words is the same."""
    said = "Tell how many parcels a van can carry before the axle gives way."
    text = f'class Van:\n    def weigh(self):\n        """{said}"""\n        return 1\n'
    assert evaluation.fault(text) == "function of an evaluation"
    assert evaluation.fault(text.replace("weigh", "load")) is None


def test_a_function_that_only_shares_the_name_is_kept(evaluation: Evaluation) -> None:
    """Many names of problems are words that everybody uses."""
    text = 'def weigh(self):\n    """Mass in kilograms."""\n    return self.scale.read()\n'
    assert evaluation.fault(text) is None


def test_a_document_that_is_not_python_is_no_error(evaluation: Evaluation) -> None:
    """Its words were compared; it has no functions."""
    assert evaluation.fault("def weigh(: broken") is None


def test_without_an_evaluation_nothing_is_contaminated() -> None:
    """The recipe can run without one."""
    assert read_evaluation([]).fault("def weigh(): return 1\n") is None
