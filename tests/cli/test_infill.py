"""``midfill infill`` from arguments to output, with an engine that says what the test wants."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes import FakeEngine, FakeStream

from midfill import cli
from midfill.cli.infill import TRIES
from midfill.engine.api import (
    CompletionRequest,
    EngineConfig,
    FinishReason,
    Order,
    Priority,
    Scope,
)
from midfill.engine.errors import (
    InfillingNotSupportedError,
    MidfillError,
    ModelNotPulledError,
)

CODE = "def f(x):\n    # HOLE\n    return y\n"


@dataclass
class Script:
    """What the engine will write, or how it will fail; then, what it was asked."""

    parts: tuple[str, ...] = ("y = ", "x + 1")
    open_error: MidfillError | None = None
    infill_error: MidfillError | None = None
    opened: list[FakeEngine] = field(default_factory=list)

    def open_engine(
        self, config: EngineConfig, on_progress: Callable[[str, float], None] | None = None
    ) -> FakeEngine:
        """What the command line gets instead of ``midfill.engine.open_engine``."""
        if on_progress is not None:
            on_progress("reading weights", 1.0)
        if self.open_error is not None:
            raise self.open_error
        self.opened.append(FakeEngine(self._play, config))
        return self.opened[-1]

    def _play(self, stream: FakeStream) -> None:
        stream.write(*self.parts)
        if self.infill_error is not None:
            stream.fail(self.infill_error)
        stream.finish(FinishReason.BLOCK)

    @property
    def request(self) -> CompletionRequest:
        """The only one there was."""
        ((request,),) = [engine.requests for engine in self.opened]
        return request


@pytest.fixture
def script() -> Script:
    """Change it before the run."""
    return Script()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with a hole."""
    path = tmp_path / "code.py"
    path.write_text(CODE, encoding="utf-8")
    return path


def infill(script: Script, *arguments: object) -> int:
    """The exit code of ``midfill infill`` with these arguments."""
    return cli.main(["infill", *map(str, arguments)], script.open_engine)


def test_a_pipe_gets_the_middle_and_nothing_else(
    script: Script, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even a line end of our own."""
    assert infill(script, file, "--marker", "# HOLE") == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("y = x + 1", "")
    assert file.read_text(encoding="utf-8") == CODE


@pytest.mark.parametrize(
    "where", [("--marker", "# HOLE"), ("--range", "2:5-2:11"), ("--range=2:5-2:11",)]
)
def test_a_region_is_replaced(script: Script, file: Path, where: tuple[str, ...]) -> None:
    """The engine sees what stands before and after it."""
    assert infill(script, file, *where, "--write") == 0
    assert file.read_text(encoding="utf-8") == CODE.replace("# HOLE", "y = x + 1")
    request = script.request
    assert (request.prefix, request.suffix) == ("def f(x):\n    ", "\n    return y\n")


def test_a_place_is_filled_without_losing_anything(script: Script, file: Path) -> None:
    """2:5 is before the fifth character of the second line."""
    script.parts = ("y = x  ",)
    assert infill(script, file, "--at", "2:5", "--write") == 0
    assert file.read_text(encoding="utf-8") == CODE.replace("# HOLE", "y = x  # HOLE")


def test_the_engine_sees_newlines_and_the_file_keeps_its_own(
    script: Script, tmp_path: Path
) -> None:
    """CRLF is the file's business."""
    path = tmp_path / "dos.py"
    path.write_bytes(b"a = 1\r\nHOLE\r\n")
    script.parts = ("b = 2\n", "c = 3")
    assert infill(script, path, "--marker", "HOLE", "--write") == 0
    assert path.read_bytes() == b"a = 1\r\nb = 2\r\nc = 3\r\n"
    assert script.request.prefix == "a = 1\n"


def test_writing_is_silent_unless_a_format_asks(
    script: Script, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--write --format diff tells what was done."""
    infill(script, file, "--marker", "# HOLE", "--write")
    assert capsys.readouterr().out == ""
    infill(script, file, "--marker", "y = x", "--write", "--format", "diff")
    assert "-    y = x + 1\n+    y = x + 1 + 1\n" in capsys.readouterr().out


def test_json_says_what_was_filled_in_where(
    script: Script, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For programs; the fields are test_cli_output's business."""
    infill(script, file, "--marker", "# HOLE", "--format", "json")
    found = json.loads(capsys.readouterr().out)
    assert found["middle"] == "y = x + 1"
    assert found["range"]["start"] == {"line": 2, "column": 5}


def test_streamed_text_is_the_text(
    script: Script, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blank lines at the end are held back while nothing follows, and dropped at the end."""
    script.parts = ("y = ", "x\n", "\n", "    y += 1\n\n")
    infill(script, file, "--marker", "# HOLE", "--stream")
    assert capsys.readouterr().out == "y = x\n\n    y += 1"


@pytest.mark.parametrize(
    ("options", "tries"), [((), TRIES), (("--stream",), 1), (("--tries", "3"), 3)]
)
def test_the_best_of_several_tries_is_asked_for(
    script: Script, file: Path, options: tuple[str, ...], tries: int
) -> None:
    """Unless text is to be seen as it comes."""
    infill(script, file, "--marker", "# HOLE", *options)
    assert script.request.tries == tries


def test_statistics_go_to_standard_error(
    script: Script, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pipe stays clean."""
    infill(script, file, "--marker", "# HOLE", "--stats")
    shown = capsys.readouterr()
    assert shown.out == "y = x + 1"
    assert "ended by block" in shown.err


@pytest.mark.parametrize("parts", [(), ("",), ("\n  \n",), ("return y",)])
def test_no_completion_is_exit_code_1_and_no_change(
    script: Script,
    file: Path,
    parts: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing, blanks, or what already follows the hole."""
    script.parts = parts
    assert infill(script, file, "--marker", "# HOLE", "--write", "--format", "diff") == 1
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "midfill: no completion (ended by block)\n")
    assert file.read_text(encoding="utf-8") == CODE


def test_options_reach_the_engine(script: Script, file: Path) -> None:
    """Each of them."""
    infill(
        script,
        file,
        "--at",
        "1:1",
        "--order",
        "spm",
        "--no-heal",
        "--max-tokens",
        7,
        "--single-line",
        "--temperature",
        0.5,
        "--seed",
        3,
        "--model",
        "m.gguf",
        "--dialect",
        "codellama",
        "--adapter",
        "mine",
    )
    request = script.request
    assert (request.order, request.heal, request.max_tokens) == (Order.SPM, False, 7)
    assert request.scope is Scope.LINE
    assert (request.sampling.temperature, request.sampling.seed) == (0.5, 3)
    assert request.priority is Priority.COMMAND_LINE
    (engine,) = script.opened
    assert (engine.config.model, engine.config.dialect) == ("m.gguf", "codellama")
    assert engine.config.adapter == "mine"
    assert engine.is_closed


def test_defaults_are_those_of_the_engine(script: Script, file: Path) -> None:
    """They stand in one place."""
    infill(script, file, "--at", "4:1")
    request = script.request
    default = CompletionRequest(prefix="")
    for name in ("order", "heal", "scope", "max_tokens", "sampling"):
        assert getattr(request, name) == getattr(default, name)


def test_text_after_the_hole_keeps_the_completion_on_its_line(script: Script, file: Path) -> None:
    """As in the editor: what follows on the line is to be continued, not torn apart."""
    infill(script, file, "--at", "1:7")
    assert script.request.scope is Scope.LINE


def test_standard_input_is_a_file_too(
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For filters."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CODE.encode())))
    assert infill(script, "-", "--marker", "# HOLE", "--format", "diff") == 0
    assert "--- a/stdin\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--at", "9:1"), "it has the lines 1 to 4"),
        (("--at", "2:99"), "it has the columns 1 to 11"),
        (("--range", "2:1-1:1"), "before it starts"),
        (("--marker", "ABSENT"), "'ABSENT' is not in"),
        (("--marker", "r"), "more than once"),
        (("--at", "1:1", "--max-tokens", "-1"), "max_tokens is -1"),
        (("--at", "1:1", "--temperature", "-1"), "temperature is -1.0"),
        (("--at", "1:1", "--encoding", "no-such"), "is no text encoding"),
        (("--at", "1:1", "--stream", "--format", "json"), "--stream is for text"),
        (("--at", "1:1", "--raw", "--format", "json"), "--raw is for printed text"),
        (("--at", "1:1", "--raw", "--write"), "--raw is for printed text"),
        (("--at", "1:1", "--tries", "0"), "tries is 0"),
        (("--at", "1:1", "--tries", "4", "--stream"), "--stream shows the first try"),
    ],
)
def test_wrong_input_is_exit_code_2_before_any_model_loads(
    script: Script,
    file: Path,
    arguments: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line that says what is allowed."""
    code = infill(script, file, *arguments)
    shown = capsys.readouterr()
    assert (code, script.opened, shown.out) == (2, [], "")
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("midfill: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("f.py",), "one of the arguments --at --range --marker is required"),
        (("f.py", "--at", "1:1", "--marker", "x"), "not allowed with"),
        (("f.py", "--at", "0:1"), "'0:1' is not LINE:COL, counted from 1, like 12:5"),
        (("f.py", "--at", "1:0"), "'1:0' is not LINE:COL"),
        (("f.py", "--at", "three"), "'three' is not LINE:COL"),
        (("f.py", "--range", "1:1"), "'1:1' is not L1:C1-L2:C2, like 12:5-14:1"),
        (("f.py", "--at", "1:1", "--order", "sideways"), "invalid choice: 'sideways'"),
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Argparse shows the usage, then the mistake."""
    with pytest.raises(SystemExit) as ended:
        infill(Script(), *arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_not_there_is_exit_code_2(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names it."""
    path = tmp_path / "absent.py"
    assert infill(script, path, "--at", "1:1") == 2
    assert capsys.readouterr().err == f"midfill: {path}: No such file or directory\n"


def test_standard_input_cannot_be_written(
    script: Script, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said before it is read."""
    assert infill(script, "-", "--at", "1:1", "--write") == 2
    assert "leave out --write" in capsys.readouterr().err


def test_a_file_that_could_not_be_written_back_is_refused_before_the_model_loads(
    script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody waits for a completion that is then thrown away."""
    path = tmp_path / "big.txt"
    path.write_bytes(b"\xfe\xff\x00a")
    assert infill(script, path, "--at", "1:1", "--encoding", "utf-16", "--write") == 2
    assert script.opened == []
    assert "not plain utf-16" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_exit_code_3(
    script: Script, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message says how to get it."""
    script.open_error = ModelNotPulledError("smollm2-135m is not here: midfill models pull")
    assert infill(script, file, "--at", "1:1") == 3
    assert capsys.readouterr().err == "midfill: smollm2-135m is not here: midfill models pull\n"


def test_an_error_while_the_model_works_leaves_the_file_alone(
    script: Script, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And closes the engine."""
    script.infill_error = InfillingNotSupportedError("fake has no infilling tokens")
    assert infill(script, file, "--marker", "# HOLE", "--write") == 2
    assert capsys.readouterr().err == "midfill: fake has no infilling tokens\n"
    assert file.read_text(encoding="utf-8") == CODE
    assert script.opened[0].is_closed


def test_how_it_came_about_goes_to_standard_error(
    script: Script, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a pipe still gets the middle alone."""
    assert infill(script, file, "--marker", "# HOLE", "--explain") == 0
    shown = capsys.readouterr()
    assert shown.out == "y = x + 1"
    assert shown.err.startswith("where     code.py, line 2\nhow       generated, priority command_")
    assert "shown     'y = x + 1'\n" in shown.err


def test_json_has_the_explanation_in_it(
    script: Script, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what was written and not taken."""
    script.parts = (" \n",)
    place = ("--marker", "# HOLE")
    assert infill(script, file, *place, "--explain", "--format", "json") == cli.infill.NO_COMPLETION
    shown = capsys.readouterr()
    told = json.loads(shown.out)["explanation"]
    assert (told["text"], told["cut"], told["line"]) == ("", " \n", 2)
    assert "where" not in shown.err
    assert infill(script, file, *place, "--format", "json") == cli.infill.NO_COMPLETION
    assert "explanation" not in json.loads(capsys.readouterr().out)
