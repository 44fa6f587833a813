"""Where a session is listened to: at its messages, both ways, and at its engine.

What passes is not changed, but for one thing: a request that would draw a seed gets one, so that it
can be asked again.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, replace
from itertools import count
from typing import TYPE_CHECKING, Any

from midfill.lsp_server.recording.events import Kind, plain_fields, request_as_json
from midfill.lsp_server.recording.streams import ObservedStream
from midfill.lsp_server.wire.access import without_token
from midfill.lsp_server.wire.frames import Frames, Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from midfill.engine.api import (
        CompletionChunk,
        CompletionRequest,
        CompletionStream,
        Engine,
        EngineConfig,
        EngineInfo,
    )
    from midfill.lsp_server.engine_host import OpenEngine
    from midfill.lsp_server.recording.recorder import Recorder
    from midfill.lsp_server.wire.frames import Frame
    from midfill.lsp_server.wire.writer import Writer

    DescribeFiles = Callable[[EngineConfig], object]
    """What the model's files are, to be told from others: names, sizes, hashes."""

_SEEDS = 1 << 53


async def recorded_frames(
    frames: AsyncGenerator[Frame], recorder: Recorder
) -> AsyncGenerator[Frame]:
    """The client's messages, each noted before it is handled."""
    async for frame in frames:
        _note_frame(frame, recorder)
        yield frame


class RecordedWriter:
    """Writes to the client, and notes what."""

    def __init__(self, writer: Writer, recorder: Recorder) -> None:
        self._writer = writer
        self._recorder = recorder
        self._frames = Frames()

    def write(self, data: bytes) -> None:
        """Write all of it, now or later."""
        for frame in self._frames.feed(data):
            assert not isinstance(frame, Refusal), frame
            self._recorder.note(Kind.OUT, message=json.loads(frame))
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the client has read most of it."""
        await self._writer.drain()

    def is_closing(self) -> bool:
        """Whether nobody reads any more."""
        return self._writer.is_closing()

    def close(self) -> None:
        """Let the other end know that nothing will follow."""
        self._writer.close()


def recorded_opener(
    open_engine: OpenEngine, recorder: Recorder, describe: DescribeFiles
) -> OpenEngine:
    """What opens engines whose requests and completions are noted."""

    def opened(config: EngineConfig, on_progress: Callable[[str, float], None]) -> Engine:
        """Open one, and note which."""
        engine = open_engine(config, on_progress)
        try:
            files = describe(config)
        except OSError as error:
            files = str(error)
        info = plain_fields(engine.info)
        recorder.note(Kind.ENGINE, config=asdict(config), info=info, files=files)
        return RecordedEngine(engine, recorder)

    return opened


class RecordedEngine:
    """The engine, with what it is asked and what it writes noted."""

    def __init__(self, engine: Engine, recorder: Recorder) -> None:
        self._engine = engine
        self._recorder = recorder
        self._runs = count(1)

    @property
    def info(self) -> EngineInfo:
        """See Engine."""
        return self._engine.info

    def infill(self, request: CompletionRequest) -> CompletionStream:
        """See Engine."""
        run = next(self._runs)
        if request.sampling.temperature > 0 and request.sampling.seed is None:
            sampling = replace(request.sampling, seed=secrets.randbelow(_SEEDS))
            request = replace(request, sampling=sampling)
        self._recorder.note(Kind.ASK, run=run, request=request_as_json(request))
        notes = _RunNotes(run, self._recorder)
        try:
            return ObservedStream(self._engine.infill(request), notes)
        except Exception as error:
            notes.failed(error)
            raise

    def close(self) -> None:
        """See Engine."""
        self._engine.close()


class _RunNotes:
    """Notes what is read of one run."""

    def __init__(self, run: int, recorder: Recorder) -> None:
        self._run = run
        self._recorder = recorder
        self._text = ""
        self._tokens: list[int] = []

    def read(self, chunk: CompletionChunk) -> None:
        """See StreamObserver."""
        self._text += chunk.text
        self._tokens += (token.id for token in chunk.tokens)
        if chunk.text:
            self._recorder.note(Kind.CHUNK, run=self._run, characters=len(self._text))
        if chunk.stats is not None:
            self._recorder.note(
                Kind.END,
                run=self._run,
                text=self._text,
                tokens=self._tokens,
                stats=plain_fields(chunk.stats),
                alternatives=[other.text for other in chunk.alternatives],
            )

    def failed(self, error: Exception) -> None:
        """See StreamObserver."""
        self._recorder.note(Kind.ERROR, run=self._run, error=repr(error))

    def cancelled(self) -> None:
        """See StreamObserver."""
        self._recorder.note(Kind.CANCEL, run=self._run)


def _note_frame(frame: Frame, recorder: Recorder) -> None:
    if isinstance(frame, Refusal):
        recorder.note(Kind.RAW, bytes=0, body="", refusal=frame.reason)
        return
    try:
        message: Any = json.loads(frame)
    except (ValueError, RecursionError):
        message = None
    if isinstance(message, dict):
        recorder.note(Kind.IN, message=_without_token(message))
    else:
        recorder.note(Kind.RAW, bytes=len(frame), body=frame.decode("latin-1"))


def _without_token(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the secret that lets a client in."""
    params = message.get("params")
    if not isinstance(params, dict) or "initializationOptions" not in params:
        return message
    options = without_token(params["initializationOptions"])
    return message | {"params": params | {"initializationOptions": options}}
