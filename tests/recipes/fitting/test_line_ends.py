"""The measurement of where middles end: the same holes each time, counted rightly."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest
from tiny_corpus import tiny_documents, write_tiny_base

from midfill.engine import CompletionChunk
from midfill.engine.prompt.dialects import DIALECTS
from midfill.engine.stopping.suffix_fit import EndWeights
from midfill.recipes.fitting import line_ends
from midfill.recipes.fitting.line_ends import Gap, as_markdown, choose_gaps, measure
from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.engine import CompletionRequest


class Scripted:
    """A runtime that answers with what it is told, and remembers the threshold at each answer."""

    def __init__(self, *texts: str) -> None:
        self.machine = self.prompter = self
        self.dialect = DIALECTS["midfill"]
        self.thresholds: list[float] = []
        self.prefixes: list[str] = []
        self._texts = list(texts)

    def infill(self, request: CompletionRequest) -> list[CompletionChunk]:
        """The next text, in two chunks."""
        self.thresholds.append(self.dialect.end_at_line)
        self.prefixes.append(request.prefix)
        text = self._texts.pop(0)
        return [CompletionChunk(text[:2]), CompletionChunk(text[2:])]


def test_middles_count_if_they_are_exact_or_have_the_right_number_of_lines() -> None:
    """Blanks at the ends are no difference, nor is a line end."""
    gaps = [Gap("a", "x = 1", "d"), Gap("b", "x = 1\ny = 2", "d"), Gap("c", "z", "d")]
    runtime = Scripted(" x = 1\n", "x = 1\ny = 3", "z\nz")

    ends = measure(runtime, gaps, 0.25)  # type: ignore[arg-type]

    assert (ends.gaps, ends.exact, ends.lines_right) == (3, 1, 2)
    assert runtime.thresholds == [0.25] * 3
    assert runtime.prefixes == ["a", "b", "c"]
    assert "| 0.25 | 1 | 2 | 3 |" in as_markdown([ends])


def test_joining_is_measured_where_it_is_asked_for() -> None:
    """And named in the table."""
    runtime, weights = Scripted("x", "x"), EndWeights(1.0, 0.0, 1.0)
    gap = Gap("a", "x", "d")

    plain = measure(runtime, [gap], 0.1)  # type: ignore[arg-type]
    assert runtime.dialect.end_weights is None
    joined = measure(runtime, [gap], 0.1, weights)  # type: ignore[arg-type]
    assert runtime.dialect.end_weights == weights

    assert [line.split("|")[1] for line in as_markdown([plain, joined]).splitlines()[2:]] == [
        " 0.1 ",
        " 0.1, suffix fit ",
    ]


def test_the_seed_decides_which_holes_are_drawn() -> None:
    """In held-out Python alone; a hole and its surroundings are a part of the file."""
    documents = tiny_documents()
    gaps = choose_gaps(documents, 12, seed=1)

    assert gaps == choose_gaps(documents, 12, seed=1) != choose_gaps(documents, 12, seed=2)
    held = [document.text for document in documents if document.held_out]
    assert all(any(g.prefix + g.middle + g.suffix in text for text in held) for g in gaps)


def test_a_corpus_without_held_out_files_is_refused() -> None:
    """It says what is missing."""
    known = [document for document in tiny_documents() if not document.held_out]

    with pytest.raises(InvalidRequestError, match="held out"):
        choose_gaps(known, 1, seed=0)


def test_the_command_writes_what_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that cannot infill has nothing but its own ends, which the table shows."""
    write_tiny_base(tmp_path / "base.gguf")
    lines = [json.dumps(asdict(document)) for document in tiny_documents()]
    (tmp_path / "documents.jsonl").write_text("\n".join(lines), "utf-8")
    arguments = [str(tmp_path / "documents.jsonl"), "--model", str(tmp_path / "base.gguf")]
    out = tmp_path / "ends.json"
    line_ends.main([*arguments, "--holes", "2", "-t", "1", "0.5", "--json", str(out)])

    assert [end["threshold"] for end in json.loads(out.read_text())["ends"]] == [1.0, 0.5]
    assert "| 0.5 |" in capsys.readouterr().out
