"""``midfill report``: all of it is shown, nothing private is in it, and somebody has to agree."""

from __future__ import annotations

import json
import stat
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes import writing
from recorded_session import recorded

from midfill.cli import main
from midfill.cli.faults.facts import files_of, sampled_sha256
from midfill.engine.api import EngineConfig
from midfill.lsp_server.recording.events import read_record

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD3fG6"


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """A log with a secret, a path of the user's, and more lines than are shown."""
    file = tmp_path / "lsp.log"
    lines = [f"line {number}\n" for number in range(1000)]
    file.write_text(f"{''.join(lines)}{Path.home()}/a.py has {KEY}\x1b[2J\n", encoding="utf-8")
    return file


@pytest.fixture
async def recording(tmp_path: Path) -> Path:
    """A recording with its texts, of a document in the home folder."""
    file = tmp_path / "session.jsonl"
    async with recorded(file, writing("z")) as it:
        it.client.open(f"my_word = '{KEY}'\n", uri=(Path.home() / "a.py").as_uri())
        await it.client.ready()
    return file


def written(file: Path) -> Mapping[str, str]:
    """The parts of a report."""
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_it_is_shown_and_written_where_only_its_owner_can_read_it(
    log_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the end of the log; without secrets and without the home folder's name."""
    output = tmp_path / "r.zip"
    options = ["--log-file", str(log_file), "--output", str(output)]
    assert main(["report", *options, "--yes"]) == 0
    parts = written(output)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    names = ("versions.json", "environment.json", "kernels.json", "models.json", "log.txt")
    assert list(parts) == [f"midfill-report/{name}" for name in names]
    log = parts["midfill-report/log.txt"].split("\n")
    assert log[-2].startswith("~/a.py has ****")
    assert 300 < len(log) < 500
    shown = capsys.readouterr().out
    assert log[-2].replace("\x1b", "\u241b") in shown
    assert "line 999" in shown
    assert "line 700" not in shown
    assert parts["midfill-report/versions.json"] in shown
    for text in (*parts.values(), shown):
        assert KEY not in text
        assert str(Path.home()) not in text
    assert "\x1b" not in shown
    assert shown.endswith("r.zip is written; nothing was sent\n")


def test_show_shows_all_and_writes_nothing(
    log_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """For whoever wants to read it first."""
    monkeypatch.chdir(tmp_path)
    assert main(["report", "--log-file", str(log_file), "--show"]) == 0
    assert "line 700\n" in capsys.readouterr().out
    assert list(tmp_path.glob("*.zip")) == []


def test_nobody_to_ask_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a script, for example."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["report"]) == 2
    assert "add --yes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("answer", "code", "files"), [("y", 0, 1), ("YES ", 0, 1), ("", 1, 0), ("n", 1, 0)]
)
def test_somebody_is_asked(
    answer: str, code: int, files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a yes is one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert main(["report"]) == code
    assert len(list(tmp_path.glob("midfill-report-*.zip"))) == files


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    """Another report, perhaps."""
    (tmp_path / "r.zip").write_text("old", encoding="utf-8")
    assert main(["report", "--yes", "--output", str(tmp_path / "r.zip")]) == 2
    assert (tmp_path / "r.zip").read_text(encoding="utf-8") == "old"


def test_a_recording_is_in_it_without_its_texts(recording: Path, tmp_path: Path) -> None:
    """It can be played."""
    output = tmp_path / "r.zip"
    assert main(["report", "--yes", "--output", str(output), "--recording", str(recording)]) == 0
    text = written(output)["midfill-report/recording.jsonl"]
    assert "my_word" not in text
    (tmp_path / "again").write_text(text, encoding="utf-8")
    assert not read_record(tmp_path / "again").has_texts


def test_its_texts_stay_on_demand_without_secrets(recording: Path, tmp_path: Path) -> None:
    """In as many characters, so that positions stay valid."""
    output = tmp_path / "r.zip"
    options = ["--yes", "--output", str(output), "--recording", str(recording), "--texts"]
    assert main(["report", *options]) == 0
    lines = written(output)["midfill-report/recording.jsonl"].split("\n")
    (opened,) = [json.loads(line) for line in lines if "textDocument/didOpen" in line]
    document = opened["message"]["params"]["textDocument"]
    assert document["text"] == f"my_word = '{'*' * len(KEY)}'\n"
    assert str(Path.home()) not in "".join(lines)
    assert len(document["uri"]) == len((Path.home() / "a.py").as_uri())


@pytest.mark.parametrize("options", [["--texts"], ["--recording", "missing"]])
def test_wrong_options_are_refused(options: list[str]) -> None:
    """Before anything is shown."""
    assert main(["report", *options]) == 2


def test_a_log_that_is_not_there_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody has started the server."""
    assert main(["report", "--show", "--log-file", str(tmp_path / "missing")]) == 0
    assert "there is no log" in capsys.readouterr().out


def test_files_of_a_model_are_told_from_others(tmp_path: Path) -> None:
    """By the registry's hashes, or by samples of all the file."""
    (promised,) = files_of(EngineConfig("smollm2-135m"))
    assert (promised["name"], len(promised["sha256"])) == ("smollm2-135m", 64)
    file = tmp_path / "m.gguf"
    file.write_bytes(bytes(10_000_000))
    before = sampled_sha256(file)
    with file.open("r+b") as stream:
        stream.seek(9_960_000)
        stream.write(b"x")
    assert sampled_sha256(file) != before
    (tmp_path / "note.txt").write_text("x", encoding="utf-8")
    (own,) = files_of(EngineConfig(str(tmp_path)))
    assert own == {"name": "m.gguf", "bytes": 10_000_000, "sampled_sha256": sampled_sha256(file)}
