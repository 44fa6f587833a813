"""The shared engine: opened behind the server's back, replaced, lost and closed."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from fakes import FakeEngine

from midfill.engine.api import EngineConfig
from midfill.engine.errors import (
    EngineClosedError,
    MidfillError,
    ModelNotAvailableError,
    ModelNotPulledError,
)
from midfill.lsp_server.engine_host import EngineHost, State, Status

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = EngineConfig("a")


class Opener:
    """Opens engines when the test says so, in the order of the calls."""

    def __init__(self) -> None:
        self.engines: list[FakeEngine] = []
        self.errors: dict[str, BaseException] = {}
        self.may_open = threading.Event()
        self.may_open.set()

    def __call__(
        self, config: EngineConfig, on_progress: Callable[[str, float], None]
    ) -> FakeEngine:
        """As open_engine."""
        on_progress("reading", 0.5)
        on_progress("reading", 0.5004)
        self.may_open.wait()
        if config.model in self.errors:
            raise self.errors[config.model]
        self.engines.append(FakeEngine(config=config))
        return self.engines[-1]


class Ear:
    """What a listener was told."""

    def __init__(self, host: EngineHost) -> None:
        self.heard: list[Status] = []
        self._news = asyncio.Event()
        host.status.listen(self)

    def __call__(self, status: Status) -> None:
        """Hear it."""
        self.heard.append(status)
        self._news.set()

    async def hears(self, state: State, number: int = 1) -> Status:
        """The n-th status with this state, once it came."""
        while len(found := [s for s in self.heard if s.state is state]) < number:
            self._news.clear()
            await self._news.wait()
        return found[number - 1]


async def test_it_loads_in_the_background_and_tells_its_progress() -> None:
    """The caller goes on at once."""
    open_engine = Opener()
    host = EngineHost(open_engine)
    ear = Ear(host)
    open_engine.may_open.clear()
    host.load(CONFIG)
    assert host.status.now.state is State.LOADING
    assert host.ready is None
    assert host.is_opening
    open_engine.may_open.set()
    engine = await host.engine()
    assert engine is host.ready is open_engine.engines[0]
    assert [(s.state, s.message, s.progress) for s in ear.heard] == [
        (State.LOADING, "loading", 0.0),
        (State.LOADING, "reading", 0.5),
        (State.READY, "", None),
    ]


async def test_what_is_open_or_opening_is_not_opened_again() -> None:
    """Every change of the settings asks for it."""
    open_engine = Opener()
    host = EngineHost(open_engine)
    host.load(CONFIG)
    host.load(CONFIG)
    await host.engine()
    host.load(CONFIG)
    assert len(open_engine.engines) == 1


async def test_another_config_replaces_the_engine() -> None:
    """The old one is closed first: two models may not fit into memory."""
    open_engine = Opener()
    host = EngineHost(open_engine)
    host.load(CONFIG)
    await host.engine()
    host.load(EngineConfig("b"))
    engine = await host.engine()
    assert engine.info.model == "b"
    assert open_engine.engines[0].is_closed


async def test_who_waits_gets_the_engine_that_is_wanted_in_the_end() -> None:
    """The one that was opening meanwhile is closed when it comes."""
    open_engine = Opener()
    open_engine.may_open.clear()
    host = EngineHost(open_engine)
    host.load(CONFIG)
    waiting = asyncio.create_task(host.engine())
    await asyncio.sleep(0)
    host.load(EngineConfig("b"))
    open_engine.may_open.set()
    assert (await waiting).info.model == "b"
    while not all(e.is_closed for e in open_engine.engines if e.config == CONFIG):
        await asyncio.sleep(0)


async def test_a_model_that_is_not_there_is_an_error_with_its_own_words() -> None:
    """And is tried again when the settings come again, or by restart."""
    open_engine = Opener()
    open_engine.errors["a"] = ModelNotPulledError("run midfill models pull a")
    host = EngineHost(open_engine)
    ear = Ear(host)
    host.load(CONFIG)
    with pytest.raises(ModelNotPulledError, match="run midfill models pull a"):
        await host.engine()
    assert (await ear.hears(State.ERROR)).message == "run midfill models pull a"
    host.restart()
    await ear.hears(State.ERROR, 2)
    open_engine.errors.clear()
    host.load(CONFIG)
    assert await host.engine() is open_engine.engines[0]


@pytest.mark.parametrize("error", [RuntimeError("no memory"), SystemExit("no memory")])
async def test_any_other_error_becomes_one_of_ours(error: BaseException) -> None:
    """Whatever torch raises, the server goes on."""
    open_engine = Opener()
    open_engine.errors["a"] = error
    host = EngineHost(open_engine)
    host.load(CONFIG)
    with pytest.raises(ModelNotAvailableError, match="no memory"):
        await host.engine()


async def test_an_engine_that_died_is_given_up_until_a_restart() -> None:
    """Its clients are told once, not at every keystroke."""
    open_engine = Opener()
    host = EngineHost(open_engine)
    ear = Ear(host)
    host.load(CONFIG)
    engine = await host.engine()
    host.lost(engine, EngineClosedError("its thread ended"))
    assert host.ready is None
    assert (await ear.hears(State.ERROR)).message == "its thread ended"
    with pytest.raises(EngineClosedError, match="its thread ended"):
        await host.engine()
    host.restart()
    assert await host.engine() is open_engine.engines[1]
    host.lost(engine, EngineClosedError("said again by an old request"))
    assert host.ready is open_engine.engines[1]


async def test_before_anything_is_loaded_there_is_no_engine() -> None:
    """And nothing to restart."""
    host = EngineHost(Opener())
    host.restart()
    with pytest.raises(MidfillError, match="no model is loaded"):
        await host.engine()


async def test_closing_closes_the_engine_and_what_is_still_opening() -> None:
    """Nothing is left behind."""
    open_engine = Opener()
    host = EngineHost(open_engine)
    host.load(CONFIG)
    await host.engine()
    open_engine.may_open.clear()
    host.load(EngineConfig("b"))
    host.close()
    assert host.status.now.state is State.OFF
    open_engine.may_open.set()
    while len(open_engine.engines) < 2 or not all(e.is_closed for e in open_engine.engines):
        await asyncio.sleep(0)


def test_an_engine_that_comes_after_the_loop_has_closed_is_closed() -> None:
    """A server that leaves while it loads leaves no thread behind."""
    open_engine = Opener()
    open_engine.may_open.clear()

    async def load() -> EngineHost:
        host = EngineHost(open_engine)
        host.load(CONFIG)
        return host

    host = asyncio.run(load())
    opener = host._opener
    assert opener is not None
    open_engine.may_open.set()
    opener.join()
    assert open_engine.engines[0].is_closed


async def test_who_does_not_listen_any_more_is_not_told() -> None:
    """A client that has gone has no connection to tell it over."""
    host = EngineHost(Opener())
    ear = Ear(host)
    host.status.ignore(ear)
    host.load(CONFIG)
    await host.engine()
    assert ear.heard == []
