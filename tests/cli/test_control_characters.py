"""Control characters of a completion, or in a file's name: no terminal obeys them unasked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes import writing
from recorded_session import opener

from midfill import cli

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "x\x1b]52;c;cm0gLXJm\x07\r\b\n\ty\x9b2J\x7f"
"""It would write to the clipboard and clear the screen."""
TAMED = "x\u241b]52;c;cm0gLXJm\u2407\u240d\u2408\n\ty\ufffd2J\u2421"


def infill(*arguments: object) -> int:
    """The exit code of ``midfill infill`` with a model that writes such things."""
    return cli.main(["infill", *map(str, arguments)], opener(writing(EVIL[:3], EVIL[3:])))


@pytest.mark.parametrize("options", [(), ("--stream",), ("--format", "diff")])
def test_a_completion_steers_no_terminal_behind_a_pipe(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only its control characters are replaced, and that is said; the file's own are not."""
    file = tmp_path / "notes.txt"
    file.write_bytes(b"a\x0c\r\n<>\r\nb\x1b\r\n")
    assert infill(file, "--marker", "<>", *options) == 0
    shown = capsys.readouterr()
    assert TAMED.replace("\n", "\r\n+" if "diff" in options else "\n") in shown.out
    assert ("b\x1b" in shown.out) == ("diff" in options)
    assert "--raw prints them" in shown.err


@pytest.mark.parametrize("options", [(), ("--stream",), ("--format", "diff")])
def test_raw_output_is_exact(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On demand only."""
    file = tmp_path / "notes.txt"
    file.write_bytes(b"a\r\n<>\r\nb\r\n")
    assert infill(file, "--marker", "<>", "--raw", *options) == 0
    shown = capsys.readouterr()
    assert EVIL.replace("\n", "\r\n+" if "diff" in options else "\n") in shown.out
    assert shown.err == ""


def test_a_written_file_and_json_are_exact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON has no control characters of its own, but tells them."""
    file = tmp_path / "notes.txt"
    file.write_bytes(b"a\r\n<>\r\nb\r\n")
    assert infill(file, "--marker", "<>", "--write", "--format", "json") == 0
    shown = capsys.readouterr()
    assert file.read_bytes() == f"a\n{EVIL}\nb\n".replace("\n", "\r\n").encode()
    assert json.loads(shown.out)["middle"] == EVIL
    assert shown.out.rstrip("\n").isprintable()
    assert shown.err == ""


def test_a_files_name_steers_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors name it."""
    assert infill(tmp_path / "a\x1b[2J.py", "--at", "1:1") == 2
    assert "a\u241b[2J.py" in capsys.readouterr().err
