"""Plays an editor with llama.vim on llama.cpp's server, as its sources of 2026-01-31 have it.

llama.vim (github.com/ggml-org/llama.vim, commit a1c8e6e, ``autoload/llama.vim``) sends 256 lines
before the cursor, the line up to it, and 64 lines behind; the server cuts them to its batch, three
quarters before and one behind. Answers are cached by what surrounds them, and text typed as they
say is answered from there. While a request runs no other is sent: it is tried again after 100 ms.

Three things are in llama.vim's favour here. We ask for a stream and count its first text, where
llama.vim shows the whole answer at its end; there is no process of curl for each request; and no
extra chunks and no second request while a suggestion is shown, which would make prompts longer and
keep the server busy. ``--cache-reuse 256 -b 1024 -ub 1024`` are those of ``--fim-qwen-7b-default``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from midfill.engine.errors import ModelNotAvailableError
from midfill.recipes.keystrokes.strokes import GENERATED, NOTHING, REUSED, Stroke
from midfill.recipes.reports.machine import opponents_environment

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence
    from pathlib import Path

    from midfill.recipes.keystrokes.strokes import Wait
    from midfill.recipes.keystrokes.traces import Change, Editor, Recording

THEIRS = "llama.vim"
SERVER_OPTIONS = ("-b", "1024", "-ub", "1024", "--cache-reuse", "256", "-c", "0")
"""llama.vim's own: ``--fim-qwen-7b-default`` sets them (llama.cpp, common/arg.cpp)."""
N_PREFIX, N_SUFFIX = 256, 64
"""Lines."""
MAX_LINE_SUFFIX = 8
"""Characters behind the cursor in its line, at most, or nothing is asked."""
REQUEST: dict[str, Any] = {
    "id_slot": 0,
    "input_extra": [],
    "n_predict": 128,
    "stop": [],
    "top_k": 40,
    "top_p": 0.90,
    "samplers": ["top_k", "top_p", "infill"],
    "stream": True,
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 250,
}
"""The first request at a place, that of llama#fim(); ``stream`` is false there."""
_RETRY_S = 0.1
_KEYS = 250
"""Answers remembered."""
_BACK = 128
"""Characters typed since an answer, at most, for it to be found."""
_POLL_S = 0.002
_START_S = 60.0
_HANG_UP_S = 0.05
"""Seconds after a request until it is cancelled: about when a fast typist's next key comes."""


@dataclass(frozen=True, slots=True)
class Around:
    """What llama.vim reads around the cursor (``s:fim_ctx_local``)."""

    prefix: str
    middle: str
    """The cursor's line, up to it; sent as ``prompt``."""
    suffix: str
    indent: int
    line_suffix: str

    @property
    def key(self) -> tuple[str, str]:
        """What an answer is remembered by."""
        return self.prefix + self.middle, self.suffix


def around(before: str, behind: str) -> Around:
    """What is sent of a text before and behind the cursor."""
    *lines_before, line_prefix = before.split("\n")
    line_suffix, *lines_behind = behind.split("\n")
    line = line_prefix + line_suffix
    indent = len(line) - len(line.lstrip())
    if not line.strip():
        line_prefix, line_suffix, indent = "", "", 0
    prefix = "\n".join(lines_before[-N_PREFIX:]) + "\n"
    suffix = line_suffix + "\n" + "\n".join(lines_behind[:N_SUFFIX]) + "\n"
    return Around(prefix, line_prefix, suffix, indent, line_suffix)


class Answers:
    """The cache of answers (``s:cache_insert``, ``s:fim_try_hint``)."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], str] = OrderedDict()

    def __contains__(self, place: Around) -> bool:
        """Whether nothing is asked there: it, or it without up to three first lines, is known."""
        before, behind = place.key
        for _ in range(4):
            if (before, behind) in self._known:
                return True
            _, newline, before = before.partition("\n")
            if not newline:
                break
        return False

    def add(self, place: Around, text: str) -> None:
        """Remember an answer."""
        self._known[place.key] = text
        while len(self._known) > _KEYS:
            self._known.popitem(last=False)

    def hint(self, place: Around) -> str:
        """What to show there at once: an answer, or the longest rest of one that is being typed."""
        before, behind = place.key
        if (before, behind) in self._known:
            return self._known[before, behind]
        rests = [""]
        for typed in range(1, min(_BACK, len(before)) + 1):
            text = self._known.get((before[:-typed], behind), "")
            if text.startswith(before[-typed:]):
                rests.append(text[typed:])
        return max(rests, key=len)


@dataclass(slots=True)
class _Now:
    """The key in front of the user, and what is known of it."""

    place: Around
    pressed: float
    is_known: bool = False
    first: float | None = None
    full: float | None = None
    cost: dict[str, Any] = field(default_factory=dict)


class LlamaVim:
    """A ``Player`` on a server that is ready."""

    name = THEIRS

    def __init__(self, server: LlamaServer) -> None:
        self._server = server
        self._answers = Answers()
        self._now: _Now | None = None
        self._job: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None

    async def begin(self, recording: Recording) -> None:  # noqa: ARG002  (Player)
        """Forget all answers."""
        self._answers = Answers()

    def skip(self, editor: Editor, change: Change, before: str) -> None:
        """See Player; the server is told of nothing but requests."""

    async def press(
        self,
        editor: Editor,
        change: Change | None,  # noqa: ARG002  (Player)
        before: str,  # noqa: ARG002
        wait: Wait,
    ) -> Stroke:
        """See Player."""
        place = around(editor.prefix, editor.suffix)
        now = self._now = _Now(place, time.perf_counter())
        if self._answers.hint(place).strip():
            now.is_known, now.first, now.full = True, now.pressed, now.pressed
        self._ask()
        if wait.until is None:
            while self._job is not None or self._retry is not None:
                await asyncio.sleep(_POLL_S)
        else:
            await asyncio.sleep(wait.until - time.perf_counter())
        return _stroke(wait.key.kind, now)

    async def end(self) -> None:
        """Let the last request end."""
        self._now = None
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._job is not None:
            await self._job

    def _ask(self) -> None:
        """``llama#fim``: a request for the place of the cursor, unless there is no need."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._now is None:
            return
        place = self._now.place
        if self._job is not None:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_S, self._ask)
        elif len(place.line_suffix) <= MAX_LINE_SUFFIX and place not in self._answers:
            self._job = asyncio.create_task(self._run(self._now))

    async def _run(self, asked: _Now) -> None:
        try:
            text = ""
            async for event in self._server.infill(asked.place):
                text += event["content"]
                if text.strip() and self._now is asked:
                    asked.first = asked.first or time.perf_counter()
                if event.get("stop"):
                    asked.cost = event["timings"]
            self._answers.add(asked.place, text)
            self._show(asked)
        finally:
            self._job = None

    def _show(self, asked: _Now) -> None:
        """The answer is there: show what of it fits the cursor, wherever it is now."""
        now, moment = self._now, time.perf_counter()
        if now is asked:
            now.full = now.full or moment
        elif now is not None and now.first is None and self._answers.hint(now.place).strip():
            now.is_known, now.first, now.full = True, moment, moment


class LlamaServer:
    """llama.cpp's server on a port of this machine."""

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.port, self.process = port, process

    async def infill(self, place: Around) -> AsyncGenerator[dict[str, Any], None]:
        """The events of one ``/infill``."""
        async with self._asked("POST", "/infill", json.dumps(_body(place))) as reader:
            while line := await reader.readline():
                if line.startswith(b"data: {"):
                    event = json.loads(line.removeprefix(b"data: "))
                    yield event
                    if event.get("stop"):
                        return

    async def complete(self, ids: Sequence[int], tokens: int) -> dict[str, Any]:
        """The timings of so many tokens behind a prompt of these, greedily."""
        body = {"prompt": [*ids], "n_predict": tokens, "temperature": 0.0, "ignore_eos": True}
        async with self._asked("POST", "/completion", json.dumps(body)) as reader:
            answer = (await reader.read()).partition(b"\r\n\r\n")[2]
        timings: dict[str, Any] = json.loads(answer)["timings"]
        return timings

    async def cancel_ms(self, place: Around) -> float | None:
        """Milliseconds from hanging up until no slot works; None: the request had ended by then."""
        async with self._asked("POST", "/infill", json.dumps(_body(place))):
            await asyncio.sleep(_HANG_UP_S)
            if not await self._is_busy():
                return None
        left = time.perf_counter()
        while await self._is_busy():
            await asyncio.sleep(_POLL_S)
        return 1e3 * (time.perf_counter() - left)

    async def ready(self) -> None:
        """Wait for the model.

        Raises:
            ModelNotAvailableError: the server ended, or took too long.
        """
        until = time.perf_counter() + _START_S
        while self.process.returncode is None and time.perf_counter() < until:
            with contextlib.suppress(OSError):
                async with self._asked("GET", "/health") as reader:
                    if b" 200 " in await reader.readline():
                        return
            await asyncio.sleep(0.05)
        raise ModelNotAvailableError("llama-server does not come up; start it by hand and see why")

    async def _is_busy(self) -> bool:
        async with self._asked("GET", "/slots") as reader:
            body = (await reader.read()).partition(b"\r\n\r\n")[2]
        return b'"is_processing":true' in body

    @contextlib.asynccontextmanager
    async def _asked(
        self, method: str, path: str, body: str = ""
    ) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        data = body.encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        try:
            yield reader
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def llama_server(
    program: Path, model: Path, threads: int, options: Sequence[str] = SERVER_OPTIONS
) -> AsyncIterator[LlamaServer]:
    """A server, with llama.vim's options if no others are given, ended with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", str(model), "--host", "127.0.0.1", "--port", str(port), "-t", str(threads)]
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *(str(program), *words, *options),
        stdin=null,
        stdout=null,
        stderr=null,
        env=opponents_environment(),
    )
    server = LlamaServer(port, process)
    try:
        await server.ready()
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _body(place: Around) -> dict[str, Any]:
    return REQUEST | {
        "input_prefix": place.prefix,
        "prompt": place.middle,
        "input_suffix": place.suffix,
        "n_indent": place.indent,
    }


def _stroke(kind: str, now: _Now) -> Stroke:
    cost = now.cost
    source = REUSED if now.is_known else GENERATED if cost else NOTHING
    first, full = (None if at is None else 1e3 * (at - now.pressed) for at in (now.first, now.full))
    if not cost:
        return Stroke(kind, source, first, full)
    return Stroke(
        kind,
        source,
        first,
        full,
        prompt_tokens=cost["prompt_n"] + cost["cache_n"],
        prefilled_tokens=cost["prompt_n"],
        generated_tokens=cost["predicted_n"],
        parts_ms={name: cost[name] for name in ("prompt_ms", "predicted_ms")},
    )
