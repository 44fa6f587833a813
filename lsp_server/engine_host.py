"""The engine that all clients share: opened in the background, so that the server answers at once.

Everything here runs in the event loop, except opening, which has a thread of its own (``import
torch`` takes seconds). The thread is a daemon: a server that is told to leave does not wait for it.

::

    OFF -- load() --> LOADING --> READY        restart() and a changed config go back to LOADING
                         |          |
                         '-> ERROR <'  lost()
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from midfill.engine.errors import EngineClosedError, MidfillError, ModelNotAvailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.engine.api import Engine, EngineConfig

    OnProgress = Callable[[str, float], None]
    OpenEngine = Callable[[EngineConfig, OnProgress], Engine]
    Listener = Callable[["Status"], None]

_log = logging.getLogger(__name__)


class State(Enum):
    """What the engine does."""

    OFF = "off"
    LOADING = "loading"
    READY = "ready"
    THINKING = "thinking"
    """Ready, and at work for this client."""
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Status:
    """What a client may show about the engine."""

    state: State
    model: str = ""
    message: str = ""
    progress: float | None = None
    """The share of loading that is done, 0 to 1, in steps of a hundredth."""


class StatusBoard:
    """The engine's status, and who is told when it changes."""

    def __init__(self) -> None:
        self.now = Status(State.OFF)
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell the listener about every change from now on."""
        self._listeners.append(listener)

    def ignore(self, listener: Listener) -> None:
        """Tell the listener no more."""
        self._listeners.remove(listener)

    def publish(self, status: Status) -> None:
        """Have a new status, and tell everybody who listens."""
        self.now = status
        for listener in tuple(self._listeners):
            listener(status)


class EngineHost:
    """Opens, replaces and closes the engine.

    Args:
        open_engine: As ``midfill.engine.open_engine``; runs in a thread.
    """

    def __init__(self, open_engine: OpenEngine) -> None:
        self.status = StatusBoard()
        self.ready: Engine | None = None
        """The engine, if there is one at this moment."""
        self._open_engine = open_engine
        self._config: EngineConfig | None = None
        self._error: MidfillError | None = None
        self._load = 0
        self._settled = asyncio.Event()
        self._opener: threading.Thread | None = None

    @property
    def is_opening(self) -> bool:
        """Whether the last thread that opens an engine is still at it, wanted or not."""
        return self._opener is not None and self._opener.is_alive()

    async def engine(self) -> Engine:
        """The engine, once it is open.

        Raises:
            MidfillError: why there is none.
        """
        while self.status.now.state is State.LOADING:
            await self._settled.wait()
        if self.ready is None:
            raise self._error or EngineClosedError("no model is loaded; configure midfill.model")
        return self.ready

    def load(self, config: EngineConfig) -> None:
        """Open this engine, unless it is open or opening; one that failed is tried again."""
        if config != self._config or self.status.now.state in (State.OFF, State.ERROR):
            self._start(config)

    def restart(self) -> None:
        """Open the engine again, whatever it does now."""
        if self._config is not None:
            self._start(self._config)

    def lost(self, engine: Engine, error: EngineClosedError) -> None:
        """Give up an engine that no longer takes requests."""
        if engine is self.ready:
            self._fail(self._load, error)
            engine.close()

    def close(self) -> None:
        """Close the engine; one that is still opening is closed when it comes."""
        self._load += 1
        engine, self.ready = self.ready, None
        self.status.publish(Status(State.OFF))
        self._settled.set()
        if engine is not None:
            engine.close()

    def _start(self, config: EngineConfig) -> None:
        self._load += 1
        old, self.ready, self._error, self._config = self.ready, None, None, config
        self._settled.set()  # who waited for the old one looks again, and waits for this one
        self._settled = asyncio.Event()
        self.status.publish(Status(State.LOADING, config.model, "loading", 0.0))
        loop = asyncio.get_running_loop()
        arguments = (config, old, self._load, loop)
        self._opener = threading.Thread(target=self._open, args=arguments, daemon=True)
        self._opener.start()

    def _open(
        self,
        config: EngineConfig,
        old: Engine | None,
        load: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Make room, open, hand over; runs in a thread."""

        def on_progress(phase: str, share: float) -> None:
            """Tell how far it is."""
            _call(loop, self._report, load, phase, round(share, 2))

        try:
            if old is not None:
                old.close()
            engine = self._open_engine(config, on_progress)
        except MidfillError as error:
            _call(loop, self._fail, load, error)
        except BaseException as error:  # noqa: BLE001 (the boundary: whatever torch can raise)
            _log.exception("opening %s failed", config.model)
            text = f"{config.model} cannot be opened ({error!r}); the log has the details"
            _call(loop, self._fail, load, ModelNotAvailableError(text))
        else:
            if not _call(loop, self._take, load, engine):
                engine.close()

    def _report(self, load: int, phase: str, share: float) -> None:
        before = self.status.now
        status = Status(State.LOADING, before.model, phase, share)
        if load == self._load and before.state is State.LOADING and status != before:
            self.status.publish(status)

    def _take(self, load: int, engine: Engine) -> None:
        if load != self._load:
            engine.close()
            return
        self.ready = engine
        info = engine.info
        _log.info("%s is ready (%s); %s", info.model, info.dialect, info.device_reason)
        if info.warning:
            _log.warning("%s %s", info.model, info.warning)
        self.status.publish(Status(State.READY, info.model, info.warning))
        self._settled.set()

    def _fail(self, load: int, error: MidfillError) -> None:
        if load != self._load:
            return
        _log.error("%s", error)
        self.ready, self._error = None, error
        self.status.publish(Status(State.ERROR, self.status.now.model, str(error)))
        self._settled.set()


def _call(
    loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: object
) -> bool:
    """Run a function in the loop, from another thread; False if the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *arguments)
        return True
    return False
