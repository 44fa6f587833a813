"""llama.vim, played: what it sends and remembers, and how a server's answers become figures."""

from __future__ import annotations

import asyncio
import contextlib
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from midfill.recipes.keystrokes.player_llama_vim import (
    N_PREFIX,
    N_SUFFIX,
    Answers,
    LlamaServer,
    LlamaVim,
    around,
)
from midfill.recipes.keystrokes.strokes import GENERATED, NOTHING, REUSED, Pace, Stroke, replay
from midfill.recipes.keystrokes.traces import Recording

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TIMINGS = {"prompt_n": 5, "cache_n": 95, "predicted_n": 2, "prompt_ms": 1.0, "predicted_ms": 2.0}


class FakeLlamaServer:
    """Answers every /infill with the same texts, in events, and keeps what it was asked."""

    def __init__(self, *texts: str) -> None:
        self.asked: list[dict[str, Any]] = []
        self.is_busy = False
        self.go_on = asyncio.Event()
        """Requests wait for it."""
        self.go_on.set()
        self._texts = texts

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        body = await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            if head.startswith("GET /slots"):
                slots = [{"id": 0, "is_processing": self.is_busy}]
                writer.write(json.dumps(slots, separators=(",", ":")).encode())
            elif head.startswith("POST"):
                await self._infill(json.loads(body), writer)
            await writer.drain()
        writer.close()

    async def _infill(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        self.asked.append(request)
        await self.go_on.wait()
        if "stream" not in request:
            writer.write(json.dumps({"content": "", "timings": TIMINGS}).encode())
            return
        for text in self._texts:
            writer.write(
                b"data: " + json.dumps({"content": text, "stop": False}).encode() + b"\n\n"
            )
        end = {"content": "", "stop": True, "timings": TIMINGS}
        writer.write(b"data: " + json.dumps(end).encode() + b"\n\n")


@contextlib.asynccontextmanager
async def serving(fake: FakeLlamaServer) -> AsyncIterator[LlamaServer]:
    """A client's end of it."""
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield LlamaServer(port, SimpleNamespace(returncode=None))  # type: ignore[arg-type]


def recording(text: str, *steps: dict[str, object]) -> Recording:
    """A recording of one file."""
    return Recording("made-up", "nobody", "0" * 40, {"a.py": text}, steps)


async def strokes(fake: FakeLlamaServer, session: Recording) -> list[Stroke]:
    """What came of its keys."""
    async with serving(fake) as server:
        return await replay(session, LlamaVim(server), Pace())


def test_what_is_sent_is_a_window_of_lines() -> None:
    """The cursor's line goes into the prompt; the line behind the cursor begins the suffix."""
    lines = [f"line {n}" for n in range(1000)]
    before = "\n".join([*lines[:500], "    a = "])
    place = around(before, "\n".join(["b", *lines[500:]]))
    assert place.prefix == "\n".join(lines[500 - N_PREFIX : 500]) + "\n"
    assert place.middle == "    a = "
    assert place.suffix == "\n".join(["b", *lines[500 : 500 + N_SUFFIX]]) + "\n"
    assert place.indent == 4


def test_a_blank_line_is_sent_from_its_start() -> None:
    """As llama.vim does it, with the blanks left out on both sides."""
    place = around("x\n   ", "  \ny")
    assert (place.prefix, place.middle, place.suffix, place.indent) == ("x\n", "", "\ny\n", 0)


def test_an_answer_is_shown_while_it_is_typed() -> None:
    """The longest rest of any, and nothing once something else is typed."""
    answers = Answers()
    answers.add(around("a", ""), "bcd")
    answers.add(around("ab", ""), "c")
    assert answers.hint(around("a", "")) == "bcd"
    assert answers.hint(around("abc", "")) == "d"
    assert answers.hint(around("abx", "")) == ""
    assert answers.hint(around("abc", "other")) == ""


def test_nothing_is_asked_where_an_answer_is_known() -> None:
    """Also where its first lines have moved out of the window."""
    answers = Answers()
    answers.add(around("b\nc\nd", ""), "x")
    assert around("b\nc\nd", "") in answers
    assert around("a\nb\nc\nd", "") in answers
    assert around("b\nc\ne", "") not in answers


def test_old_answers_are_forgotten() -> None:
    """The oldest first."""
    answers = Answers()
    for n in range(300):
        answers.add(around(f"{n}", ""), "x")
    assert around("0", "") not in answers
    assert around("299", "") in answers


async def test_a_key_has_the_servers_figures() -> None:
    """What was computed and what was in its cache make the prompt."""
    fake = FakeLlamaServer("", "one", "two")
    (stroke,) = await strokes(fake, recording("x = \ny\n", {"switch": ["a.py", 0, 4]}))
    assert stroke.source == GENERATED
    assert (stroke.prompt_tokens, stroke.prefilled_tokens) == (100, 5)
    assert stroke.generated_tokens == 2
    assert stroke.first_ms is not None
    assert stroke.full_ms is not None
    assert 0 < stroke.first_ms <= stroke.full_ms
    (asked,) = fake.asked
    assert (asked["input_prefix"], asked["prompt"]) == ("\n", "x = ")
    assert asked["input_suffix"] == "\ny\n\n"
    assert (asked["cache_prompt"], asked["n_predict"]) == (True, 128)


async def test_text_typed_as_answered_is_there_at_once() -> None:
    """And is asked about all the same, as llama.vim does it."""
    fake = FakeLlamaServer("one")
    session = recording("x = ", {"switch": ["a.py", 0, 4]}, {"type": "o"})
    found = await strokes(fake, session)
    assert [(stroke.source, stroke.first_ms) for stroke in found[1:]] == [(REUSED, 0.0)]
    assert len(fake.asked) == 2


async def test_an_empty_answer_is_an_end_without_text() -> None:
    """The time of the answer is known."""
    (stroke,) = await strokes(FakeLlamaServer(""), recording("x", {"switch": ["a.py", 0, 1]}))
    assert stroke.first_ms is None
    assert stroke.answer_ms == stroke.full_ms is not None


async def test_far_from_a_lines_end_nothing_is_asked() -> None:
    """llama.vim's max_line_suffix."""
    fake = FakeLlamaServer("one")
    (stroke,) = await strokes(fake, recording("x" * 20, {"switch": ["a.py", 0, 0]}))
    assert (stroke.source, stroke.answer_ms, fake.asked) == (NOTHING, None, [])


async def test_while_a_request_runs_no_other_is_sent() -> None:
    """llama.vim neither cancels nor queues; keys that come meanwhile have no answer."""
    fake = FakeLlamaServer("one")
    fake.go_on.clear()
    session = recording("x", {"switch": ["a.py", 0, 1]}, {"type": "yz"})
    asyncio.get_running_loop().call_later(0.05, fake.go_on.set)  # the keys are over by then
    async with serving(fake) as server:
        found = await replay(session, LlamaVim(server), Pace(1.0))
    assert [stroke.answer_ms for stroke in found] == [None] * 3
    assert len(fake.asked) == 1


async def test_a_hang_up_is_timed_until_no_slot_works() -> None:
    """None where the work had ended before."""
    fake = FakeLlamaServer("one")
    place = around("x", "")
    async with serving(fake) as server:
        assert await server.cancel_ms(place) is None
        fake.is_busy = True
        asyncio.get_running_loop().call_later(0.07, setattr, fake, "is_busy", False)
        took_ms = await server.cancel_ms(place)
    assert took_ms is not None
    assert took_ms > 0


async def test_a_completion_of_tokens_has_its_timings() -> None:
    """As many as asked for, greedily, whatever the model would end with."""
    fake = FakeLlamaServer()
    async with serving(fake) as server:
        assert await server.complete([1, 2, 3], 7) == TIMINGS
    assert fake.asked == [
        {"prompt": [1, 2, 3], "n_predict": 7, "temperature": 0.0, "ignore_eos": True}
    ]
