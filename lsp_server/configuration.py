"""The settings of one client, from all the places where it may say them.

They come in layers: ``initializationOptions``, over them what ``workspace/configuration`` answers
or ``workspace/didChangeConfiguration`` pushes, and over all the command line's model and adapter.
Where clients share a model, none of them chooses it, or how it runs.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from midfill.engine.api import EngineConfig
from midfill.lsp_server.settings import SECTION, Settings, parse
from midfill.lsp_server.wire.access import without_token

if TYPE_CHECKING:
    from pygls.lsp.server import LanguageServer

_ANSWER_SECONDS = 5.0
"""How long a client may take to answer before its settings count as not set."""

_log = logging.getLogger(__name__)


class Configuration:
    """Reads a client's settings, and tells the user once what is wrong with them.

    Args:
        server: The connection.
        model: Overrides the client's setting.
        adapter: Overrides the client's setting.
        fixes_model: Whether the client has no say in the model and in how it runs.
    """

    def __init__(
        self,
        server: LanguageServer,
        model: str | None = None,
        adapter: str | None = None,
        *,
        fixes_model: bool = False,
    ) -> None:
        self._server = server
        self._fixes_model = fixes_model
        self._model, self._adapter = model, adapter
        self._options: object = None
        self._told: set[str] = set()

    def initialize(self, options: object) -> None:
        """Take the lowest layer, any JSON value."""
        self._options = without_token(options)

    def register(self) -> None:
        """Ask for changes of the settings, which some clients send only to those who ask."""
        workspace = self._server.client_capabilities.workspace
        configuration = workspace and workspace.did_change_configuration
        if configuration and configuration.dynamic_registration:
            options = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
            method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
            registration = types.Registration("midfill-settings", method, options)
            self._server.client_register_capability(types.RegistrationParams([registration]))

    async def read(self, pushed: object = None) -> Settings:
        """All settings: pulled, if the client can answer, else with what it has pushed."""
        above = await self._pulled(pushed)
        settings, problems = parse(_overlaid(_unwrapped(self._options), _unwrapped(above)))
        for problem in map(str, problems):
            self._tell_once(problem)
        if self._fixes_model:
            settings = self._with_fixed_model(settings)
        model, adapter = self._model or settings.model, self._adapter or settings.adapter
        return replace(settings, model=model, adapter=adapter)

    async def _pulled(self, pushed: object) -> object:
        workspace = self._server.client_capabilities.workspace
        if not (workspace and workspace.configuration):
            return pushed
        params = types.ConfigurationParams([types.ConfigurationItem(section=SECTION)])
        try:
            answer = self._server.workspace_configuration_async(params)
            answered = await asyncio.wait_for(answer, _ANSWER_SECONDS)
            (settings,) = (None,) if answered is None else answered
        except (JsonRpcException, TimeoutError, ValueError) as error:
            _log.warning("the client does not tell its settings: %r", error)
            return pushed
        return settings

    def _with_fixed_model(self, settings: Settings) -> Settings:
        """The settings without what they say of the model; that they did is logged once."""
        usual = Settings()
        names = [field.name for field in fields(EngineConfig) if hasattr(usual, field.name)]
        ignored = [name for name in names if getattr(settings, name) != getattr(usual, name)]
        text = f"clients share the model; ignored the settings {', '.join(ignored)}"
        if ignored and text not in self._told:
            self._told.add(text)
            _log.warning("%s", text)
        return replace(settings, **{name: getattr(usual, name) for name in ignored})

    def _tell_once(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            _log.warning("%s", problem)
            message = types.ShowMessageParams(types.MessageType.Warning, problem)
            self._server.window_show_message(message)


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
