"""A recorded session once more: its messages to a new server, each when what it rests on is there.

A message is sent once all has happened that had happened when it came: replies, requests of the
server, the model's loading, and as much text of each run of the engine; more of it is held back. So
what was overtaken in the recording, as a request by the next keystroke, is overtaken again.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from midfill.engine.errors import ModelNotAvailableError
from midfill.lsp_server.engine_host import EngineHost
from midfill.lsp_server.messages import STATUS
from midfill.lsp_server.recording.comparison import compared
from midfill.lsp_server.recording.conversation import Conversation, with_items_of
from midfill.lsp_server.recording.events import Kind
from midfill.lsp_server.recording.runs import RecordedRuns
from midfill.lsp_server.server import MidfillServer
from midfill.lsp_server.wire.frames import Frames, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.lsp_server.engine_host import OpenEngine
    from midfill.lsp_server.recording.comparison import ReplayResult
    from midfill.lsp_server.recording.conversation import Id, Message
    from midfill.lsp_server.recording.events import Event, SessionRecord
    from midfill.lsp_server.recording.runs import RecordedRun

PATIENCE_S = 60.0
"""Seconds to wait for one thing that had happened in the recording."""
_ASK_PATIENCE_S = 2.0
"""The same, for a request to the engine: the model has nothing to do with it."""
_READY, _ERROR = frozenset({"ready", "thinking"}), "error"


async def replay(
    record: SessionRecord,
    open_engine: OpenEngine,
    model: str | None = None,
    patience_s: float = PATIENCE_S,
) -> ReplayResult:
    """Play a session to a new server in this process, and compare.

    Args:
        record: The session.
        open_engine: As ``midfill.engine.open_engine``.
        model: The one to use instead of the recorded one.
        patience_s: Seconds to wait for one thing.

    Raises:
        ModelNotAvailableError: the model cannot be opened here.
        InvalidRequestError: the recording is damaged.
    """
    news = asyncio.Event()
    runs = RecordedRuns(record.events if record.has_texts else (), news.set)
    host = EngineHost(runs.opener(open_engine))
    begin = record.begin
    server = MidfillServer(host, model or begin.get("model"), begin.get("adapter"))
    stage = _Stage(server, runs, news, patience_s)
    try:
        for event in record.events:
            await stage.play(event)
    finally:
        runs.release()
        await server.session.close()
        host.close()
    return compared(record, (stage.then, stage.now), runs, stage.missing)


class _Sink:
    """Takes the server's messages, as a Writer."""

    def __init__(self, take: Callable[[Message], None]) -> None:
        self._take = take
        self._frames = Frames()

    def write(self, data: bytes) -> None:
        """See Writer."""
        for frame in self._frames.feed(data):
            assert not isinstance(frame, Refusal), frame
            self._take(json.loads(frame))

    async def drain(self) -> None:
        """See Writer."""

    def is_closing(self) -> bool:
        """See Writer."""
        return False

    def close(self) -> None:
        """See Writer."""


class _Stage:
    """A server, and what a recorded client says to it and waits for."""

    def __init__(
        self, server: MidfillServer, runs: RecordedRuns, news: asyncio.Event, patience_s: float
    ) -> None:
        self.then, self.now = Conversation(), Conversation()
        self.missing: list[str] = []
        """What was waited for in vain."""
        self._lost: set[int] = set()
        """Runs that were waited for in vain."""
        self._server = server
        self._runs = runs
        self._news = news
        self._patience_s = patience_s
        server.protocol.set_writer(_Sink(self._heard))

    async def play(self, event: Event) -> None:
        """Send a message, or wait for what else had happened."""
        match event["kind"]:
            case Kind.IN:
                await self._send(event["message"])
            case Kind.RAW if "body" in event:
                refusal = event.get("refusal")
                frame = Refusal(refusal) if refusal else event["body"].encode("latin-1")
                self._server.protocol.receive(frame)
            case Kind.OUT:
                self.then.heard(event["message"])
                await self._hear(event["message"])
            case Kind.ASK | Kind.CHUNK | Kind.END | Kind.ERROR:
                run = self._runs.by_number.get(event["run"])
                if run is not None and run.number not in self._lost:
                    is_ask = event["kind"] == Kind.ASK
                    await self._written(run, 0 if is_ask else event.get("characters"))

    async def _send(self, message: Message) -> None:
        self.then.sent(message)
        number = message.get("id")
        if "method" not in message and number is not None and (place := self.then.place(number)):
            message = message | {"id": await self._number_now(*place)}
        message = with_items_of(self.now, self.then, message)
        self._server.protocol.receive(json.dumps(message).encode())
        await asyncio.sleep(0)  # as between two messages that are read

    async def _number_now(self, method: str, place: int) -> Id | None:
        """The id of the server's request that the recorded client answers next."""
        numbers = self.now.asked.setdefault(method, [])
        await self._until(lambda: len(numbers) > place, f"the server's request {method}")
        return numbers[place] if len(numbers) > place else None

    async def _hear(self, message: Message) -> None:
        """Wait for a message like that."""
        number, method = message.get("id"), message.get("method")
        if method is None and number in self.then.requests:
            what = f"the reply to {self.then.requests[number]['method']} {number}"
            await self._until(lambda: number in self.now.replies, what)
        elif method == STATUS and message["params"]["state"] in _READY:
            await self._until(lambda: self.now.state in {*_READY, _ERROR}, "the model")
            if self.now.state == _ERROR:
                raise ModelNotAvailableError(self.now.problem)

    async def _written(self, run: RecordedRun, characters: int | None) -> None:
        """Let a run write so much, or to its end (None), and wait for that."""
        run.gate.let(characters)

        def has_come_as_far() -> bool:
            """Whether it has, or will come no further."""
            if run.has_ended or characters is None:
                return run.has_ended
            return run.is_at_end or run.characters >= characters

        patience_s = min(_ASK_PATIENCE_S, self._patience_s)
        is_asked = await self._until(lambda: run.is_asked, "", patience_s)
        if not (is_asked and await self._until(has_come_as_far, f"text of run {run.number}")):
            self._lost.add(run.number)

    def _heard(self, message: Message) -> None:
        self.now.heard(message)
        self._news.set()

    async def _until(
        self, has_happened: Callable[[], bool], what: str, patience_s: float | None = None
    ) -> bool:
        """Wait for something, and say whether it has happened; else it is missing, by its name."""
        try:
            async with asyncio.timeout(patience_s or self._patience_s):
                while not has_happened():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            if what:
                self.missing.append(what)
            return False
        return True
