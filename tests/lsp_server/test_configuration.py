"""The settings of one client: where they come from, and what becomes of wrong ones."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from fakes import writing
from lsp_client import INLINE, INVOKED, RpcError
from lsp_lab import item, lab

from midfill.lsp_server import configuration

PULL = INLINE | {"workspace": {"configuration": True}}
"""Capabilities of a client that answers workspace/configuration."""

WARNING = 2


async def test_settings_come_with_initialize() -> None:
    """Bare, or under their section."""
    for options in ({"model": "b"}, {"midfill": {"model": "b"}}):
        async with lab() as it:
            await it.begin(options=options)
            assert it.configs[0].model == "b"


async def test_settings_are_pulled_and_lie_over_those_of_initialize() -> None:
    """Option by option."""
    async with lab(writing("z")) as it:
        it.client.answers["workspace/configuration"] = lambda params: [
            {"completion": {"maxTokens": 7}} if params["items"][0]["section"] == "midfill" else 0
        ]
        options = {"model": "b", "completion": {"maxTokens": 9, "temperature": 1}}
        await it.begin("x", capabilities=PULL, options=options)
        await it.client.complete(0, 1)
        (request,) = it.engine.requests
        assert it.configs[0].model == "b"
        assert request.max_tokens == 7
        assert request.sampling.temperature == 1


@pytest.mark.parametrize("answer", [RpcError({"code": -1, "message": "no"}), [], None, [None]])
async def test_a_client_that_does_not_tell_its_settings_gets_the_defaults(answer: Any) -> None:
    """The session goes on."""
    async with lab(writing("z")) as it:
        it.client.answers["workspace/configuration"] = lambda _: answer
        await it.begin("x", capabilities=PULL, options={"model": "b"})
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}
        assert it.configs[0].model == "b"


@pytest.mark.parametrize("answer", [None, [None], [], RpcError({"code": -1, "message": "no"}), 5])
async def test_any_answer_about_the_settings_is_waited_for_no_longer(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Null is one, and so is what makes no sense."""
    monkeypatch.setattr(configuration, "_ANSWER_SECONDS", 3600)
    async with lab(writing("z")) as it:
        it.client.answers["workspace/configuration"] = lambda _: answer
        await it.begin("x", capabilities=PULL, options={"model": "b"})
        assert it.configs[0].model == "b"


async def test_a_client_that_never_tells_its_settings_gets_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After some time; an answer that comes too late harms nobody."""
    monkeypatch.setattr(configuration, "_ANSWER_SECONDS", 0)
    async with lab(writing("z")) as it:
        it.client.silent_about.add("workspace/configuration")
        await it.begin("x", capabilities=PULL, options={"model": "b"})
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}
        assert it.configs[0].model == "b"


async def test_settings_are_pushed_and_pulled_when_they_change() -> None:
    """Another model is loaded, and old completions are forgotten."""
    async with lab(writing("z")) as it:
        await it.begin("x")
        await it.client.complete(0, 1)
        settings: dict[str, Any] = {"midfill": {"completion": {"maxTokens": 5}}}
        it.client.notify("workspace/didChangeConfiguration", {"settings": settings})
        await it.client.complete(0, 1)
        assert [request.max_tokens for request in it.engine.requests] == [256, 5]
        settings["midfill"]["model"] = "c"
        it.client.notify("workspace/didChangeConfiguration", {"settings": settings})
        await it.client.seen("midfill/status", state="ready", model="c")
    async with lab() as it:
        answers = iter([[{"model": "a"}], [{"model": "b"}]])
        it.client.answers["workspace/configuration"] = lambda _: next(answers)
        await it.begin(capabilities=PULL)
        it.client.notify("workspace/didChangeConfiguration", {"settings": None})
        await it.client.seen("midfill/status", state="ready", model="b")


async def test_changes_are_asked_for_where_clients_want_that() -> None:
    """Otherwise they do not send them."""
    async with lab() as it:
        workspace = {"workspace": {"didChangeConfiguration": {"dynamicRegistration": True}}}
        await it.begin(capabilities=INLINE | workspace)
        assert it.client.asked == ["client/registerCapability"]


async def test_a_bad_setting_is_shown_once_logged_and_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The good ones hold."""
    bad = {"completion": {"maxTokens": -3, "temperature": 1}, "colour": "red"}
    async with lab(writing("z")) as it:
        await it.begin("x", options=bad)
        await it.client.complete(0, 1)
        it.client.notify("workspace/didChangeConfiguration", {"settings": None})
        await it.client.complete(0, 1)
        shown = it.client.all_seen("window/showMessage")
        assert it.engine.requests[0].max_tokens == 256
        assert it.engine.requests[0].sampling.temperature == 1
    assert [message["type"] for message in shown] == [WARNING, WARNING]
    assert "midfill.completion.maxTokens cannot be -3" in shown[0]["message"]
    assert "midfill.colour" in shown[1]["message"]
    assert "maxTokens cannot be -3" in caplog.text


@pytest.mark.parametrize("options", ["text", [1], 7, {"midfill": 3}, {"completion": 3}])
async def test_settings_of_a_wrong_shape_do_not_stop_the_session(options: Any) -> None:
    """They are shown and replaced by the defaults."""
    async with lab(writing("z")) as it:
        await it.begin("x", options=options)
        assert await it.client.complete(0, 1) == {"items": [item("z", 0, 1)]}
        assert it.client.all_seen("window/showMessage")


async def test_the_command_line_wins_over_the_models_setting() -> None:
    """It is nearer to the user; so it is with the adapter."""
    async with lab(model="mine", adapter="my-adapter") as it:
        await it.begin(options={"model": "theirs", "adapter": "their-adapter"})
        assert (it.configs[0].model, it.configs[0].adapter) == ("mine", "my-adapter")


async def test_an_adapter_may_come_from_either() -> None:
    """The model is one's, the adapter the other's."""
    async with lab(model="mine") as it:
        await it.begin(options={"adapter": "their-adapter"})
        assert (it.configs[0].model, it.configs[0].adapter) == ("mine", "their-adapter")


async def test_debug_messages_reach_who_wants_them(caplog: pytest.LogCaptureFixture) -> None:
    """How fast a cancel was is one."""
    caplog.set_level(logging.NOTSET, "midfill")  # and so it is again after the test
    async with lab() as it:
        await it.begin("x", options={"logLevel": "debug"})
        number, reply = it.client.ask(0, 1)
        await it.engine.asked()
        it.client.cancel(number)
        await asyncio.wait([reply])
        assert isinstance(reply.exception(), RpcError)
        said = [await it.client.seen("window/logMessage", number, type=4) for number in (1, 2)]
        assert "after the cancel" in said[1]["message"]


async def test_who_asks_early_waits_for_the_settings() -> None:
    """They say whether and with what to complete."""
    async with lab(writing("z")) as it:
        answered = asyncio.Event()
        client = it.client
        client.answers["workspace/configuration"] = lambda _: answered.set() or [{"model": "b"}]
        client.start("initialize", {"processId": None, "capabilities": PULL})
        client.open("x")
        _, reply = client.ask(0, 1, kind=INVOKED)
        client.notify("initialized", {})
        assert await reply == {"items": [item("z", 0, 1)]}
        assert answered.is_set()
        assert it.configs[0].model == "b"
