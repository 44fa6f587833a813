"""A recording's file: private, never overwritten, bounded, readable wherever it was cut off."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest

from midfill.engine.errors import InvalidRequestError
from midfill.lsp_server.recording import recorder as module
from midfill.lsp_server.recording.events import Kind, read_record
from midfill.lsp_server.recording.recorder import Recorder, create_file

if TYPE_CHECKING:
    from pathlib import Path


def a_recorder(file: Path, most_bytes: int = 1 << 20) -> Recorder:
    """A recorder that keeps texts."""
    descriptor, _ = create_file(file)
    return Recorder(descriptor, keeps_texts=True, about={"midfill": "1"}, most_bytes=most_bytes)


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    """From the first byte on."""
    a_recorder(tmp_path / "a.jsonl").close()
    assert stat.S_IMODE((tmp_path / "a.jsonl").stat().st_mode) == 0o600


def test_an_older_recording_stays(tmp_path: Path) -> None:
    """A server that is started again records beside it; so it does beside a link."""
    (tmp_path / "a-2.jsonl").symlink_to(tmp_path / "elsewhere")
    names = [create_file(tmp_path / "a.jsonl") for _ in range(3)]
    for descriptor, _ in names:
        os.close(descriptor)
    assert [file.name for _, file in names] == ["a.jsonl", "a-3.jsonl", "a-4.jsonl"]
    assert not (tmp_path / "elsewhere").exists()


def test_too_many_recordings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody forgot the option."""
    monkeypatch.setattr(module, "_MOST_FILES", 2)
    os.close(create_file(tmp_path / "a")[0])
    with pytest.raises(InvalidRequestError, match="delete some"):
        create_file(tmp_path / "a")


def test_it_has_an_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last event tells that others followed."""
    recorder = a_recorder(tmp_path / "a", most_bytes=300)
    for number in range(100):
        recorder.note(Kind.CHUNK, run=number, characters=1)
    record = read_record(tmp_path / "a")
    assert record.events[-1]["kind"] == Kind.FULL
    assert 1 < len(record.events) < 10
    assert (tmp_path / "a").stat().st_size < 400
    assert caplog.text.count("the recording is full") == 1


def test_a_full_disk_ends_the_recording_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is recorded goes on."""
    recorder = a_recorder(tmp_path / "a")

    def fail(_descriptor: int, _line: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fail)
        recorder.note(Kind.CHUNK, run=1, characters=1)
    recorder.note(Kind.CHUNK, run=2, characters=1)
    recorder.close()
    assert read_record(tmp_path / "a").events == ()
    assert "No space left" in caplog.text


def test_wherever_it_is_cut_off_whole_events_are_read(tmp_path: Path) -> None:
    """A killed process leaves at most one that is not."""
    file, texts = tmp_path / "a", ["", "é\n", "é\né\n"]
    recorder = a_recorder(file)
    for text in texts:
        recorder.note(Kind.IN, message={"text": text})
    recorder.close()
    whole = file.read_bytes()
    for size in range(whole.index(b"\n") + 1, len(whole) + 1):
        file.write_bytes(whole[:size])
        kept = whole[:size].count(b"\n") - 1
        assert [e["message"]["text"] for e in read_record(file).events] == texts[:kept]


@pytest.mark.parametrize(
    "text",
    [
        *["", "\n", "{}\n", "[]\n", "1\n", "x\n", "{", '{"kind": "begin", "texts": true}\n'],
        '{"kind": "begin", "texts": true, "format": 2}\n',
        '{"kind": "begin", "texts": true, "format": 1}\n[]\n',
        '{"kind": "begin", "texts": true, "format": 1}\n{"kind": "other"}\n',
        '{"kind": "begin", "texts": true, "format": 1}\n{"kind": "in"}\n',
        '{"kind": "begin", "texts": true, "format": 1}\n{"kind": "in", "message": 1}\n',
        "[" * 100_000 + "\n",
    ],
)
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    """With what makes a recording."""
    file = tmp_path / "a"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequestError, match="midfill lsp --record FILE makes one"):
        read_record(file)


def test_events_are_lines_of_json_with_their_time(tmp_path: Path) -> None:
    """So that other programs can read them."""
    recorder = a_recorder(tmp_path / "a")
    recorder.note(Kind.RAW, bytes=1, body="\n\ud800")
    recorder.close()
    begin, raw = [json.loads(line) for line in (tmp_path / "a").read_bytes().split(b"\n")[:-1]]
    assert (begin["kind"], begin["format"], begin["texts"], begin["midfill"]) == (
        "begin",
        1,
        True,
        "1",
    )
    assert raw["body"] == "\n\ud800"
    assert 0 <= begin["t"] <= raw["t"]
