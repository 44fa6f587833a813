"""What midfill adds to LSP: ids of items, partial results, messages of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cattrs import ClassValidationError
from fakes import origin
from lsprotocol import types
from repository import ROOT

from midfill.lsp_server.completion.stats import Stats
from midfill.lsp_server.messages import (
    EXPERIMENTAL,
    MESSAGES,
    CandidatesParams,
    InlineCompletionParams,
    converter,
    partial_result,
)
from midfill.lsp_server.request.explanation import Explanation
from midfill.lsp_server.request.origin import Source


def structured(**more: Any) -> Any:
    """The params of a request with more fields than LSP has."""
    params = {
        "textDocument": {"uri": "file:///a"},
        "position": {"line": 1, "character": 2},
        "context": {"triggerKind": 2, "selectedCompletionInfo": None},
    }
    message = {"jsonrpc": "2.0", "id": 1, "method": "textDocument/inlineCompletion"}
    request = converter().structure(
        message | {"params": params | more}, types.InlineCompletionRequest
    )
    return request.params


@pytest.mark.parametrize("token", ["a token", 7, None])
def test_the_partial_result_token_arrives(token: object) -> None:
    """LSP 3.18 lacks it for inline completions, and lsprotocol drops what it does not know."""
    params = structured(partialResultToken=token, workDoneToken=5)
    assert isinstance(params, InlineCompletionParams)
    assert params.partial_result_token == token
    assert params.work_done_token == 5
    assert params.position == types.Position(1, 2)


def test_without_a_token_there_is_none() -> None:
    """As most clients send it."""
    assert structured().partial_result_token is None


def test_a_partial_result_has_items_sequence_and_version() -> None:
    """In LSP's spelling."""
    here = types.Range(types.Position(0, 1), types.Position(0, 1))
    item = types.InlineCompletionItem("x", range=here)
    place = {"line": 0, "character": 1}
    assert partial_result([item], 3, 8) == {
        "items": [{"insertText": "x", "range": {"start": place, "end": place}}],
        "sequence": 3,
        "documentVersion": 8,
    }


def test_the_documentation_shows_what_is_announced() -> None:
    """Clients are written from it."""
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    blocks = [json.loads(block.partition("```")[0]) for block in text.split("```json\n")[1:]]
    item, announced, partial, status, candidates, explanation = blocks
    assert converter().unstructure(converter().structure(item, types.InlineCompletionItem)) == item
    assert announced == {"capabilities": {"experimental": EXPERIMENTAL}}
    assert partial.keys() == partial_result([], 1, 1).keys()
    assert status.keys() == {"state", "message", "model", "progress"}
    assert converter().structure(candidates, CandidatesParams).count == 4
    told = Explanation(origin(), Source.GENERATED, 1, "", "", None).as_json()
    assert explanation.keys() == told.keys()
    assert all(
        f"`{name}`" in text for name in (*Stats().as_json(), *(each.value for each in Source))
    )


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("midfill/shown", {}),
        ("midfill/accepted", {"itemId": "1"}),
        ("midfill/accepted", {"itemId": "1", "kind": "some"}),
        ("midfill/candidates", {"count": 2}),
    ],
)
def test_a_malformed_message_is_no_message(method: str, params: dict[str, Any]) -> None:
    """The error names what is missing or wrong."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with pytest.raises(ClassValidationError):
        converter().structure(message, MESSAGES[method])
