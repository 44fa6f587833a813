"""The language server: which messages it takes, and who answers them. The only file with features.

Handlers turn LSP's values into ours and back; nothing is decided here.
"""

from __future__ import annotations

import asyncio
import re
import threading
from functools import partial
from typing import TYPE_CHECKING

import attrs
from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from midfill.lsp_server import VERSION
from midfill.lsp_server.configuration import Configuration
from midfill.lsp_server.dispatch import PyglsProtocol
from midfill.lsp_server.errors import answered, reported
from midfill.lsp_server.messages import (
    ACCEPTED,
    ACCEPTED_COMMAND,
    CANDIDATES,
    DISMISSED,
    EXPLAIN,
    RESTART,
    SHOWN,
    STATS,
    AcceptedParams,
    CandidatesParams,
    ExplainParams,
    InlineCompletionParams,
    ItemParams,
    accepted_command,
    converter,
    partial_result,
)
from midfill.lsp_server.processes import is_alive
from midfill.lsp_server.request.place import Ask
from midfill.lsp_server.session import Session
from midfill.lsp_server.settings import MOST_CANDIDATES
from midfill.lsp_server.text.documents import Documents, Edit
from midfill.lsp_server.text.lines import with_newlines

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.lsp_server.dispatch import Arrived
    from midfill.lsp_server.engine_host import EngineHost
    from midfill.lsp_server.request.place import Suggestion
    from midfill.lsp_server.text.documents import Snapshot

    Show = Callable[[list[Suggestion]], None]

_LAST = "\uffff"
"""A text that sorts after every label."""

_NEOVIM = "Neovim"
"""Neovim before 0.12 has no inline completion; its list inserts an edit's first word only."""

_WORD_AT_END = re.compile(r"\w+\Z")


class MidfillServer(LanguageServer):
    """One client's connection.

    Args:
        host: The engine, shared with other connections.
        model: Overrides the client's setting.
        adapter: Overrides the client's setting.
        token: What the client must send with ``initialize``; None: nothing.
        fixes_model: Whether the client has no say in the model and in how it runs.
    """

    protocol: PyglsProtocol

    def __init__(
        self,
        host: EngineHost,
        model: str | None = None,
        adapter: str | None = None,
        *,
        token: str | None = None,
        fixes_model: bool = False,
    ) -> None:
        documents = Documents()
        protocol = partial(PyglsProtocol, documents, token)
        super().__init__("midfill", VERSION, protocol_cls=protocol, converter_factory=converter)
        configuration = Configuration(self, model, adapter, fixes_model=fixes_model)
        self.session = Session(self, host, documents, configuration)
        self.editor: int | None = None
        """The client's process, unless it is in another container, where numbers mean others."""
        self.greeted = asyncio.Event()
        """Set when the client has sent ``initialize``."""
        self.leaving = threading.Event()
        """Set when the client has sent ``exit``."""
        _add_lifecycle(self)
        _add_documents(self)
        _add_settings(self)
        _add_inline_completion(self)
        _add_candidates(self)
        _add_items(self)

    @property
    def exit_code(self) -> int:
        """The process's exit code (LSP 3.18, "Exit Notification"): 0 only after ``shutdown``."""
        return 0 if self.protocol.is_shut_down and self.leaving.is_set() else 1

    @property
    def has_ended(self) -> bool:
        """Whether the client has sent ``exit``, or may not come in."""
        return self.leaving.is_set() or self.protocol.is_turned_away

    def greeted_by(self, process: int | None) -> None:
        """The client has said hello; its process has this number, if it tells one."""
        self.editor = process if process is not None and is_alive(process) else None
        self.greeted.set()

    def show_error(self, message: str) -> None:
        """Show a message to the user."""
        params = types.ShowMessageParams(types.MessageType.Error, message)
        self.window_show_message(params)

    def report_server_error(self, error: Exception, source: object) -> None:
        """Say nothing: pygls logs what it reports here, and the user has not asked."""


def _add_lifecycle(server: MidfillServer) -> None:
    session = server.session

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        """Take what the client is and can; the fallback is for those that lack the feature."""
        session.initialize(params)
        server.greeted_by(params.process_id)
        text = params.capabilities.text_document
        if text is None or text.inline_completion is None:
            client = params.client_info.name if params.client_info else ""
            _add_completion(server, cuts_edits=client == _NEOVIM)

    @server.feature(types.INITIALIZED)
    async def initialized(_: types.InitializedParams) -> None:
        """Begin the session."""
        with reported():
            await session.start()

    @server.feature(types.EXIT)
    def leave(_: None) -> None:
        """End the connection."""
        server.leaving.set()

    @server.feature(STATS)
    def stats(_: None) -> dict[str, object]:
        """Tell the counters."""
        return session.completer.stats.as_json()


def _add_documents(server: MidfillServer) -> None:
    session = server.session

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        """Follow a document from now on."""
        session.completer.edited(session.documents.open(params.text_document))
        session.prewarmer.opened(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        """Make the edits, and stop work that they put an end to."""
        document = params.text_document
        with reported():
            changes = params.content_changes
            snapshot = session.documents.change(document.uri, document.version, changes)
            session.completer.edited(snapshot)
            session.prewarmer.edited(snapshot.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        """Forget a document."""
        with reported():
            session.prewarmer.closed(params.text_document.uri)
            session.completer.closed(params.text_document.uri)
            session.documents.close(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def did_save(_: types.DidSaveTextDocumentParams) -> None:
        """Look at the disk again."""
        session.files_changed()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_watched_files(_: types.DidChangeWatchedFilesParams) -> None:
        """Look at the disk again."""
        session.files_changed()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def did_change_folders(_: types.DidChangeWorkspaceFoldersParams) -> None:
        """Gather context in the folders that the workspace has now."""
        session.folders_changed()


def _add_settings(server: MidfillServer) -> None:
    session = server.session

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(params: types.DidChangeConfigurationParams) -> None:
        """Use other settings from now on."""
        with reported():
            await session.reconfigure(params.settings)

    @server.command(RESTART)
    def restart() -> None:
        """Load the model again."""
        session.restart()


def _add_inline_completion(server: MidfillServer) -> None:
    # Without options pygls does not announce the feature, and VS Code never asks.
    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(
        request: Arrived[InlineCompletionParams],
    ) -> types.InlineCompletionList | None:
        """Suggest something at a position."""
        params = request.params
        kind = params.context.trigger_kind
        is_invoked = kind is types.InlineCompletionTriggerKind.Invoked
        reply = None
        with answered(server.show_error if is_invoked else None):
            snapshot = request.snapshot
            ask = Ask(
                snapshot,
                snapshot.offset_at(params.position),
                is_invoked,
                _selected(snapshot, params.context.selected_completion_info),
            )
            show = _progress(server, snapshot, params.partial_result_token)
            wanted = server.session.settings.completion.candidates if is_invoked else 1
            reply = await _complete(server, ask, show, wanted)
        return None if reply is None else _inline_list(snapshot, reply)


def _add_candidates(server: MidfillServer) -> None:
    @server.feature(CANDIDATES)
    async def candidates(
        request: Arrived[CandidatesParams],
    ) -> types.InlineCompletionList | None:
        """Suggest several things at a position."""
        params = request.params
        if not 2 <= params.count <= MOST_CANDIDATES:
            text = f"count is {params.count}; it must be 2 to {MOST_CANDIDATES}"
            raise JsonRpcInvalidParams(text)
        reply = None
        with answered(server.show_error):
            snapshot = request.snapshot
            ask = Ask(snapshot, snapshot.offset_at(params.position), is_invoked=True)
            reply = await _complete(server, ask, candidates=params.count)
        return None if reply is None else _inline_list(snapshot, reply)


def _add_items(server: MidfillServer) -> None:
    """What clients tell, and ask, about a suggestion."""
    completer = server.session.completer

    @server.feature(SHOWN)
    def shown(params: ItemParams) -> None:
        """Note what is on the screen, and prepare what may follow."""
        with reported():
            completer.shown(params.item_id)

    @server.feature(ACCEPTED)
    def accepted(params: AcceptedParams) -> None:
        """Note what was accepted."""
        length, is_whole = params.accepted_length, params.kind == "full"
        completer.items.accepted(params.item_id, length, is_whole=is_whole)

    @server.command(ACCEPTED_COMMAND)
    def accepted_whole(item_id: str) -> None:
        """Note that all of a suggestion was accepted."""
        completer.items.accepted(item_id, None, is_whole=True)

    @server.feature(DISMISSED)
    def dismissed(params: ItemParams) -> None:
        """Note what was turned away."""
        completer.dismissed(params.item_id)

    @server.feature(EXPLAIN)
    def explain(params: ExplainParams) -> dict[str, object] | None:
        """Tell how a suggestion came about."""
        item = completer.items.get(params.item_id)
        return None if item is None else item.explain().as_json()


def _add_completion(server: MidfillServer, *, cuts_edits: bool) -> None:
    """The fallback, for clients without inline completion."""
    as_item = _completion_item_without_edit if cuts_edits else _completion_item

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions())
    async def completion(
        request: Arrived[types.CompletionParams],
    ) -> types.CompletionList | None:
        """Suggest something, as an entry of a list."""
        reply = None
        with answered():
            snapshot = request.snapshot
            ask = Ask(snapshot, snapshot.offset_at(request.params.position))
            reply = await _complete(server, ask)
        if reply is None:
            return None
        items = [as_item(snapshot, suggestion) for suggestion in reply]
        return types.CompletionList(is_incomplete=True, items=items)


async def _complete(
    server: MidfillServer, ask: Ask, show: Show | None = None, candidates: int = 1
) -> list[Suggestion] | None:
    if ask.is_invoked:
        await server.session.is_configured.wait()
    if not server.session.settings.serves(ask.snapshot.uri, ask.snapshot.language_id):
        return None
    return await server.session.completer.complete(ask, show, candidates)


def _selected(snapshot: Snapshot, info: types.SelectedCompletionInfo | None) -> Edit | None:
    if info is None:
        return None
    start, end = snapshot.offset_at(info.range.start), snapshot.offset_at(info.range.end)
    return Edit(start, end, info.text)


def _progress(
    server: MidfillServer, snapshot: Snapshot, token: types.ProgressToken | None
) -> Show | None:
    """Sends what is shown as partial results, if the client has given a token for them."""
    if token is None:
        return None
    sequence = 0

    def show(suggestions: list[Suggestion]) -> None:
        """Send one state."""
        nonlocal sequence
        sequence += 1
        items = [_inline_item(snapshot, suggestion) for suggestion in suggestions]
        value = partial_result(items, sequence, snapshot.version)
        server.protocol.notify(types.PROGRESS, types.ProgressParams(token, value))

    return show


def _inline_list(snapshot: Snapshot, suggestions: list[Suggestion]) -> types.InlineCompletionList:
    return types.InlineCompletionList([_inline_item(snapshot, each) for each in suggestions])


def _inline_item(snapshot: Snapshot, suggestion: Suggestion) -> types.InlineCompletionItem:
    # Without a range VS Code replaces from the word's start to the end of the line.
    place = snapshot.range_of(suggestion.start, suggestion.end)
    command = accepted_command(suggestion.item_id)
    return types.InlineCompletionItem(suggestion.text, range=place, command=command)


def _completion_item(snapshot: Snapshot, suggestion: Suggestion) -> types.CompletionItem:
    """An item for a list; it replaces the word before the cursor, by which editors filter."""
    line_start = snapshot.line_start(snapshot.line_of(suggestion.start))
    word = _WORD_AT_END.search(snapshot.text, line_start, suggestion.start)
    start = word.start() if word else suggestion.start
    text = snapshot.text[start : suggestion.start] + suggestion.text
    first_line = with_newlines(text.strip()).partition("\n")[0]
    return types.CompletionItem(
        label=first_line,
        detail="midfill",
        documentation=text,
        preselect=False,
        sort_text=_LAST,
        filter_text=first_line,
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(snapshot.range_of(start, suggestion.end), text),
        command=accepted_command(suggestion.item_id),
    )


def _completion_item_without_edit(
    snapshot: Snapshot, suggestion: Suggestion
) -> types.CompletionItem:
    """An item for a client that replaces the word before the cursor by itself, and whole."""
    item = _completion_item(snapshot, suggestion)
    assert item.text_edit is not None
    text = with_newlines(item.text_edit.new_text)
    return attrs.evolve(item, insert_text=text, text_edit=None)
