"""The command ``midfill lsp``: its options, its exit code, its log."""

from __future__ import annotations

import argparse
import os
import threading
from typing import TYPE_CHECKING

import pytest
from fakes import FakeEngine

from midfill.cli import build_parser, lsp, main
from midfill.lsp_server import VERSION, processes, transport
from midfill.lsp_server.engine_host import EngineHost
from midfill.lsp_server.recording.events import read_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from midfill.lsp_server.server import MidfillServer


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:65535", ("::1", 65535)), ("a:80", ("a", 80))],
)
def test_an_address_is_a_host_and_a_port(text: str, address: tuple[str, int]) -> None:
    """IPv6 in brackets."""
    assert build_parser().parse_args(["lsp", "--tcp", text]).tcp == address


def test_editors_may_say_stdio() -> None:
    """VS Code's client library always does."""
    args = build_parser().parse_args(["lsp", "--stdio", "--model", "m", "--adapter", "a"])
    assert (args.tcp, args.model, args.adapter) == (None, "m", "a")


def test_a_client_that_hangs_up_at_once_ends_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the code for a session that did not end well; the log is there."""
    (source, to_server), (from_server, sink) = os.pipe(), os.pipe()
    monkeypatch.setattr(transport, "take_stdio", lambda: (source, sink))
    ends: list[tuple[float, int]] = []
    monkeypatch.setattr(processes, "end_within", lambda *end: ends.append(end))
    os.close(to_server)
    log_file = tmp_path / "lsp.log"
    code = main(["lsp", "--log-file", str(log_file)], open_engine=lambda *_: FakeEngine())
    os.close(source)
    os.close(from_server)
    assert code == 1
    assert ends == [(lsp._GRACE_SECONDS, 1)]
    assert log_file.exists()


@pytest.mark.parametrize("has_texts", [True, False])
def test_a_recording_is_announced_and_tells_versions_and_options(
    *,
    has_texts: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Paths only with its texts; it is closed at the end."""
    (source, to_server), (from_server, sink) = os.pipe(), os.pipe()
    monkeypatch.setattr(transport, "take_stdio", lambda: (source, sink))
    monkeypatch.setattr(processes, "end_within", lambda *_: None)
    os.close(to_server)
    file = tmp_path / "a.jsonl"
    options = ["--record", str(file), "--model", "/models/m.gguf", *["--record-texts"] * has_texts]
    options += ["--log-file", str(tmp_path / "lsp.log")]
    assert main(["lsp", *options], open_engine=lambda *_: FakeEngine()) == 1
    os.close(source)
    os.close(from_server)
    begin = read_record(file).begin
    assert (begin["midfill"], begin["texts"]) == (VERSION, has_texts)
    assert begin["model"] == ("/models/m.gguf" if has_texts else "x" * 14)
    kept = "with" if has_texts else "without"
    assert f"records the session, {kept} its texts, in {file}\n" in capsys.readouterr().err


def test_a_server_over_tcp_says_where_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, because stdout belongs to protocols."""

    async def serve(_make: object, host: str, port: int, announce: Callable[[str], None]) -> None:
        announce(f"{host}:{port}")

    monkeypatch.setattr(transport, "serve_tcp", serve)
    options = ["--tcp", "127.0.0.1:9", "--no-token", "--log-file", str(tmp_path / "lsp.log")]
    assert main(["lsp", *options], open_engine=lambda *_: FakeEngine()) == 0
    captured = capsys.readouterr()
    assert captured.err == "midfill listens at 127.0.0.1:9\n"
    assert captured.out == ""


@pytest.mark.parametrize("has_file", [True, False])
def test_clients_over_tcp_need_a_token_and_choose_no_model(
    *,
    has_file: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is said once; the file is the same for the next server."""
    file = tmp_path / "token"
    servers: list[MidfillServer] = []

    async def serve(
        make: Callable[[], MidfillServer], host: str, port: int, announce: Callable[[str], None]
    ) -> None:
        announce(f"{host}:{port}")
        servers.append(make())

    monkeypatch.setattr(transport, "serve_tcp", serve)
    options = ["--tcp", "127.0.0.1:9", "--log-file", str(tmp_path / "lsp.log")]
    options += ["--token-file", str(file)] if has_file else []
    for _ in range(2):
        assert main(["lsp", *options], open_engine=lambda *_: FakeEngine()) == 0
    said = [line for line in capsys.readouterr().err.split("\n") if "token" in line]
    tokens = [server.protocol._token for server in servers]
    assert said == [f"midfill's token is {token}" for token in tokens]
    assert len(set(tokens)) == (1 if has_file else 2)
    assert all(server.session._configuration._fixes_model for server in servers)
    if has_file:
        assert file.read_text(encoding="utf-8") == f"{tokens[0]}\n"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--tcp", "0.0.0.0:0"], "can be reached from other machines"),
        (["--tcp", "[::]:0"], "can be reached from other machines"),
        (["--tcp", "0.0.0.0:0", "--no-token"], "can be reached from other machines"),
        (["--tcp", "0.0.0.0:0", "--allow-remote", "--no-token"], "leave out --no-token"),
        (["--allow-remote"], "are for --tcp"),
        (["--no-token"], "are for --tcp"),
        (["--token-file", "x"], "are for --tcp"),
        (["--record", "x", "--tcp", "127.0.0.1:0"], "is for one client"),
        (["--record-texts"], "is for --record"),
    ],
)
def test_a_port_for_everybody_is_refused(
    options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless somebody asks for just that, with a token."""
    assert main(["lsp", *options], open_engine=lambda *_: FakeEngine()) == 2
    assert problem in capsys.readouterr().err


def test_other_machines_are_let_in_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a token."""

    async def serve(_make: object, host: str, port: int, announce: Callable[[str], None]) -> None:
        announce(f"{host}:{port}")

    monkeypatch.setattr(transport, "serve_tcp", serve)
    options = ["--tcp", "0.0.0.0:9", "--allow-remote", "--log-file", str(tmp_path / "lsp.log")]
    assert main(["lsp", *options], open_engine=lambda *_: FakeEngine()) == 0
    assert "midfill's token is " in capsys.readouterr().err


def test_a_thread_that_imports_torch_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It cannot be interrupted, so the process ends without it."""
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr("logging.shutdown", lambda: None)
    host = EngineHost(lambda *_: FakeEngine())
    lsp._leave_if_opening(host, 3)
    assert codes == []
    may_end = threading.Event()
    host._opener = threading.Thread(target=may_end.wait)
    host._opener.start()
    lsp._leave_if_opening(host, 3)
    assert codes == [3]
    may_end.set()
    host._opener.join()


def test_wrong_addresses_are_refused() -> None:
    """With what would be right."""
    for text in ("nowhere", ":80", "host:", "host:x", "host:65536", "host:²"):
        with pytest.raises(argparse.ArgumentTypeError, match="not HOST:PORT"):
            lsp._address(text)
