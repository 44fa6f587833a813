"""What midfill adds to LSP: messages of its own, an item's id, partial results of completions.

The wire format is described for clients in docs/protocol.md.
"""

from __future__ import annotations

from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import attrs
from cattrs.gen import make_dict_structure_fn, override
from lsprotocol import types
from pygls.protocol import default_converter

from midfill.lsp_server.text.languages import language_id_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cattrs import Converter

STATUS = "midfill/status"
"""Notification to the client: what the engine does."""
STATS = "midfill/stats"
"""Request to the server: counters, and the cost of the last completion."""
SHOWN = "midfill/shown"
"""Notification to the server: a suggestion is on the screen."""
ACCEPTED = "midfill/accepted"
"""Notification to the server: a suggestion, or a part of it, is in the document."""
DISMISSED = "midfill/dismissed"
"""Notification to the server: the user has turned a suggestion away."""
CANDIDATES = "midfill/candidates"
"""Request to the server: several completions of one place."""
EXPLAIN = "midfill/explain"
"""Request to the server: how a suggestion came about."""

RESTART = "midfill.restart"
"""Command: load the model again."""
ACCEPTED_COMMAND = "midfill.accepted"
"""Command of every item: as the notification, of the whole."""

EXPERIMENTAL = {
    "midfill": {
        "inlineCompletionStreaming": {"partialResultToken": True},
        "status": STATUS,
        "stats": STATS,
        "shown": SHOWN,
        "accepted": ACCEPTED,
        "dismissed": DISMISSED,
        "candidates": CANDIDATES,
        "explain": EXPLAIN,
    }
}
"""``capabilities.experimental`` of the initialize result."""


@attrs.define
class InlineCompletionParams(types.InlineCompletionParams):
    """LSP's params, with the token that LSP 3.18 and lsprotocol leave out here."""

    partial_result_token: types.ProgressToken | None = None


@attrs.define
class ChangedDocument(types.TextDocumentIdentifier):
    """LSP's identifier of a changed document; before LSP 3.16 its version could be null."""

    version: int | None = None


@attrs.define
class ItemParams:
    """Params of ``midfill/shown`` and ``midfill/dismissed``."""

    item_id: str


@attrs.define
class AcceptedParams:
    """Params of ``midfill/accepted``."""

    item_id: str
    kind: Literal["full", "word", "line"]
    accepted_length: int | None = None
    """Characters that were accepted; None, for the whole, means all that was offered."""


@attrs.define
class CandidatesParams:
    """Params of ``midfill/candidates``."""

    text_document: types.TextDocumentIdentifier
    position: types.Position
    count: int


@attrs.define
class ExplainParams:
    """Params of ``midfill/explain``."""

    item_id: str | None = None
    """The suggestion's id; None: the one offered last."""


@attrs.define
class _Notification:
    method: str
    jsonrpc: str


@attrs.define
class _Request(_Notification):
    id: int | str


@attrs.define
class _Item(_Notification):
    params: ItemParams


@attrs.define
class _Accepted(_Notification):
    params: AcceptedParams


@attrs.define
class _Candidates(_Request):
    params: CandidatesParams


@attrs.define
class _Explain(_Request):
    params: ExplainParams


MESSAGES: dict[str, type[_Notification]] = {
    SHOWN: _Item,
    DISMISSED: _Item,
    ACCEPTED: _Accepted,
    CANDIDATES: _Candidates,
    EXPLAIN: _Explain,
}
"""How our own messages are read, by method; those that are not here have no params."""


def accepted_command(item_id: str) -> types.Command:
    """What a client runs after it has inserted an item; other clients find the id in it."""
    return types.Command("Accepted", ACCEPTED_COMMAND, arguments=[item_id])


@cache
def converter() -> Converter:
    """Turns JSON into LSP's types and back; one for all servers, because it learns types slowly."""
    made: Converter = default_converter()  # type: ignore[no-untyped-call]
    _read_documents(made)  # first: what reads params keeps how their parts are read
    _read_tokens(made)
    _write_item_ids(made)
    for params in (ItemParams, AcceptedParams, CandidatesParams, ExplainParams):
        names = {field.name: override(rename=_camel(field.name)) for field in attrs.fields(params)}
        made.register_structure_hook(params, make_dict_structure_fn(params, made, **names))  # type: ignore[arg-type]
    return made


def partial_result(
    items: Sequence[types.InlineCompletionItem], sequence: int, version: int
) -> dict[str, object]:
    """The value of a ``$/progress`` for a completion that is still growing.

    ::

        {"items": [...], "sequence": 1, "documentVersion": 7}
    """
    plain = [converter().unstructure(item) for item in items]
    return {"items": plain, "sequence": sequence, "documentVersion": version}


def _read_tokens(made: Converter) -> None:
    plain = made.get_structure_hook(types.InlineCompletionParams)

    def with_token(value: dict[str, Any], _: type) -> InlineCompletionParams:
        """Read LSP's fields, and the token beside them."""
        params = plain(value, types.InlineCompletionParams)
        fields = {f.name: getattr(params, f.name) for f in attrs.fields(type(params))}
        token = value.get("partialResultToken")
        return InlineCompletionParams(**fields, partial_result_token=token)

    made.register_structure_hook(types.InlineCompletionParams, with_token)


def _read_documents(made: Converter) -> None:
    """Documents without a version or a language, as some clients have them.

    What is not of its kind is refused here: cattrs would make the text "None" of null.
    """
    plain_position = made.get_structure_hook(types.Position)
    plain_item = made.get_structure_hook(types.TextDocumentItem)
    plain_changed = made.get_structure_hook(types.VersionedTextDocumentIdentifier)

    def item(value: dict[str, Any], _: type) -> types.TextDocumentItem:
        """Version 0, and the language that the file's name tells."""
        told = {name: field for name, field in value.items() if field is not None}
        name = PurePosixPath(unquote(str(value.get("uri")))).name
        known = {"version": 0, "languageId": language_id_of(name)} | told
        _require(str, told, "uri", "text")
        _require(int, known, "version")
        document: types.TextDocumentItem = plain_item(known, types.TextDocumentItem)
        return document

    def changed(value: dict[str, Any], _: type) -> object:
        """LSP's own, or one without a version."""
        _require(str, value, "uri")
        if value.get("version") is None:
            return ChangedDocument(value["uri"])
        _require(int, value, "version")
        return plain_changed(value, types.VersionedTextDocumentIdentifier)

    def position(value: dict[str, Any], _: type) -> types.Position:
        """Two whole numbers."""
        _require(int, value, "line", "character")
        place: types.Position = plain_position(value, types.Position)
        return place

    def changes(value: dict[str, Any], _: type) -> types.DidChangeTextDocumentParams:
        """Each with a text."""
        for change in value["contentChanges"]:
            _require(str, change, "text")
        made_changes: types.DidChangeTextDocumentParams = plain_changes(
            value, types.DidChangeTextDocumentParams
        )
        return made_changes

    made.register_structure_hook(types.Position, position)
    made.register_structure_hook(types.TextDocumentItem, item)
    made.register_structure_hook(types.VersionedTextDocumentIdentifier, changed)
    plain_changes = made.get_structure_hook(types.DidChangeTextDocumentParams)
    made.register_structure_hook(types.DidChangeTextDocumentParams, changes)


def _require(kind: type, value: dict[str, Any], *names: str) -> None:
    """Raise TypeError unless all these fields are there and of this kind; true is no number."""
    for name in names:
        field = value[name]
        if not isinstance(field, kind) or isinstance(field, bool):
            raise TypeError(f"{name} must be of the type {kind.__name__}")


def _write_item_ids(made: Converter) -> None:
    """``itemId`` beside the fields of LSP, for clients that can read it there."""
    plain = made.get_unstructure_hook(types.InlineCompletionItem)

    def with_id(item: types.InlineCompletionItem) -> dict[str, Any]:
        """Write LSP's fields, and the id beside them."""
        fields: dict[str, Any] = plain(item)
        command = item.command
        if command is not None and command.command == ACCEPTED_COMMAND and command.arguments:
            fields["itemId"] = command.arguments[0]
        return fields

    made.register_unstructure_hook(types.InlineCompletionItem, with_id)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
