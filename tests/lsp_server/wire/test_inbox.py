"""Messages between the thread that reads and the event loop: in order, bounded, and ended."""

from __future__ import annotations

import asyncio

from midfill.lsp_server.wire.frames import Refusal
from midfill.lsp_server.wire.inbox import WAITING_BYTES, Inbox

LARGE = b"x" * WAITING_BYTES


async def test_messages_come_in_their_order_and_then_the_end() -> None:
    """From another thread."""
    inbox = Inbox()

    def put() -> None:
        """Be the thread that reads."""
        assert inbox.put(b"a", 0)
        assert inbox.put(Refusal("b"), 0)
        inbox.end()

    await asyncio.to_thread(put)
    assert [await inbox.get() for _ in range(4)] == [b"a", Refusal("b"), None, None]


async def test_who_waits_for_a_message_gets_it() -> None:
    """Or the end."""
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.get())
    await asyncio.to_thread(inbox.put, b"a", 0)
    assert await waiting == b"a"
    waiting = asyncio.create_task(inbox.get())
    await asyncio.to_thread(inbox.end)
    assert await waiting is None


async def test_what_waits_is_bounded() -> None:
    """A message that is too large by itself has to come through all the same."""
    inbox = Inbox()
    assert inbox.put(LARGE + LARGE, 0)
    assert not inbox.put(b"", 0)
    assert len(await inbox.get() or b"") == 2 * WAITING_BYTES  # type: ignore[arg-type]
    put = 0
    while inbox.put(b"", 0):
        put += 1
    assert 0 < put <= WAITING_BYTES
    later = asyncio.create_task(asyncio.to_thread(inbox.put, b"later", 60.0))
    assert await inbox.get() == b""
    assert await later


async def test_once_it_is_closed_nothing_waits_and_nobody_does() -> None:
    """Whoever puts does not hang, and whoever gets is at the end."""
    inbox = Inbox()
    inbox.put(LARGE, 0)
    blocked = asyncio.create_task(asyncio.to_thread(inbox.put, b"a", 60.0))
    inbox.close()
    assert await blocked
    assert inbox.put(LARGE, 0)
    assert await inbox.get() is None


def test_a_loop_that_is_closed_is_not_woken() -> None:
    """The thread that reads may outlive it."""

    async def make() -> Inbox:
        """One whose loop will be closed."""
        return Inbox()

    inbox = asyncio.run(make())
    assert inbox.put(b"a", 0)
    inbox.end()
