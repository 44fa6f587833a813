"""Diffs that patch, JSON that can be given back, control characters that steer no terminal."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.cli import terminal
from midfill.cli.output import Completion, as_json, stats_line, unified_diff
from midfill.cli.source_file import Region, read_source
from midfill.engine.api import CompletionStats, EngineInfo, FinishReason, Order

STATS = CompletionStats(
    finish_reason=FinishReason.BLOCK,
    order=Order.PSM,
    prompt_tokens=40,
    cached_tokens=30,
    prefilled_tokens=10,
    healed_tokens=2,
    generated_tokens=7,
    context_pieces=0,
    mean_logprob=-0.5,
    queue_ms=1.0,
    prefill_ms=20.0,
    decode_ms=80.4,
)
ENGINE = EngineInfo("tiny", "left-to-right", 1000, 512, "fp32", "cpu", "no GPU")


def completion_of(path: Path, start: int, end: int, middle: str) -> Completion:
    """A completion for a file on disk."""
    return Completion(read_source(str(path)), Region(start, end), middle, STATS, ENGINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    ["a\nHOLE\nb\n", "a\nHOLE", "HOLE\n", "a\r\nHOLE\r\nb\r\n", "a\x0cb\u2028c\nHOLE\n", "HOLE"],
)
def test_git_applies_the_diff_to_what_write_would_have_written(folder: Path, text: str) -> None:
    """With any line ends, and without one at the end of the file."""
    path = folder / "file.py"
    path.write_bytes(text.encode())
    start = text.index("HOLE")
    completion = completion_of(path, start, start + 4, "x\ny")
    command = ["git", "apply", "--whitespace=nowarn", "-"]
    subprocess.run(command, input=unified_diff(completion).encode(), check=True)
    assert path.read_bytes() == completion.filled.encode()


def test_a_diff_names_the_file_from_the_current_folder(folder: Path) -> None:
    """However it was named on the command line."""
    (folder / "src").mkdir()
    path = folder / "src" / "a.py"
    path.write_text("a\n", encoding="utf-8")
    for name in (path, Path("src/a.py")):
        lines = unified_diff(completion_of(name, 0, 1, "b")).split("\n")
        assert lines[:2] == ["--- a/src/a.py", "+++ b/src/a.py"]


def test_no_completion_is_an_empty_diff(folder: Path) -> None:
    """Nothing changes, so there is nothing to apply."""
    path = folder / "a.py"
    path.write_text("a\n", encoding="utf-8")
    assert unified_diff(completion_of(path, 1, 1, "")) == ""


def test_json_tells_the_middle_and_what_it_replaces(folder: Path) -> None:
    """Places count from 1, as on the command line; enumerations are their values."""
    path = folder / "a.py"
    path.write_text("ab\ncd\n", encoding="utf-8")
    found = json.loads(as_json(completion_of(path, 1, 4, "\u4e16")))
    assert found["middle"] == "\u4e16"
    assert found["range"] == {
        "start": {"line": 1, "column": 2},
        "end": {"line": 2, "column": 2},
    }
    assert found["stats"]["finish_reason"] == "block"
    assert found["stats"]["mean_logprob"] == -0.5
    assert (found["model"], found["dialect"]) == ("tiny", "left-to-right")


def test_the_statistics_fit_into_one_line(folder: Path) -> None:
    """Tokens, milliseconds, and why it ended."""
    path = folder / "a.py"
    path.write_text("ab", encoding="utf-8")
    line = stats_line(completion_of(path, 0, 0, "x"))
    assert "7 tokens in 100 ms" in line
    assert "40 prompt tokens, 30 of them cached" in line
    assert "ended by block" in line
    assert "\n" not in line


@pytest.fixture
def on_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> pytest.CaptureFixture[str]:
    """Both outputs, captured, claim to be terminals with colours."""
    monkeypatch.setattr(type(terminal.sys.stdout), "isatty", lambda _: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return capsys


def test_a_terminal_shows_new_text_in_green_between_dim_lines(
    on_terminal: pytest.CaptureFixture[str],
) -> None:
    """And the surroundings only as far as they help."""
    before = "".join(f"line {i}\n" for i in range(100)) + "x = "
    canvas = terminal.text_printer(before, "\nafter 1\nafter 2\nafter 3\nafter 4\n", at_once=False)
    canvas.add("new")
    canvas.add(" text")
    canvas.close()
    shown = on_terminal.readouterr().out
    assert "\x1b[32mnew\x1b[0m\x1b[32m text\x1b[0m" in shown
    assert "\x1b[2mx = \x1b[0m" in shown
    assert "line 81\x1b" in shown
    assert "line 80" not in shown
    assert "after 3" in shown
    assert "after 4" not in shown


def test_text_cannot_steer_the_terminal(on_terminal: pytest.CaptureFixture[str]) -> None:
    """An escape sequence in a file or from a model is shown as a picture."""
    canvas = terminal.text_printer("", "", at_once=False)
    canvas.add("a\x1b]0;title\x07\tb[red]\x9b2J")
    shown = on_terminal.readouterr().out
    assert "\u241b]0;title\u2407" in shown
    assert "[red]\ufffd2J" in shown


def test_a_diff_has_colours_on_a_terminal(on_terminal: pytest.CaptureFixture[str]) -> None:
    """Green what comes, red what goes."""
    terminal.show_diff("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-old\r\n+new\r\n")
    shown = on_terminal.readouterr().out
    assert "\x1b[31m-old\x1b[0m\n" in shown
    assert "\x1b[32m+new\x1b[0m\n" in shown


def test_loading_shows_a_bar_on_standard_error(on_terminal: pytest.CaptureFixture[str]) -> None:
    """Phases come from the engine; standard output stays clean."""
    with terminal.loading() as on_progress:
        assert on_progress is not None
        on_progress("reading weights", 0.5)
    shown = on_terminal.readouterr()
    assert "reading weights" in shown.err
    assert shown.out == ""


def test_a_pipe_sees_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    """Logs of a build should hold no bar."""
    with terminal.loading() as on_progress:
        assert on_progress is None
    assert capsys.readouterr().err == ""


@given(st.lists(st.text(), max_size=5))
def test_a_pipe_gets_the_middle_alone(parts: list[str]) -> None:
    """Neither colours nor a line end of our own; pictures for control characters, unless raw."""
    for is_raw in (True, False):
        written = "".join(parts) if is_raw else terminal.visible("".join(parts))
        assert printed(parts, is_raw=is_raw) == written


def printed(parts: list[str], *, is_raw: bool) -> str:
    """What goes into a pipe."""
    written: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal.sys.stdout, "write", written.append)
        printer = terminal.text_printer("before", "after", at_once=True, is_raw=is_raw)
        for part in parts:
            printer.add(part)
        printer.close()
    return "".join(written)
