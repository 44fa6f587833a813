"""Who may speak to a server that listens on a port."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from midfill.lsp_server.wire.access import (
    TokenFileError,
    admits,
    is_loopback,
    make_token,
    speaks_http,
    token_in,
    without_token,
)

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "a token of some length"  # noqa: S105


@pytest.mark.parametrize(
    "options",
    [
        *[None, {}, [], "text", {"token": None}, {"token": 7}, {"token": ""}, {"token": [TOKEN]}],
        *[{"token": TOKEN[:-1]}, {"token": TOKEN + "x"}, {"token": "\ud800"}, {"token": "ä"}],
        {"midfill": {"token": TOKEN}},
    ],
)
def test_without_the_token_nobody_comes_in(options: object) -> None:
    """Whatever is sent in its place."""
    assert not admits(TOKEN, options)
    assert admits(None, options)


def test_with_the_token_a_client_comes_in() -> None:
    """Beside its settings, of which it is none."""
    options = {"token": TOKEN, "midfill": {"model": "b"}}
    assert admits(TOKEN, options)
    assert without_token(options) == {"midfill": {"model": "b"}}
    assert without_token([TOKEN]) == [TOKEN]


def test_a_token_is_new_each_time_and_long() -> None:
    """Nobody can guess 256 bits."""
    tokens = {make_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 43


def test_a_token_file_is_written_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """The next server takes what is there."""
    file = tmp_path / "token"
    token = token_in(file)
    assert token_in(file) == token
    assert file.read_text(encoding="utf-8") == f"{token}\n"
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40, b"two\nlines of a long text"])
def test_a_file_without_a_token_is_refused(content: bytes, tmp_path: Path) -> None:
    """An empty token would let in everybody."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(TokenFileError, match="has no token"):
        token_in(file)
    assert file.read_bytes() == content


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")],
        *[(host, False) for host in ("0.0.0.0", "::", "192.0.2.1", "::ffff:192.0.2.1")],  # noqa: S104
    ],
)
def test_a_loopback_address_is_told_from_others(host: str, *, is_local: bool) -> None:
    """A name counts as its addresses."""
    assert is_loopback(host) is is_local


@pytest.mark.parametrize(
    ("opening", "is_http"),
    [
        *[(opening, True) for opening in (b"GET / HT", b"POST /x ", b"OPTIONS ", b"PRI * HT")],
        *[(opening, False) for opening in (b"Content-", b"CONTENT-", b"content-", b"Getters:")],
        *[(opening, False) for opening in (b"GET", b"")],
    ],
)
def test_http_is_told_by_its_verbs(opening: bytes, *, is_http: bool) -> None:
    """A header of LSP never starts so."""
    assert speaks_http(opening) is is_http
