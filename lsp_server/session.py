"""One client: its documents, its settings, and how they reach the completer and the engine."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from midfill.lsp_server.completion.completer import Completer
from midfill.lsp_server.completion.prewarm import Prewarmer
from midfill.lsp_server.engine_host import State
from midfill.lsp_server.log import ClientLog
from midfill.lsp_server.request.maker import RequestMaker
from midfill.lsp_server.settings import Settings, changed_options
from midfill.lsp_server.status import StatusReporter
from midfill.lsp_server.text.located import path_of

if TYPE_CHECKING:
    from pathlib import Path

    from lsprotocol import types
    from pygls.lsp.server import LanguageServer

    from midfill.lsp_server.configuration import Configuration
    from midfill.lsp_server.engine_host import EngineHost
    from midfill.lsp_server.text.documents import Documents

_log = logging.getLogger(__name__)


class Session:
    """What the server knows about one client.

    Args:
        server: The connection.
        host: The engine, shared with other clients.
        documents: The client's.
        configuration: Reads the client's settings.
    """

    def __init__(
        self,
        server: LanguageServer,
        host: EngineHost,
        documents: Documents,
        configuration: Configuration,
    ) -> None:
        self.documents = documents
        self.settings = Settings()
        self.is_configured = asyncio.Event()
        """Set when the client's first settings are in force, or it has not told them in time."""
        self._server = server
        self._host = host
        self._configuration = configuration
        self._reporter = StatusReporter(server)
        self._log: ClientLog | None = None
        self._requests = RequestMaker(documents)
        self.completer = Completer(host, documents, self._requests.make, self._reporter.work)
        self.prewarmer = Prewarmer(host, documents, self._requests.make_prewarm)

    def initialize(self, params: types.InitializeParams) -> None:
        """Take what the client says about itself."""
        general = params.capabilities.general
        self.documents.negotiate(general.position_encodings if general else None)
        self._configuration.initialize(params.initialization_options)

    async def start(self) -> None:
        """The client is ready: read its settings, see to an engine."""
        self._log = ClientLog(self._server.window_log_message)
        logging.getLogger("midfill").addHandler(self._log)
        self._host.status.listen(self._reporter.engine_is)
        self._host.status.listen(self.prewarmer.engine_is)
        self._reporter.engine_is(self._host.status.now)
        self._configuration.register()
        self._apply(await self._configuration.read())
        self.is_configured.set()
        if self.settings.enabled and self._host.status.now.state is State.OFF:
            self._host.load(self.settings.engine_config())
        self.prewarmer.start()

    async def reconfigure(self, pushed: object) -> None:
        """The client's settings have changed; an engine that failed gets another chance."""
        self._apply(await self._configuration.read(pushed))
        if self.settings.enabled:
            self._host.load(self.settings.engine_config())

    def restart(self) -> None:
        """Load the model again, and say again what is wrong with it."""
        self._reporter.forget_shown()
        self.completer.forget()
        self._host.load(self.settings.engine_config())
        self._host.restart()

    def folders_changed(self) -> None:
        """The workspace has other folders."""
        self._requests.configure(self.settings, self._roots())

    def files_changed(self) -> None:
        """Files were saved, or changed behind the editor's back."""
        self._requests.files_changed()

    async def close(self) -> None:
        """The client is gone."""
        if self._log is not None:
            logging.getLogger("midfill").removeHandler(self._log)
            self._host.status.ignore(self._reporter.engine_is)
            self._host.status.ignore(self.prewarmer.engine_is)
        self._reporter.close()
        await self.prewarmer.close()
        self._requests.close()
        await self.completer.close()

    def _roots(self) -> list[Path]:
        """The workspace's folders on this machine; older clients have one root."""
        workspace = self._server.workspace
        own = (folder.uri for folder in workspace.folders.values())  # pygls' keys are decoded
        uris = tuple(own) or (workspace.root_uri or "",)
        return [path for path in map(path_of, uris) if path is not None]

    def _apply(self, settings: Settings) -> None:
        if settings != self.settings:
            _log.info("settings beside the defaults: %s", changed_options(settings))
        self.settings = settings
        self._requests.configure(settings, self._roots())
        self.completer.configure(settings)
        self.prewarmer.configure(settings)
        logging.getLogger("midfill").setLevel(settings.log_level.upper())
