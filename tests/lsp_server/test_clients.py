"""What each editor's own client says when it shakes hands, and what it gets.

The files in ``tests/data/clients`` say whether they were recorded or taken from an editor's source.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes import writing
from lsp_client import URI
from lsp_lab import Lab, item, lab
from repository import TEST_DATA

CLIENTS = TEST_DATA / "clients"
NAMES = sorted(path.stem for path in CLIENTS.glob("*.json"))
ENCODINGS = {
    "emacs-30-eglot": "utf-32",
    "helix": "utf-8",
    "neovim-0.11": "utf-8",
    "neovim-0.12": "utf-8",
}
"""The others speak UTF-16."""
INLINE = {"vscode", "neovim-0.12"}
"""Those with inline completion."""

TEXT = 'a = "😀"\r\ndef ad\r\n'


def params(name: str) -> dict[str, Any]:
    """The client's ``initialize``, as its file has it."""
    told: dict[str, Any] = json.loads((CLIENTS / f"{name}.json").read_text(encoding="utf-8"))
    return told["initialize"]


async def greeted(it: Lab, name: str) -> Any:
    """Shake hands as this client, open a document; the server's capabilities."""
    it.client.answers["workspace/configuration"] = lambda _: [None]
    return await it.begin(TEXT, **params(name))


def test_each_of_the_editors_has_a_file_that_says_where_it_is_from() -> None:
    """Recorded, or from which source."""
    assert set(NAMES) >= {*ENCODINGS, "emacs-eglot", "vscode", "zed"}
    for name in NAMES:
        told = json.loads((CLIENTS / f"{name}.json").read_text(encoding="utf-8"))
        assert told["origin"].startswith(("recorded: ", "from "))
        assert "/home" not in json.dumps(told)
        assert "/tmp" not in json.dumps(told)  # noqa: S108


@pytest.mark.parametrize("name", NAMES)
async def test_each_client_gets_its_kind_of_completion(name: str) -> None:
    """Ghost text where it can be shown, else one item in the list, in the client's own units."""
    async with lab(writing("d(a, b):\n    return a + b")) as it:
        capabilities = await greeted(it, name)
        assert capabilities["positionEncoding"] == ENCODINGS.get(name, "utf-16")
        assert ("completionProvider" not in capabilities) == (name in INLINE)
        if name in INLINE:
            reply = await it.client.complete(1, 6)
            assert reply == {"items": [item("d(a, b):\r\n    return a + b", 1, 6)]}
        else:
            place = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 6}}
            reply = await it.client.request("textDocument/completion", place)
            (offered,) = reply["items"]
            assert offered["label"] == offered["filterText"] == "add(a, b):"
        await it.client.leave()


@pytest.mark.parametrize("name", NAMES)
async def test_positions_are_read_in_the_clients_units(name: str) -> None:
    """Behind a character of two UTF-16 units and four bytes."""
    column = {"utf-8": 10, "utf-16": 8, "utf-32": 7}[ENCODINGS.get(name, "utf-16")]
    async with lab(writing("z")) as it:
        await greeted(it, name)
        place = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": column}}
        method = "inlineCompletion" if name in INLINE else "completion"
        context = {"context": {"triggerKind": 2}} if name in INLINE else {}
        assert await it.client.request(f"textDocument/{method}", place | context)
        assert it.engine.requests[0].prefix == 'a = "😀"'


@pytest.mark.parametrize("name", sorted(set(NAMES) - INLINE))
async def test_lists_get_the_whole_text_in_the_shape_that_the_editor_inserts(name: str) -> None:
    """Neovim before 0.12 would insert the first word of a text edit, and no more of it."""
    async with lab(writing("d(a, b):\n    return a + b")) as it:
        await greeted(it, name)
        place = {"textDocument": {"uri": URI}, "position": {"line": 1, "character": 6}}
        (offered,) = (await it.client.request("textDocument/completion", place))["items"]
    if name == "neovim-0.11":
        assert offered["insertText"] == "add(a, b):\n    return a + b"
        assert "textEdit" not in offered
    else:
        assert offered["textEdit"] == {
            "range": {"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 6}},
            "newText": "add(a, b):\r\n    return a + b",
        }
        assert "insertText" not in offered
