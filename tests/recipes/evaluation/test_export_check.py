"""The export check: its holes, our outputs, where two outputs part; llama.cpp is played by us."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tiny_engine import SHAPE, ScriptedModel, machine
from tiny_models import write_gguf
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill.engine import EngineConfig
from midfill.engine.runtime import open_runtime
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.recipes.evaluation import export_check
from midfill.recipes.evaluation.export_check import (
    PROMPTS,
    LineHole,
    Parting,
    greedy,
    llama_cpp,
    main,
    parting,
    read_holes,
)
from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Complete = Callable[[list[int], int], list[int]]

PIECES = [{"language": "python", "lines": ["a = 1", "b = 2", "c = 3"]}]


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    """One piece of code."""
    file = tmp_path / "pieces.json"
    file.write_text(json.dumps(PIECES), "utf-8")
    return file


def test_a_hole_is_the_rest_of_the_line_in_the_middle(pieces: Path) -> None:
    """Behind its first word, and with both line ends around."""
    assert read_holes(pieces) == [LineHole("python", "a = 1\nb ", "\nc = 3\n")]


def test_the_checkout_has_twenty_pieces(request: pytest.FixtureRequest) -> None:
    """So many are wanted."""
    assert len(read_holes(request.config.rootpath / PROMPTS)) == 20


def test_our_output_ends_before_a_control_token() -> None:
    """Its gap counts too: another engine may go on there."""
    ids = open_tokenizer(tiny_byte_level_vocabulary()).encode("return x")
    prompt = [9]
    tokens, gaps = greedy(machine(ScriptedModel([*prompt, *ids])), prompt, 32)
    assert tokens == ids
    assert gaps == [10.0] * (len(ids) + 1)


def test_our_output_ends_at_the_number_of_tokens_asked_for() -> None:
    """With a gap for each."""
    tokens, gaps = greedy(machine(), [5, 6, 7], 3)
    assert len(tokens) <= 3
    assert len(tokens) <= len(gaps) <= 3


@pytest.mark.parametrize(
    ("ours", "theirs", "found"),
    [
        ([1, 2], [1, 2], None),
        ([], [], None),
        ([1, 2], [1, 3], Parting(1, 2, 3, 0.2)),
        ([1], [1, 3], Parting(1, None, 3, 0.2)),
        ([1, 2], [], Parting(0, 1, None, 0.1)),
    ],
)
def test_outputs_part_at_the_first_difference(
    ours: list[int], theirs: list[int], found: Parting | None
) -> None:
    """An end is one."""
    assert parting(ours, theirs, [0.1, 0.2, 0.3]) == found


def test_a_missing_xllamacpp_is_met_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not among midfill's packages."""
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with (
        pytest.raises(InvalidRequestError, match="pip install xllamacpp"),
        llama_cpp(tmp_path / "x.gguf", 1),
    ):
        pass


@contextmanager
def our_own(file: Path, threads: int) -> Iterator[Complete]:
    """What llama.cpp should do, by our engine and with what a server may put behind it."""
    runtime = open_runtime(EngineConfig(str(file), dtype="fp32", threads=threads))
    runtime.close()
    end = min(runtime.machine.end_ids)
    yield lambda ids, count: [*greedy(runtime.machine, ids, count)[0], end, 7]


@contextmanager
def another(_file: Path, _threads: int) -> Iterator[Complete]:
    """An engine that always says the same."""
    yield lambda _ids, count: [300] * count


@pytest.mark.parametrize(("engine", "same", "code"), [(our_own, 1, 0), (another, 0, 1)])
def test_the_whole_check_counts_what_is_the_same(
    tmp_path: Path,
    pieces: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    engine: Callable[..., object],
    same: int,
    code: int,
) -> None:
    """On a random model; the exported file gives what the model itself does."""
    monkeypatch.setattr(export_check, "llama_cpp", engine)
    vocabulary = tiny_byte_level_vocabulary()
    write_gguf(tmp_path / "tiny.gguf", architecture=SHAPE, vocabulary=vocabulary)
    options = ["--model", str(tmp_path / "tiny.gguf"), "--prompts", str(pieces)]
    limits = ["--dtype", "f32", "--threads", "1", "--max-tokens", "4", "--at-least", "1"]
    assert main([*options, *limits, "--json", str(tmp_path / "out.json")]) == code
    assert f"{same} of 1 are the same; 1 are wanted" in capsys.readouterr().out
    document = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert (document["same"], document["holes"]) == (same, 1)
    assert document["outcomes"][0]["language"] == "python"
