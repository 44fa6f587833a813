"""Where messages go: to a file and to clients, never to stdout."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from typing import TYPE_CHECKING

import pytest
from lsprotocol import types

from midfill.lsp_server import log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIDFILL = logging.getLogger("midfill.somewhere")


@pytest.fixture(autouse=True)
def _levels_as_before() -> Iterator[None]:
    """Other tests see the loggers as they were."""
    levels = [(logger, logger.level) for logger in (logging.getLogger(), MIDFILL.parent)]
    yield
    for logger, level in levels:
        assert logger is not None
        assert logger.level == level


def test_the_file_has_midfills_messages_and_others_warnings(tmp_path: Path) -> None:
    """The library pygls logs the user's code at level INFO."""
    path = tmp_path / "new" / "lsp.log"
    with log.to_file(path):
        MIDFILL.info("ours")
        logging.getLogger("pygls.protocol").info("the user's code")
        logging.getLogger("pygls.protocol").warning("a problem")
    text = path.read_text(encoding="utf-8")
    assert "INFO midfill.somewhere: ours" in text
    assert "WARNING pygls.protocol: a problem" in text
    assert "the user's code" not in text


def test_nothing_is_written_after_the_block(tmp_path: Path) -> None:
    """The file is closed."""
    path = tmp_path / "lsp.log"
    with log.to_file(path):
        pass
    MIDFILL.error("too late")
    assert path.read_text(encoding="utf-8") == ""


def test_the_file_is_rotated_before_it_gets_large(tmp_path: Path) -> None:
    """An editor may run for months."""
    with log.to_file(tmp_path / "lsp.log"):
        for _ in range(40):
            MIDFILL.info("%s", "x" * 100_000)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["lsp.log", "lsp.log.1", "lsp.log.2"]
    assert all(path.stat().st_size <= 1_000_000 for path in tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_nobody_else_may_read_the_logs(tmp_path: Path) -> None:
    """Neither new nor old ones, nor what they are called."""
    path = tmp_path / "new" / "lsp.log"
    old = tmp_path / "lsp.log"
    for name in ("lsp.log", "lsp.log.1", "lsp.log.2"):
        (tmp_path / name).touch(0o644)
    folder_mode = tmp_path.stat().st_mode
    for file in (path, old):
        with log.to_file(file):
            for _ in range(15):
                MIDFILL.info("%s", "x" * 100_000)
    files = [file for file in tmp_path.rglob("lsp.log*") if file.is_file()]
    assert len(files) == 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert tmp_path.stat().st_mode == folder_mode


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_the_default_folder_is_closed_though_it_is_there_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ours alone; an earlier version left it open."""
    monkeypatch.setattr(log, "default_path", lambda: tmp_path / "ours" / "lsp.log")
    (tmp_path / "ours").mkdir(0o755)
    with log.to_file(log.default_path()):
        pass
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == 0o700


def test_a_file_that_cannot_be_written_does_not_stop_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The messages go to stderr, which editors show too; stdout is the protocol."""
    (tmp_path / "file").write_text("")
    with log.to_file(tmp_path / "file" / "lsp.log"):
        MIDFILL.info("still here")
    captured = capsys.readouterr()
    assert "has no log file" in captured.err
    assert "still here" in captured.err
    assert captured.out == ""


def test_the_default_is_in_the_platforms_folder_for_logs() -> None:
    """And says whose it is."""
    path = log.default_path()
    assert path.name == "lsp.log"
    assert "midfill" in path.parts


async def test_a_client_gets_messages_from_any_thread() -> None:
    """The engine's thread logs too."""
    sent: asyncio.Queue[types.LogMessageParams] = asyncio.Queue()
    handler = log.ClientLog(sent.put_nowait)
    MIDFILL.addHandler(handler)
    try:
        await asyncio.to_thread(MIDFILL.error, "from a thread: %d", 7)
        params = await sent.get()
    finally:
        MIDFILL.removeHandler(handler)
    assert params == types.LogMessageParams(types.MessageType.Error, "from a thread: 7")


def test_once_the_loop_is_closed_nobody_listens() -> None:
    """A thread that outlives the session must not fail for it."""
    sent: list[types.LogMessageParams] = []

    async def make() -> log.ClientLog:
        return log.ClientLog(sent.append)

    asyncio.run(make()).emit(logging.LogRecord("midfill", logging.ERROR, "", 0, "x", None, None))
    assert sent == []


@pytest.mark.parametrize(
    ("level", "kind"),
    [
        (logging.CRITICAL, types.MessageType.Error),
        (logging.ERROR, types.MessageType.Error),
        (logging.WARNING, types.MessageType.Warning),
        (logging.INFO, types.MessageType.Info),
        (logging.DEBUG, types.MessageType.Log),
    ],
)
def test_levels_have_their_message_types(level: int, kind: types.MessageType) -> None:
    """As in LSP's list."""
    assert log.message_type(level) is kind
