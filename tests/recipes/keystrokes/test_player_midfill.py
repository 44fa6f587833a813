"""The player on a real language server process, whose engine writes as the text tells it."""

from __future__ import annotations

import pytest
from repository import SCRIPTED_SERVER
from scripted_recordings import recording

from midfill.recipes.keystrokes.lsp_process import RpcError, started
from midfill.recipes.keystrokes.player_midfill import MidfillPlayer
from midfill.recipes.keystrokes.strokes import GENERATED, REUSED, Pace, Stroke, replay
from midfill.recipes.keystrokes.traces import Recording

TOO_SOON = 250.0
"""Milliseconds between keys: a busy server has begun its run; ``forever`` is not at its end."""


async def strokes(session: Recording, pace: Pace) -> list[Stroke]:
    """What came of its keys, and nothing is left of the session."""
    async with started("lsp", "--model", "fake", command=SCRIPTED_SERVER) as server:
        await server.initialize(None, {})
        await server.ready()
        player = MidfillPlayer(server)
        found = await replay(session, player, pace)
        await server.leave()
    assert server.process.returncode == 0
    return found


async def test_each_key_has_its_costs() -> None:
    """The text streams, so that its first part comes before its end; counts are the engine's."""
    found = await strokes(recording("fill aa(bbb, c)", {"key": "\n"}), Pace())
    assert [stroke.source for stroke in found] == [GENERATED] * 2
    for stroke in found:
        assert stroke.first_ms is not None
        assert stroke.full_ms is not None
        assert 0 < stroke.first_ms < stroke.full_ms
        assert (stroke.prompt_tokens, stroke.prefilled_tokens) == (3, 1)
        assert stroke.generated_tokens == 4
        assert set(stroke.parts_ms or ()) == {"contextMs", "queueMs", "prefillMs", "decodeMs"}


async def test_text_typed_as_suggested_costs_no_run() -> None:
    """Its counts are unknown, because there are none."""
    session = recording("fill abcdefghi", {"key": "\n"}, {"type": "ab"}, {"accept": "cdefghi"})
    found = await strokes(session, Pace())
    assert [stroke.source for stroke in found[2:4]] == [REUSED] * 2
    assert [stroke.prompt_tokens for stroke in found[2:4]] == [None] * 2
    assert all(stroke.first_ms == stroke.full_ms for stroke in found[2:4])


async def test_a_switch_opens_the_other_file_once() -> None:
    """And what is skipped reaches the server: it would refuse the places that follow."""
    session = recording(
        "write a",
        {"switch": ["src/b.py", 1, 12]},
        {"skip": "\n\n# do: write c\n"},
        {"jump": [3, 13]},
        {"delete": 1},
        {"switch": ["src/a.py", 0, 0]},
        {"switch": ["src/b.py", 3, 12]},
    )
    found = await strokes(session, Pace())
    assert [stroke.kind for stroke in found] == ["switch"] * 2 + ["jump", "delete"] + ["switch"] * 2


async def test_a_key_that_comes_too_soon_ends_the_run() -> None:
    """The stroke before it has no end; how long the run went on is known."""
    found = await strokes(recording("forever", {"type": "xyz"}), Pace(TOO_SOON))
    assert all(stroke.full_ms is None for stroke in found)
    assert any(stroke.cancel_ms is not None for stroke in found)


async def test_a_model_that_cannot_be_loaded_is_an_error() -> None:
    """With what the server says of it."""
    async with started("lsp", "--model", "missing", command=SCRIPTED_SERVER) as server:
        await server.initialize(None, {})
        with pytest.raises(RpcError, match="midfill models pull missing"):
            await server.ready()


async def test_a_server_that_has_ended_is_an_error() -> None:
    """For the request under way and for all that follow, with its code."""
    async with started("lsp", "--model", "fake", command=SCRIPTED_SERVER) as server:
        await server.initialize(None, {})
        await server.ready()
        server.process.kill()
        for _ in range(2):
            with pytest.raises(RpcError, match="ended with code -9"):
                await server.request("midfill/stats")
        await server._listening
        with pytest.raises(RpcError, match="ended with code -9"):
            await server.request("midfill/stats")
