"""``midfill replay`` from arguments to exit code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes import writing
from lsp_client import INVOKED
from recorded_session import opener, recorded

from midfill.cli import main
from midfill.engine.errors import ModelNotPulledError

if TYPE_CHECKING:
    from pathlib import Path

    from recorded_session import Script


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A recording of one completion, "old"."""
    path = tmp_path / "session.jsonl"
    async with recorded(path, writing("old\x1b[2J")) as it:
        it.client.open("x")
        await it.client.ready()
        await it.client.complete(0, 1, kind=INVOKED)
    return path


def replay(file: Path, script: Script, *options: str) -> int:
    """The exit code of ``midfill replay`` with an engine of this script."""
    return main(["replay", str(file), *options], open_engine=opener(script))


def test_the_same_tokens_are_exit_code_0(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a count."""
    assert replay(file, writing("old\x1b[2J")) == 0
    assert capsys.readouterr().out == "the same tokens: 4 replies and runs\n"


def test_other_tokens_are_exit_code_1_and_a_diff(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It steers no terminal."""
    assert replay(file, writing("new")) == 1
    shown = capsys.readouterr().out
    assert "--- run 2 of the engine, then\n+++ now\n" in shown
    assert "\n-old\u241b[2J\n+new\n" in shown
    assert shown.endswith("2 of 4 replies and runs are not as they were\n")


def test_other_circumstances_are_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are the first suspects."""
    begin, _, rest = file.read_text(encoding="utf-8").partition("\n")
    told = json.loads(begin) | {"midfill": "0.0.1", "packages": {"torch": "1.0"}}
    file.write_text(f"{json.dumps(told)}\n{rest}", encoding="utf-8")
    assert replay(file, writing("old\x1b[2J"), "--model", "other") == 0
    shown = capsys.readouterr().err
    assert "note: midfill was 0.0.1, and is " in shown
    assert "note: torch was 1.0, and is " in shown
    assert "note: the model is other" in shown


def test_another_file_is_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or none."""
    assert replay(tmp_path / "missing", writing("")) == 2
    (tmp_path / "other").write_text("{}\n", encoding="utf-8")
    assert replay(tmp_path / "other", writing("")) == 2
    assert "is no recording" in capsys.readouterr().err


def test_a_model_that_is_not_here_is_exit_code_3(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what to do."""

    def refuse(*_: object) -> None:
        raise ModelNotPulledError("run midfill models pull x")

    assert main(["replay", str(file)], open_engine=refuse) == 3  # type: ignore[arg-type]
    assert "midfill: run midfill models pull x\n" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "inf", "nan", "x"])
def test_patience_is_a_number_of_seconds(seconds: str, file: Path) -> None:
    """Over 0."""
    with pytest.raises(SystemExit):
        replay(file, writing(""), "--patience", seconds)
