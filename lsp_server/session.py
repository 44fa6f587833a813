"""One client: its documents, its settings, and how they reach the completer and the engine.

Settings come in layers: ``initializationOptions``, and over them what ``workspace/configuration``
answers or ``workspace/didChangeConfiguration`` pushes.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from midfill.lsp_server.completion.completer import Completer
from midfill.lsp_server.completion.prewarm import Prewarmer
from midfill.lsp_server.context.workspace_files import path_of
from midfill.lsp_server.engine_host import State
from midfill.lsp_server.log import ClientLog
from midfill.lsp_server.request.maker import RequestMaker
from midfill.lsp_server.settings import SECTION, Settings, parse
from midfill.lsp_server.status import StatusReporter
from midfill.lsp_server.text.documents import Documents, negotiate

if TYPE_CHECKING:
    from pathlib import Path

    from pygls.lsp.server import LanguageServer

    from midfill.engine.api import EngineConfig
    from midfill.lsp_server.engine_host import EngineHost
    from midfill.lsp_server.text.documents import Snapshot

_SCHEMES = ("file", "untitled", "vscode-notebook-cell", "vscode-remote", "vscode-vfs")
"""Of documents that a user edits; not of diffs, output panes, terminals, folder listings."""

_CONFIGURATION_SECONDS = 5.0
"""How long a client may take to answer before its settings count as not set."""

_log = logging.getLogger(__name__)


class Session:
    """What the server knows about one client.

    Args:
        server: The connection.
        host: The engine, shared with other clients.
        model: Overrides the client's setting.
        adapter: Overrides the client's setting.
    """

    def __init__(
        self,
        server: LanguageServer,
        host: EngineHost,
        model: str | None = None,
        adapter: str | None = None,
    ) -> None:
        self.documents = Documents()
        self.settings = Settings()
        self.capabilities = types.ClientCapabilities()
        self._server = server
        self._host = host
        self._model, self._adapter = model, adapter
        self.is_configured = asyncio.Event()
        """Set when the client's first settings are in force, or it has not told them in time."""
        self._options: object = None
        self._told: set[str] = set()
        self._reporter = StatusReporter(server, has_progress=False)
        self._log: ClientLog | None = None
        self._requests = RequestMaker(self.documents)
        self.completer = Completer(host, self.documents, self._requests.make, self._work)
        make_prewarm = self._requests.make_prewarm
        self.prewarmer = Prewarmer(host, self.documents, make_prewarm, self._prewarms)

    def initialize(self, params: types.InitializeParams) -> None:
        """Take what the client says about itself."""
        self.capabilities = params.capabilities
        general, window = params.capabilities.general, params.capabilities.window
        self.documents.encoding = negotiate(general.position_encodings if general else None)
        self._options = params.initialization_options
        has_progress = bool(window and window.work_done_progress)
        self._reporter = StatusReporter(self._server, has_progress=has_progress)

    async def start(self) -> None:
        """The client is ready: read its settings, see to an engine."""
        self._log = ClientLog(self._server.window_log_message)
        logging.getLogger("midfill").addHandler(self._log)
        self._host.listen(self._reporter.engine_is)
        self._host.listen(self.prewarmer.engine_is)
        self._reporter.engine_is(self._host.status)
        self._register()
        self._apply(await self._configuration())
        self.is_configured.set()
        if self.settings.enabled and self._host.status.state is State.OFF:
            self._host.load(self._engine_config())
        self.prewarmer.start()

    async def reconfigure(self, pushed: object) -> None:
        """The client's settings have changed; an engine that failed gets another chance."""
        self._apply(await self._configuration(pushed))
        if self.settings.enabled:
            self._host.load(self._engine_config())

    def restart(self) -> None:
        """Load the model again, and say again what is wrong with it."""
        self._reporter.forget_shown()
        self.completer.forget()
        self._host.load(self._engine_config())
        self._host.restart()

    def folders_changed(self) -> None:
        """The workspace has other folders."""
        self._requests.configure(self.settings, self._roots())

    def files_changed(self) -> None:
        """Files were saved, or changed behind the editor's back."""
        self._requests.files_changed()

    def serves(self, snapshot: Snapshot) -> bool:
        """Whether the user wants completions in this document."""
        return (
            self.settings.enabled
            and snapshot.language_id not in self.settings.disabled_languages
            and snapshot.uri.partition(":")[0] in _SCHEMES
        )

    async def close(self) -> None:
        """The client is gone."""
        if self._log is not None:
            logging.getLogger("midfill").removeHandler(self._log)
            self._host.ignore(self._reporter.engine_is)
            self._host.ignore(self.prewarmer.engine_is)
        self._reporter.close()
        await self.prewarmer.close()
        self._requests.close()
        await self.completer.close()

    def _prewarms(self, snapshot: Snapshot) -> bool:
        """Whether to prepare this document; in a single cache slot that would cost another's."""
        settings = self.settings
        is_possible = self.is_configured.is_set() and settings.cache_slots > 1
        return is_possible and settings.prewarm and self.serves(snapshot)

    def _work(self, is_busy: bool) -> None:  # noqa: FBT001 (a callback)
        self._reporter.work(is_busy)

    def _roots(self) -> list[Path]:
        """The workspace's folders on this machine; older clients have one root."""
        workspace = self._server.workspace
        uris = tuple(workspace.folders) or (workspace.root_uri or "",)
        return [path for path in map(path_of, uris) if path is not None]

    def _engine_config(self) -> EngineConfig:
        config = self.settings.engine_config()
        model, adapter = self._model or config.model, self._adapter or config.adapter
        return replace(config, model=model, adapter=adapter)

    def _register(self) -> None:
        """Ask for changes of the settings, which some clients send only to those who ask."""
        workspace = self.capabilities.workspace
        configuration = workspace and workspace.did_change_configuration
        if configuration and configuration.dynamic_registration:
            options = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
            method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
            registration = types.Registration("midfill-settings", method, options)
            self._server.client_register_capability(types.RegistrationParams([registration]))

    async def _configuration(self, pushed: object = None) -> object:
        """The client's settings: pulled, if it can answer, else what it has pushed."""
        workspace = self.capabilities.workspace
        if not (workspace and workspace.configuration):
            return pushed
        params = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
        try:
            answer = self._server.workspace_configuration_async(params)
            (settings,) = await asyncio.wait_for(answer, _CONFIGURATION_SECONDS)
        except (JsonRpcException, TimeoutError, ValueError) as error:
            _log.warning("the client does not tell its settings: %r", error)
            return pushed
        return settings

    def _apply(self, raw: object) -> None:
        settings, problems = parse(_overlaid(_unwrapped(self._options), _unwrapped(raw)))
        for problem in map(str, problems):
            if problem not in self._told:
                self._told.add(problem)
                _log.warning("%s", problem)
                message = types.ShowMessageParams(types.MessageType.Warning, problem)
                self._server.window_show_message(message)
        if settings != self.settings:
            self.settings = settings
            self.completer.forget()
        self._requests.configure(settings, self._roots())
        self.completer.debounce_ms = settings.completion.debounce_ms
        self.completer.prefetcher.is_on = settings.prefetch
        logging.getLogger("midfill").setLevel(settings.log_level.upper())


def _unwrapped(raw: object) -> object:
    """The options, which some clients send under the section's name."""
    return raw[SECTION] if isinstance(raw, dict) and set(raw) == {SECTION} else raw


def _overlaid(below: object, above: object) -> object:
    """The options of both, those above winning; anything but two objects is not mixed."""
    if above is None:
        return below
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return below | {key: _overlaid(below.get(key), value) for key, value in above.items()}
