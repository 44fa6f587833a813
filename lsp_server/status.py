"""What one client's user sees of the engine: a status line, a progress bar, one error message.

The progress bar has a task of its own, because LSP makes us ask before we may show one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from midfill.lsp_server.engine_host import State, Status
from midfill.lsp_server.messages import STATUS

if TYPE_CHECKING:
    from pygls.lsp.server import LanguageServer

_log = logging.getLogger(__name__)


class StatusReporter:
    """Tells one client what the engine does.

    Args:
        server: Its connection.
    """

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._status = Status(State.OFF)
        self._sent: Status | None = None
        self._is_busy = False
        self._shown = ""
        self._bar: _Bar | None = None

    def engine_is(self, status: Status) -> None:
        """The engine's status changed."""
        self._status = status
        self._send()
        self._show_error(status)
        self._show_progress(status)

    def work(self, is_busy: bool) -> None:  # noqa: FBT001 (a callback)
        """Work for this client began or ended."""
        self._is_busy = is_busy
        self._send()

    def forget_shown(self) -> None:
        """Show an error again even if it is the last one: the user asked to try again."""
        self._shown = ""

    def close(self) -> None:
        """Stop what still runs."""
        if self._bar is not None:
            self._bar.close()

    def _send(self) -> None:
        status = self._status
        if status.state is State.READY and self._is_busy:
            status = replace(status, state=State.THINKING)
        if status != self._sent:
            self._sent = status
            self._server.protocol.notify(STATUS, _as_json(status))

    def _show_error(self, status: Status) -> None:
        if status.state is State.READY:
            self._shown = ""
        if status.state is State.ERROR and status.message != self._shown:
            self._shown = status.message
            message = types.ShowMessageParams(types.MessageType.Error, f"midfill: {status.message}")
            self._server.window_show_message(message)

    def _show_progress(self, status: Status) -> None:
        window = self._server.client_capabilities.window
        if not (window and window.work_done_progress):
            return
        if self._bar is None and status.state is State.LOADING:
            self._bar = _Bar(self._server, f"Loading {status.model}")
        if self._bar is not None:
            self._bar.update(status)
            if status.state is not State.LOADING:
                self._bar = None


class _Bar:
    """A work-done progress (LSP 3.18) for one loading of a model."""

    def __init__(self, server: LanguageServer, title: str) -> None:
        self._server = server
        self._token = f"midfill-{uuid.uuid4()}"
        self._updates: asyncio.Queue[Status] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(title))

    def update(self, status: Status) -> None:
        """Show this; a status other than loading ends the bar."""
        self._updates.put_nowait(status)

    def close(self) -> None:
        """Give up."""
        self._task.cancel()

    async def _run(self, title: str) -> None:
        progress = self._server.work_done_progress
        with contextlib.suppress(JsonRpcException):  # the client may refuse
            await progress.create_async(self._token)
            progress.begin(self._token, types.WorkDoneProgressBegin(title=title, percentage=0))
            while (status := await self._updates.get()).state is State.LOADING:
                percentage = round(100 * (status.progress or 0))
                report = types.WorkDoneProgressReport(message=status.message, percentage=percentage)
                progress.report(self._token, report)
            progress.end(self._token, types.WorkDoneProgressEnd(message=status.message or None))


def _as_json(status: Status) -> dict[str, object]:
    return {
        "state": status.state.value,
        "message": status.message,
        "model": status.model,
        "progress": status.progress,
    }
