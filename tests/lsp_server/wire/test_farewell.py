"""When the process has to end, and with which code."""

from __future__ import annotations

import pytest

from midfill.lsp_server.wire.farewell import Farewell
from midfill.lsp_server.wire.frames import Frame, Refusal

SHUTDOWN = b'{"jsonrpc": "2.0", "id": 1, "method": "shutdown"}'
EXIT = b'{"jsonrpc":"2.0","method":"exit"}'


def codes(*frames: Frame, is_gone: bool = False) -> list[int]:
    """What is told after these messages."""
    told: list[int] = []
    farewell = Farewell(told.append)
    for frame in frames:
        farewell.note(frame)
    if is_gone:
        farewell.gone()
        farewell.gone()
    return told


def test_exit_is_the_end_with_0_after_shutdown() -> None:
    """LSP 3.18, "Exit Notification"; it is told once."""
    assert codes(SHUTDOWN, EXIT, EXIT) == [0]
    assert codes(EXIT, SHUTDOWN) == [1]


def test_a_client_that_is_gone_is_the_end_with_1() -> None:
    """After shutdown too, and not after the end."""
    assert codes(SHUTDOWN, is_gone=True) == [1]
    assert codes(SHUTDOWN, EXIT, is_gone=True) == [0]


@pytest.mark.parametrize(
    "frame",
    [
        *[b'{"method": "x", "params": {"method": "exit"}}', b'["exit"]', b'"exit"', b"", b"{"],
        *[b'{"exit": ', b'{"method": ["exit"]}', Refusal('"exit"'), b'{"method": "exi"}'],
        b'{"method": "exit", "params": "' + b"x" * 1000 + b'"}',
    ],
)
def test_other_messages_are_not_the_end(frame: Frame) -> None:
    """Though the word may be in them."""
    assert codes(frame) == []
