"""A look at the disk: what is there, and what becomes of errors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from midfill.lsp_server.context.look import MOST_SKIPPED, Look, Skipped


def test_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    """Pipes are neither, and nothing is nothing."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    look = Look()
    names = ("folder", "file", "pipe", "no", "file/no", "x" * 300, "a\0b")
    assert [name for name in names if look.is_file(tmp_path / name)] == ["file"]
    assert [name for name in names if look.is_folder(tmp_path / name)] == ["folder"]
    assert [skip.why for skip in look.skipped.all] == [
        "File name too long",
        "ValueError: embedded null byte",
    ]
    assert look.names(tmp_path) == ["file", "pipe"]
    assert look.names(tmp_path, of_folders=True) == ["folder"]


def test_small_texts_are_read(tmp_path: Path) -> None:
    """Others are empty."""
    (tmp_path / "go.mod").write_text("module x\n")
    (tmp_path / "huge").write_text("x" * (1 << 19))
    look = Look()
    assert look.text(tmp_path / "go.mod") == "module x\n"
    assert look.text(tmp_path / "huge") == look.text(tmp_path / "no") == ""


def test_only_some_notes_are_kept_and_each_once() -> None:
    """A folder may have a million bad files."""
    skipped = Skipped()
    for number in range(2 * MOST_SKIPPED):
        skipped.note(number // 2, "bad")
    assert len(skipped.all) == MOST_SKIPPED
    skipped.note("new", "bad")
    assert len(skipped.all) == MOST_SKIPPED


def test_names_are_logged_as_any_log_can_take_them(caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that are no text, and zeros."""
    skipped = Skipped()
    skipped.note(Path("/a\udce9\0b"), "bad")
    assert skipped.all[0].what.encode() == rb"/a\udce9\0b"
    assert caplog.records[0].getMessage().encode()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_guard_lets_the_end_of_the_process_through(error: type[BaseException]) -> None:
    """It is for what goes wrong."""
    with pytest.raises(error), Skipped().guard("x"):
        raise error
