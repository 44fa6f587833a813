"""The fit of where middles end: which line ends are cases, and what the regression finds."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_corpus import tiny_documents, write_tiny_base
from tiny_engine import ScriptedModel, machine

from midfill.engine.stopping.suffix_fit import EndEvidence
from midfill.recipes.fitting import suffix_fit
from midfill.recipes.fitting.line_ends import Gap
from midfill.recipes.fitting.suffix_fit import Case, cases_of, evaluate, fit, worth
from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path


class Parts:
    """A runtime that has a machine and nothing else."""

    def __init__(self) -> None:
        self.machine = machine(ScriptedModel([]))


@pytest.mark.parametrize(
    ("middle", "suffix", "are_last"),
    [
        ("a = 1", "\nc", [True]),
        ("a = 1\n\nb = 2\n", "\nc", [False, True]),
        ("\n".join("abcdefgh"), "\nc", [False] * 4 + [True]),
        ("a, b", ")\nc", []),
        ("a = 1", "\n\n", []),
    ],
)
def test_cases_are_the_line_ends_of_a_true_middle(
    middle: str, suffix: str, are_last: list[bool]
) -> None:
    """The first ones and the last; none where the suffix cannot be asked about."""
    cases = list(cases_of(Parts(), 3, Gap("x = 0\n", middle, suffix)))  # type: ignore[arg-type]

    assert [case.is_last for case in cases] == are_last
    assert all(case.hole == 3 and case.evidence.gap <= 0 for case in cases)


def test_the_fit_finds_the_weights_that_made_the_labels() -> None:
    """Up to the noise of the draw."""
    rng = np.random.default_rng(0)
    evidence = rng.normal(size=(4000, 2))
    odds = 1.0 + evidence @ [2.0, -0.5]
    labels = rng.random(4000) < 1 / (1 + np.exp(-odds))

    assert fit(evidence, labels) == pytest.approx([1.0, 2.0, -0.5], abs=0.2)


def test_the_area_counts_how_often_an_end_is_put_above_another_line_end() -> None:
    """A tie counts half."""
    labels = np.array([True, True, False, False])

    assert worth("x", np.array([2.0, 1.0, -1.0, 1.0]), labels).area == 3.5 / 4
    assert worth("x", np.array([2.0, 1.0, -1.0, 1.0]), labels).right == 3 / 4


def test_signs_are_judged_on_holes_that_did_not_fit_them() -> None:
    """The gap tells odd holes apart here, and says nothing of even ones."""
    even = [Case(0, EndEvidence(-1.0, -float(n % 5)), n % 2 == 0) for n in range(40)]
    odd = [Case(1, EndEvidence(-1.0, -1.0 - n), n == 0) for n in (0, 1) for _ in range(5)]
    _, table = evaluate(even + odd)

    assert [row.evidence for row in table] == ["end", "gap", "end and gap"]
    assert table[0].area == 0.5


def test_holes_that_are_too_few_are_refused() -> None:
    """Half of them judge, and must have ends and other line ends."""
    cases = [Case(hole, EndEvidence(-1.0, -1.0), is_last=True) for hole in range(4)]

    with pytest.raises(InvalidRequestError, match="--holes"):
        evaluate(cases)


def test_the_command_writes_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the settings that lead there again."""
    write_tiny_base(tmp_path / "base.gguf")
    documents = [json.dumps(asdict(document)) for document in tiny_documents()]
    (tmp_path / "documents.jsonl").write_text("\n".join(documents))
    monkeypatch.setattr(suffix_fit, "PROMPT_TOKENS", 128)
    out = tmp_path / "fit.json"

    arguments = ["--model", str(tmp_path / "base.gguf"), "--holes", "40", "--threads", "1"]
    suffix_fit.main([str(tmp_path / "documents.jsonl"), *arguments, "--json", str(out)])

    written = json.loads(out.read_text())
    assert written["settings"] == {"holes": 40, "seed": 11}
    assert set(written["weights"]) == {"bias", "end", "gap"}
    assert "end and gap" in capsys.readouterr().out
