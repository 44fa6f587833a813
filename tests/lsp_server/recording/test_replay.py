"""Recorded sessions that are played again: the same comes of them, or what does not is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import scripted_server
from fakes import FakeStream, writing
from lsp_client import INVOKED, started
from lsp_lab import item
from recorded_session import opener, recorded
from repository import SCRIPTED_SERVER

from midfill.engine.api import FinishReason
from midfill.engine.errors import InvalidRequestError, ModelNotAvailableError, ModelNotPulledError
from midfill.lsp_server.recording.events import Kind, read_record
from midfill.lsp_server.recording.replay import replay

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.lsp_server.recording.comparison import ReplayResult
    from midfill.lsp_server.recording.events import Event

SAMPLING = {"completion": {"temperature": 0.8}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the recording is."""
    return tmp_path / "session.jsonl"


async def played(file: Path, script: Any, **options: Any) -> ReplayResult:
    """What a replay shows with an engine of this script."""
    return await replay(read_record(file), opener(script), **options)


def events(file: Path, kind: Kind) -> list[Event]:
    """The recorded events of a kind."""
    return [event for event in read_record(file).events if event["kind"] == kind]


async def record_one(file: Path, script: Any, *, keeps_texts: bool = True, **shake: Any) -> None:
    """Record one completion."""
    async with recorded(file, script, keeps_texts=keeps_texts, **shake) as it:
        it.client.open("secret_word = ")
        await it.client.ready()
        assert await it.client.complete(0, 14, kind=INVOKED) is not None


async def test_the_same_engine_writes_the_same(file: Path) -> None:
    """Replies and runs are counted."""
    await record_one(file, writing("a", "b"))
    result = await played(file, writing("ab"))
    assert (result.deviations, result.notes) == ((), ())
    assert result.same == 4  # initialize, the completion, shutdown, the run


async def test_another_text_is_told(file: Path) -> None:
    """As it was, and as it is; of the reply, and of the engine's run."""
    await record_one(file, writing("old"))
    result = await played(file, writing("new"))
    reply, run = result.deviations
    assert reply.what == "the reply to textDocument/inlineCompletion 2"
    assert ('"old"' in reply.then, '"new"' in reply.now) == (True, True)
    assert (run.what, run.then.split("\n")[0], run.now.split("\n")[0]) == (
        *("run 2 of the engine", "old", "new"),  # the first one has filled the cache
    )


async def test_a_drawn_seed_is_recorded_and_used_again(file: Path) -> None:
    """What was sampled is repeatable."""

    def draw(stream: FakeStream) -> None:
        stream.write(f"x{stream.request.sampling.seed}").finish()

    await record_one(file, draw, options=SAMPLING)
    asked = [event["request"] for event in events(file, Kind.ASK)]
    assert all(isinstance(request["sampling"]["seed"], int) for request in asked)
    assert (await played(file, draw)).deviations == ()


async def test_what_was_overtaken_is_overtaken_again(file: Path) -> None:
    """Though the engine is fast now: what it writes is held back."""
    async with recorded(file) as it:
        it.client.open("x")
        await it.client.ready()
        _, first = it.client.ask(0, 1)
        await it.engine.asked(1)
        for _ in range(20):  # time enough for a fast engine
            await it.client.request("midfill/stats")
        it.client.type("y", 0, 1, 2)
        _, second = it.client.ask(0, 2)
        (await it.engine.asked(2)).write("yz").finish()
        assert await first is None
        assert await second == {"items": [item("yz", 0, 2, item_id="2")]}
    result = await played(file, writing("yz"))
    assert (result.deviations, result.notes) == ((), ())


async def test_what_was_joined_is_joined_again(file: Path) -> None:
    """The next keystroke reads on in a run that has written so much, and no more."""
    async with recorded(file) as it:
        it.client.open("x")
        await it.client.ready()
        _, first = it.client.ask(0, 1, stream_as="t")
        stream = (await it.engine.asked(1)).write("ab")
        await it.client.seen("$/progress")
        it.client.type("a", 0, 1, 2)
        _, second = it.client.ask(0, 2, stream_as="u")
        await it.client.seen("$/progress", 2)
        stream.write("c").finish()
        assert await first is None
        assert await second == {"items": [item("bc", 0, 2)]}
    result = await played(file, writing("abc"))
    assert (result.deviations, result.notes) == ((), ())


async def test_a_run_that_time_ended_may_go_further(file: Path) -> None:
    """On a faster machine, and is cut off where it was."""

    def late(stream: FakeStream) -> None:
        stream.write("ab").finish(FinishReason.TIME_LIMIT)

    await record_one(file, late)
    assert (await played(file, writing("abc"))).deviations == ()
    assert len((await played(file, writing("xbc"))).deviations) == 2


async def test_ids_of_suggestions_are_those_of_the_new_server(file: Path) -> None:
    """What was said about one is said about its like."""
    async with recorded(file, writing("z")) as it:
        it.client.open("x")
        await it.client.ready()
        await it.client.complete(0, 1)
        assert (await it.client.request("midfill/explain", {"itemId": "1"}))["text"] == "z"
    assert (await played(file, writing("z"))).deviations == ()


async def test_settings_that_were_asked_for_are_answered_again(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's requests have other ids; the log tells what was set."""
    caplog.set_level("INFO", "midfill")
    workspace = {"textDocument": {"inlineCompletion": {}}, "workspace": {"configuration": True}}
    async with recorded(file, writing("z"), capabilities=workspace) as it:
        it.client.answers["workspace/configuration"] = lambda _: [SAMPLING]
        it.client.open("x")
        await it.client.ready()
        await it.client.complete(0, 1)
    seen: list[float] = []

    def note(stream: FakeStream) -> None:
        seen.append(stream.request.sampling.temperature)
        stream.write("z").finish()

    assert (await played(file, note)).deviations == ()
    assert seen == [0.8]
    assert "settings beside the defaults: {'completion': {'temperature': 0.8}}" in caplog.text


async def test_messages_that_are_none_are_played_too(file: Path) -> None:
    """They are what a fault may hang on."""
    async with recorded(file, writing("z")) as it:
        for body in (b"{", b"[]", b'"\xff"'):
            it.client.send_raw(body)
        it.client.send_bytes(b"Content-Length: x\r\n\r\n")
        await it.client.refused(4)
    assert len(events(file, Kind.RAW)) == 4
    assert (await played(file, writing("z"))).deviations == ()


@pytest.mark.parametrize("keeps_texts", [True, False])
async def test_a_message_that_is_nested_deeply_does_not_disturb(
    file: Path, caplog: pytest.LogCaptureFixture, *, keeps_texts: bool
) -> None:
    """Where its words cannot be taken out it is left out."""
    async with recorded(file, writing("z"), keeps_texts=keeps_texts) as it:
        for depth in range(100, 1000, 30):
            params = b'{"a":' * depth + b"1" + b"}" * depth
            it.client.send_raw(b'{"jsonrpc": "2.0", "method": "x", "params": %s}' % params)
        it.client.open("x")
        await it.client.ready()
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}
    assert (await played(file, writing("z"))).deviations == ()
    assert ("nested too deeply" in caplog.text) == (not keeps_texts)


async def test_without_texts_the_shape_is_played(file: Path) -> None:
    """Places fit, and each request is answered; nothing else can be compared."""
    await record_one(file, writing("old"), keeps_texts=False)
    assert "secret_word" not in file.read_text(encoding="utf-8")
    result = await played(file, writing("new"))
    assert result.deviations == ()
    assert result.same == 3
    assert result.notes == (
        "texts were not recorded: only answers and errors are compared, no tokens",
    )


@pytest.mark.parametrize("keeps_texts", [True, False])
async def test_a_request_that_is_not_answered_any_more_is_told(
    file: Path, *, keeps_texts: bool
) -> None:
    """After some patience."""
    await record_one(file, writing("z"), keeps_texts=keeps_texts)
    result = await played(file, None, patience_s=0.05)
    missing = [each.what for each in result.deviations if each.now == "it did not come"]
    assert "the reply to textDocument/inlineCompletion 2" in missing


async def test_a_model_that_is_not_here_is_an_error(file: Path) -> None:
    """Nothing could be compared."""
    await record_one(file, writing("z"))

    def refuse(*_: object) -> None:
        raise ModelNotPulledError("run midfill models pull x")

    with pytest.raises(ModelNotAvailableError, match="models pull x"):
        await replay(read_record(file), refuse)  # type: ignore[arg-type]


async def test_a_request_of_another_version_is_refused(file: Path) -> None:
    """It has a field that nobody knows."""
    await record_one(file, writing("z"))
    text = file.read_text(encoding="utf-8").replace('"line_comment"', '"line_remark"')
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequestError, match="another version"):
        await played(file, writing("z"))


async def test_a_server_that_is_killed_leaves_a_recording_to_play(file: Path) -> None:
    """The real command, with a scripted engine."""
    options = ("lsp", "--record", str(file), "--record-texts")
    async with started(*SCRIPTED_SERVER, *options) as (client, process):
        await client.initialize()
        client.open("# do: write a + b\n")
        await client.seen("midfill/status", state="ready")
        assert await client.complete(0, 17) == {"items": [item("a + b", 0, 17)]}
        process.kill()
        await process.wait()
    result = await replay(read_record(file), scripted_server.open_engine)
    assert result.deviations == ()
    assert result.same >= 3
