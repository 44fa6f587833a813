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
"""So long before the next key the figures of the last one are taken."""
_STALE = ("cancelled", "superseded")


@dataclass(slots=True)
class _Asked:
    """One request under way."""

    token: int
    pressed: float
    first: float | None = None
    item: str = ""
    text: str = ""


class Midfill:
    """A ``Player`` on a server that is ready."""

    name = OURS

    def __init__(self, server: LspProcess) -> None:
        self._server = server
        server.on_progress = self._progress
        self._tokens = count(1)
        self._asked: _Asked | None = None
        self._versions: dict[str, int] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._counters: Mapping[str, Any] = {}
        self._tells = False
        """Whether the server is told what is on the screen."""

    async def begin(self, recording: Recording) -> None:
        """Put the files into a folder and make it the workspace's."""
        self._folder = tempfile.TemporaryDirectory(prefix="midfill-bench-")
        self._versions = {}
        for path, text in recording.files.items():
            file = Path(self._folder.name, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        self._tell_folder("added")
        self._counters = await self._server.request("midfill/stats")

    async def end(self) -> None:
        """Close the documents and take the folder away."""
        for path in self._versions:
            self._server.notify("textDocument/didClose", {"textDocument": {"uri": self._uri(path)}})
        self._tell_folder("removed")
        await self._server.request("midfill/stats")
        if self._folder is not None:
            self._folder.cleanup()

    def skip(self, editor: Editor, change: Change, before: str) -> None:
        """See Player."""
        self._change(editor, change, before)

    async def press(self, editor: Editor, change: Change | None, before: str, wait: Wait) -> Stroke:
        """See Player."""
        offered, asked = self._asked, _Asked(next(self._tokens), time.perf_counter())
        self._asked = asked
        self._tells = wait.until is not None
        uri = self._uri(editor.file)
        if editor.file not in self._versions:
            self._versions[editor.file] = 1
            self._server.open(uri, LANGUAGES[Path(editor.file).suffix], before)
        if change is not None:
            self._change(editor, change, before)
        if wait.key.kind == "accept" and offered is not None:
            self._accept(offered, wait.key.text)
        line, column = place_at(editor.text, editor.cursor)
        params = {
            "textDocument": {"uri": uri},
            "position": {"line": line, "character": column},
            "context": {"triggerKind": _AUTOMATIC},
            "partialResultToken": asked.token,
        }
        reply = self._server.ask("textDocument/inlineCompletion", params)
        left_s = None if wait.until is None else wait.until - time.perf_counter() - _BEFORE_NEXT_S
        await asyncio.wait([reply], timeout=left_s)
        return await self._stroke(wait.key.kind, asked, reply.result() if reply.done() else None)

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
        """As a client does that draws it; where keys wait for nothing else, it would disturb."""
        if self._tells and not asked.item:
            self._server.notify("midfill/shown", {"itemId": item["itemId"]})
        asked.item, asked.text = item["itemId"], item["insertText"]

    def _accept(self, offer: _Asked, text: str) -> None:
        """Say so if a text that comes at once is what was suggested, or its start."""
        if offer.item and offer.text.startswith(text):
            kind = "full" if offer.text == text else "line"
            params = {"itemId": offer.item, "kind": kind, "acceptedLength": len(text)}
            self._server.notify("midfill/accepted", params)

    def _change(self, editor: Editor, change: Change, before: str) -> None:
        self._versions[editor.file] += 1
        places = [place_at(before, offset) for offset in (change.start, change.end)]
        start, end = ({"line": line, "character": column} for line, column in places)
        self._server.notify(
            "textDocument/didChange",
            {
                "textDocument": {
                    "uri": self._uri(editor.file),
                    "version": self._versions[editor.file],
                },
                "contentChanges": [{"range": {"start": start, "end": end}, "text": change.text}],
            },
        )

    def _uri(self, path: str) -> str:
        assert self._folder is not None, "begin() comes first"
        return Path(self._folder.name, path).as_uri()

    def _tell_folder(self, how: str) -> None:
        assert self._folder is not None, "begin() comes first"
        folder = {"uri": Path(self._folder.name).as_uri(), "name": "bench"}
        event: dict[str, object] = {"added": [], "removed": []}
        event[how] = [folder]
        self._server.notify("workspace/didChangeWorkspaceFolders", {"event": event})


def _figures(cost: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": cost["promptTokens"],
        "prefilled_tokens": cost["prefilledTokens"],
        "generated_tokens": cost["generatedTokens"],
        "parts_ms": {name: cost[name] for name in _PARTS if name in cost},
    }
