"""Plays an editor with midfill's language server: a real process, asked after every key.

Each key is a ``textDocument/didChange`` and a request for an inline completion with a
``partialResultToken``, written at once. The first partial result with text, or the reply where an
earlier completion answers, is the first text; the reply ends the suggestion. Token counts and times
come from ``midfill/explain`` and ``midfill/stats``, asked for when the figures are taken.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midfill.recipes.keystrokes.strokes import GENERATED, NOTHING, REUSED, Stroke
from midfill.recipes.keystrokes.traces import LANGUAGES, place_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from midfill.recipes.keystrokes.lsp_process import LspProcess
    from midfill.recipes.keystrokes.strokes import Wait
    from midfill.recipes.keystrokes.traces import Change, Editor, Recording

OURS = "midfill"
_PARTS = ("contextMs", "queueMs", "prefillMs", "decodeMs")
_AUTOMATIC = 2
"""LSP's InlineCompletionTriggerKind."""
_BEFORE_NEXT_S = 0.01
"""Seconds before the next key at which the figures of the last one are taken."""
_STALE = ("cancelled", "superseded")


@dataclass(slots=True)
class _Asked:
    """One request under way."""

    token: int
    pressed: float
    first: float | None = None
    item: str = ""
    text: str = ""


class _Workspace:
    """A folder with the files of a recording, open in the server as far as they were edited."""

    def __init__(self, server: LspProcess, files: Mapping[str, str]) -> None:
        self._server = server
        self._folder = tempfile.TemporaryDirectory(prefix="midfill-bench-")
        self._versions: dict[str, int] = {}
        for path, text in files.items():
            file = Path(self._folder.name, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        self._tell("added")

    def uri(self, path: str) -> str:
        """The URI of a file."""
        return Path(self._folder.name, path).as_uri()

    def open(self, path: str, text: str) -> None:
        """Open a document, if it is not open yet."""
        if path not in self._versions:
            self._versions[path] = 1
            self._server.open(self.uri(path), LANGUAGES[Path(path).suffix], text)

    def change(self, path: str, change: Change, before: str) -> None:
        """Change an open document whose text was ``before``."""
        self._versions[path] += 1
        places = [place_at(before, offset) for offset in (change.start, change.end)]
        start, end = ({"line": line, "character": column} for line, column in places)
        self._server.notify(
            "textDocument/didChange",
            {
                "textDocument": {"uri": self.uri(path), "version": self._versions[path]},
                "contentChanges": [{"range": {"start": start, "end": end}, "text": change.text}],
            },
        )

    def close(self) -> None:
        """Close the documents, and the folder as the server's."""
        for path in self._versions:
            self._server.notify("textDocument/didClose", {"textDocument": {"uri": self.uri(path)}})
        self._tell("removed")

    def remove(self) -> None:
        """Delete the folder."""
        self._folder.cleanup()

    def _tell(self, how: str) -> None:
        folder = {"uri": Path(self._folder.name).as_uri(), "name": "bench"}
        event: dict[str, object] = {"added": [], "removed": []}
        event[how] = [folder]
        self._server.notify("workspace/didChangeWorkspaceFolders", {"event": event})


class MidfillPlayer:
    """A ``Player`` on a server that is ready."""

    name = OURS

    def __init__(self, server: LspProcess) -> None:
        self._server = server
        server.on_progress = self._progress
        self._tokens = count(1)
        self._asked: _Asked | None = None
        self._workspace: _Workspace | None = None
        self._counters: Mapping[str, Any] = {}
        self._tells = False
        """Whether the server is told what is on the screen."""

    async def begin(self, recording: Recording) -> None:
        """Make a folder with the files the server's workspace."""
        self._workspace = _Workspace(self._server, recording.files)
        self._counters = await self._server.request("midfill/stats")

    async def end(self) -> None:
        """Close the documents and take the folder away."""
        workspace = self._opened
        workspace.close()
        await self._server.request("midfill/stats")
        workspace.remove()

    def skip(self, editor: Editor, change: Change, before: str) -> None:
        """See Player."""
        self._opened.change(editor.file, change, before)

    async def press(self, editor: Editor, change: Change | None, before: str, wait: Wait) -> Stroke:
        """See Player."""
        workspace = self._opened
        offered, asked = self._asked, _Asked(next(self._tokens), time.perf_counter())
        self._asked = asked
        self._tells = wait.until is not None
        workspace.open(editor.file, before)
        if change is not None:
            workspace.change(editor.file, change, before)
        if wait.key.kind == "accept" and offered is not None:
            self._accept(offered, wait.key.text)
        line, column = place_at(editor.text, editor.cursor)
        params = {
            "textDocument": {"uri": workspace.uri(editor.file)},
            "position": {"line": line, "character": column},
            "context": {"triggerKind": _AUTOMATIC},
            "partialResultToken": asked.token,
        }
        reply = self._server.ask("textDocument/inlineCompletion", params)
        left_s = None if wait.until is None else wait.until - time.perf_counter() - _BEFORE_NEXT_S
        await asyncio.wait([reply], timeout=left_s)
        return await self._stroke(wait.key.kind, asked, reply.result() if reply.done() else None)

    @property
    def _opened(self) -> _Workspace:
        assert self._workspace is not None, "begin() comes first"
        return self._workspace

    async def _stroke(self, kind: str, asked: _Asked, reply: tuple[float, Any] | None) -> Stroke:
        """What came of a key, when its time is over."""
        moment, result = reply or (None, None)
        items = result["items"] if result else []
        if items:
            asked.first = asked.first or moment
            self._show(asked, items[0])
        before, now = self._counters, await self._server.request("midfill/stats")
        self._counters = now
        ran = now["generations"] > before["generations"]
        known = any(now[name] > before[name] for name in ("reused", "joined", "prefetched"))
        cost = await self._cost(asked, now) if ran and reply is not None else None
        is_over = moment is not None and result is not None
        return Stroke(
            kind,
            REUSED if known else GENERATED if ran else NOTHING,
            None if asked.first is None else 1e3 * (asked.first - asked.pressed),
            1e3 * (moment - asked.pressed) if is_over and moment is not None else None,
            **(_figures(cost) if cost is not None else {}),
            cancel_ms=now["lastCancelMs"] if now["cancelled"] > before["cancelled"] else None,
        )

    async def _cost(self, asked: _Asked, counters: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the run of the model for a key cost; None if it did not come to its end."""
        cost = counters["last"]
        if asked.item:
            told = await self._server.request("midfill/explain", {"itemId": asked.item})
            cost = told and told["stats"] and told["stats"] | {"contextMs": told["contextMs"]}
        return cost if cost and cost["finishReason"] not in _STALE else None

    def _progress(self, token: object, value: dict[str, Any]) -> None:
        asked = self._asked
        if asked is None or token != asked.token or asked.first is not None:
            return
        items = value["items"]
        if items and items[0]["insertText"]:
            asked.first = time.perf_counter()
            self._show(asked, items[0])

    def _show(self, asked: _Asked, item: Mapping[str, Any]) -> None:
        """Say what is shown, as a client that draws; where keys wait for nothing, it disturbs."""
        if self._tells and not asked.item:
            self._server.notify("midfill/shown", {"itemId": item["itemId"]})
        asked.item, asked.text = item["itemId"], item["insertText"]

    def _accept(self, offer: _Asked, text: str) -> None:
        """Say so if a text that comes at once is what was suggested, or its start."""
        if offer.item and offer.text.startswith(text):
            kind = "full" if offer.text == text else "line"
            params = {"itemId": offer.item, "kind": kind, "acceptedLength": len(text)}
            self._server.notify("midfill/accepted", params)


def _figures(cost: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": cost["promptTokens"],
        "prefilled_tokens": cost["prefilledTokens"],
        "generated_tokens": cost["generatedTokens"],
        "parts_ms": {name: cost[name] for name in _PARTS if name in cost},
    }
