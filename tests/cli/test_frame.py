"""The frame of the midfill command: version, exit codes, and how it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from fakes import FakeEngine
from repository import SUPPORT

from midfill import cli

COMMAND = (sys.executable, "-P", "-m", "midfill.cli")


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """A finished process of the command."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, check=False, **options)


def test_the_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    """It stands in pyproject.toml alone."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"midfill {version('midfill')}\n"


def test_the_module_is_the_command() -> None:
    """For machines where scripts are not on the path."""
    done = run("--help")
    assert done.returncode == 0
    for name in (b"infill", b"lsp", b"models"):
        assert name in done.stdout


def test_the_script_is_installed() -> None:
    """``midfill`` stands beside the interpreter."""
    done = subprocess.run(
        [Path(sys.executable).with_name("midfill"), "--version"], check=True, capture_output=True
    )
    assert done.stdout.startswith(b"midfill ")


def test_no_command_is_bad_usage() -> None:
    """Argparse's exit code is ours."""
    assert run().returncode == 2


def test_a_process_ends_with_2_for_bad_input_and_3_without_the_model(tmp_path: Path) -> None:
    """What scripts look at; standard output stays empty."""
    file = tmp_path / "a.py"
    file.write_text("x = \n", encoding="utf-8")
    absent = run("infill", "absent.py", "--at", "1:1", cwd=tmp_path)
    assert (absent.returncode, absent.stdout) == (2, b"")
    assert absent.stderr.strip() == b"midfill: absent.py: No such file or directory"
    not_pulled = run("infill", str(file), "--at", "1:5")
    assert (not_pulled.returncode, not_pulled.stdout) == (3, b"")
    assert not_pulled.stderr.startswith(b"midfill: ")
    assert b"midfill models pull" in not_pulled.stderr
    assert not_pulled.stderr.count(b"\n") == 1


def test_an_interrupt_is_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a traceback, and the engine is closed."""
    file = tmp_path / "a.py"
    file.write_text("x = \n", encoding="utf-8")

    def interrupt(stream: object) -> None:
        raise KeyboardInterrupt

    engine = FakeEngine(interrupt)
    assert cli.main(["infill", str(file), "--at", "1:5"], lambda *_: engine) == 130
    assert engine.is_closed
    assert capsys.readouterr().err == ""


def test_a_bug_is_not_taken_for_a_missing_completion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python itself would end with 1."""
    file = tmp_path / "a.py"
    file.write_text("x = \n", encoding="utf-8")

    def broken(*_: object) -> FakeEngine:
        raise ZeroDivisionError

    code = cli.main(["infill", str(file), "--at", "1:5", "--no-context"], broken)
    assert code == cli.BUG
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    """As in ``midfill ... | head -1``."""
    script = (
        "import sys; from fakes import FakeEngine, writing; from midfill import cli\n"
        "engine = FakeEngine(writing(*['line\\n'] * 20000, 'end'))\n"
        "sys.exit(cli.main(sys.argv[1:], lambda *_: engine))"
    )
    file = tmp_path / "a.py"
    file.write_text("x = \n", encoding="utf-8")
    tests = str(SUPPORT)
    process = subprocess.Popen(
        [sys.executable, "-c", script, "infill", str(file), "--at", "1:5", "--stream"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": tests},
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 141


def test_an_output_that_lacks_a_character_is_bad_input_and_no_traceback(tmp_path: Path) -> None:
    """As a pipe on Windows, or on a machine without a locale; the message says what to set."""
    script = (
        "import sys; from fakes import FakeEngine, writing; from midfill import cli\n"
        "engine = FakeEngine(writing('\\u00e9'))\n"
        "sys.exit(cli.main(sys.argv[1:], lambda *_: engine))"
    )
    file = tmp_path / "a.py"
    file.write_text("x = \n", encoding="utf-8")
    tests = str(SUPPORT)
    done = subprocess.run(
        [sys.executable, "-c", script, "infill", str(file), "--at", "1:5"],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONPATH": tests, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"midfill: the output is ascii")
    assert b"PYTHONIOENCODING=utf-8" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_closed_stream_is_an_empty_one(closed: str, tmp_path: Path) -> None:
    """Python has None for it; nothing may end with a traceback, and so with "no completion"."""
    script = f'"$@" {closed}'
    arguments = {"<&-": ("infill", "-", "--at", "2:1"), ">&-": ("models", "list")}[closed]
    command = ["sh", "-c", script, "sh", *COMMAND, *arguments]
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    said = {
        "<&-": b"midfill: line 2 is not in standard input: it has the lines 1 to 1\n",
        ">&-": b"",
    }[closed]
    assert (done.stderr, done.returncode) == (said, 2 if said else 0)


def test_help_needs_nothing_heavy() -> None:
    """So it is there at once."""
    script = (
        "import sys; from midfill import cli; cli.build_parser().format_help();"
        "print(*{'torch', 'numpy', 'rich', 'pygls', 'lsprotocol', 'gguf'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], check=True, capture_output=True)
    assert done.stdout.split() == []
