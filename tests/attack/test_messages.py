"""Wrong messages of every kind: each request is answered, and the session goes on."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest
from amount import amount
from fakes import writing
from lsp_client import INVOKED, RpcError
from lsp_lab import lab

URI = "file:///attacked.py"
HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, 2**63, 10**30, 1.5, "", "\ud800", "x" * 1000, [], [[]], {}),
    *({"": {}}, [None], "file:///%ff%00", "file://\\", "C%3A/x", URI, {"uri": URI}),
)
"""What stands where something else is expected."""
PLACE = {"line": 0, "character": 1}
DOCUMENT = {"textDocument": {"uri": URI, "version": 2}}
REQUESTS: dict[str, Any] = {
    "textDocument/inlineCompletion": DOCUMENT
    | {"position": PLACE, "context": {"triggerKind": 1}, "partialResultToken": 7},
    "textDocument/completion": DOCUMENT | {"position": PLACE, "context": {"triggerKind": 1}},
    "midfill/candidates": DOCUMENT | {"position": PLACE, "count": 3},
    "midfill/explain": {"itemId": "1"},
    "midfill/stats": {},
    "workspace/executeCommand": {"command": "midfill.accepted", "arguments": ["1"]},
    "no/such/method": {},
    "$/nothing": {},
}
CHANGE = {"range": {"start": PLACE, "end": PLACE}, "rangeLength": 0, "text": "a"}
NOTIFICATIONS: dict[str, Any] = {
    "textDocument/didOpen": {
        "textDocument": {"uri": URI, "languageId": "python", "version": 1, "text": "ab\n"}
    },
    "textDocument/didChange": DOCUMENT | {"contentChanges": [CHANGE, {"text": "ab\n"}]},
    "textDocument/didClose": DOCUMENT,
    "textDocument/didSave": DOCUMENT | {"text": "x"},
    "workspace/didChangeConfiguration": {"settings": {"midfill": {"completion": {"tries": 2}}}},
    "workspace/didChangeWatchedFiles": {"changes": [{"uri": URI, "type": 1}]},
    "workspace/didChangeWorkspaceFolders": {
        "event": {"added": [{"uri": "file:///a", "name": "a"}], "removed": []}
    },
    "midfill/shown": {"itemId": "1"},
    "midfill/accepted": {"itemId": "1"},
    "midfill/dismissed": {"itemId": "1"},
    "$/cancelRequest": {"id": 3},
    "$/progress": {"token": 1, "value": {}},
    "initialized": {},
    "no/such/thing": {},
}


def damaged(value: Any, random: Random) -> Any:
    """The value with another one at a random place, or with a field more or fewer."""
    if not isinstance(value, dict | list) or not value or random.random() < 0.2:
        return random.choice(HOSTILE)
    changed = value.copy()
    key = random.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if isinstance(changed, dict) and random.random() < 0.1:
        del changed[key]
    else:
        changed[key] = damaged(value[key], random)
    return changed


@pytest.mark.parametrize("seed", range(4))
async def test_every_wrong_request_is_answered(seed: int) -> None:
    """With a result or an error; behind all of them a right one works."""
    random = Random(seed)
    async with lab(writing("z")) as it:
        await it.begin()
        for _ in range(amount(10, 100)):
            replies = []
            for _ in range(25):
                methods = random.choice((REQUESTS, NOTIFICATIONS))
                method = random.choice(list(methods))
                params = damaged(methods[method], random) if random.random() < 0.9 else None
                if methods is REQUESTS:
                    replies.append(it.client.start(method, params)[1])
                else:
                    it.client.notify(method, params)
            answers = await asyncio.gather(*replies, return_exceptions=True)
            wrong = [a for a in answers if isinstance(a, BaseException) and type(a) is not RpcError]
            assert wrong == []
        it.client.notify("workspace/didChangeConfiguration", {"settings": {"midfill": {}}})
        it.client.open("abc", "file:///right.rb")
        reply = await it.client.complete(0, 3, kind=INVOKED, uri="file:///right.rb")
        assert reply["items"][0]["insertText"] == "z"
