r"""Recorded events without the user's words: what is left has the same shape.

A text becomes one of as many lines, and as wide in each encoding, so that positions stay valid: a
character is an "x", "é", "€" or "😀", by its bytes in UTF-8, and line ends stay. Beside texts of
prompts stand a length and a digest; equal texts of one recording have equal digests, and nobody can
guess a text by its digest, as the key to it is not kept. Kept are the words of the protocol and of
settings.

::

    {"uri": "file:///home/me/a.py", "text": "if ä:\n"}
    {"uri": "file:///5d0c93a1b2f04c77.py", "text": "xx éx\n"}
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

from midfill.lsp_server.recording.events import Event, Kind

_WIDTHS = (
    (re.compile("[^\n\r\x80-\U0010ffff]"), "x"),
    (re.compile("[\x80-\u07ff]"), "é"),
    (re.compile("[\u0800-\uffff]"), "€"),
    (re.compile("[\U00010000-\U0010ffff]"), "😀"),
)
_LONE = re.compile("[\ud800-\udfff]")
"""Halves of surrogate pairs, which JSON can tell and no encoding has."""
_WHOLE = frozenset({"capabilities", "clientInfo", "serverInfo", "registrations"})
"""Fields of the protocol in which nothing is the user's."""
_SETTINGS = frozenset({"initializationOptions", "settings"})
_OPTIONS = ("model", "adapter", "environment")
"""What a session begins with that may hold paths."""
_ENGINE = ("config", "info", "files")
_NAMES = frozenset(
    {"jsonrpc", "method", "languageId", "positionEncoding", "kind", "trace", "state", "token"}
    | {"id", "itemId", "partialResultToken", "workDoneToken", "command", "arguments", "section"}
    | {"dialect", "device", "dtype", "source", "scope", "priority"}
)
"""Fields whose texts are names of the protocol, or numbers that one side has given."""
_NAME = re.compile(r"[\w./$-]{1,80}")
_URI = re.compile(r"([a-z][a-z0-9+.-]*):.*?(\.[A-Za-z0-9]{1,8})?", re.DOTALL)
_SETTINGS_METHOD = "workspace/configuration"


class Shaper:
    """Takes the words out of a session's events, which come in order."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._asked_settings: set[str] = set()
        """Ids of the requests that are answered by settings."""

    def event(self, event: Event) -> Event:
        """The event without texts."""
        match event["kind"]:
            case Kind.BEGIN:
                told = {name: self._settings(event.get(name)) for name in _OPTIONS}
                return event | told | {"texts": False}
            case Kind.IN | Kind.OUT:
                return event | {"message": self._message(event["message"], event["kind"])}
            case Kind.RAW:
                return {name: value for name, value in event.items() if name != "body"}
            case Kind.ENGINE:
                return event | {name: self._settings(event[name]) for name in _ENGINE}
            case Kind.ASK:
                return event | {"request": self._request(event["request"])}
            case Kind.END:
                others = [self._measured(text) for text in event["alternatives"]]
                changed = {"text": self._measured(event["text"]), "alternatives": others}
                return event | changed | {"tokens": len(event["tokens"])}
            case Kind.ERROR:
                return event | {"error": shape(event["error"])}
        return event

    def _message(self, message: dict[str, Any], kind: str) -> Any:
        number = str(message.get("id"))
        if kind == Kind.OUT and message.get("method") == _SETTINGS_METHOD:
            self._asked_settings.add(number)
        if kind == Kind.IN and "result" in message and number in self._asked_settings:
            return message | {"result": self._settings(message["result"])}
        return self._walk(message, "")

    def _walk(self, value: Any, name: str) -> Any:
        if name in _WHOLE:
            return value
        if name in _SETTINGS:
            return self._settings(value)
        match value:
            case dict():
                return {_named(key): self._walk(inner, key) for key, inner in value.items()}
            case list():
                return [self._walk(inner, name) for inner in value]
            case str():
                return self._text(value, name)
        return value

    def _text(self, text: str, name: str) -> str | None:
        if name in _NAMES and _NAME.fullmatch(text):
            return text
        if name.lower().endswith("uri") and (match := _URI.fullmatch(text)):
            return f"{match[1]}:///{self._digest(text)}{match[2] or ''}"
        return None if name == "rootPath" else shape(text)

    def _settings(self, value: Any) -> Any:
        """Settings, in which single words stay: names of models, languages, choices."""
        match value:
            case dict():
                return {_named(key): self._settings(inner) for key, inner in value.items()}
            case list():
                return [self._settings(inner) for inner in value]
            case str():
                return _named(value)
        return value

    def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        context = [
            {"path": self._digest(piece["path"]), "text": self._measured(piece["text"])}
            for piece in request["context"]
        ]
        told = {name: self._measured(request[name]) for name in ("prefix", "suffix")}
        names = {name: self._name(request[name]) for name in ("repo_name", "path", "document")}
        return request | told | names | {"context": context}

    def _name(self, name: str | None) -> str | None:
        return name and self._digest(name)

    def _measured(self, text: str) -> dict[str, object]:
        return {"characters": len(text), "digest": self._digest(text)}

    def _digest(self, text: str) -> str:
        data = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, key=self._key, digest_size=8).hexdigest()


def shape(text: str) -> str:
    """A text of as many lines, and as wide, that says nothing."""
    text = _LONE.sub("x", text)
    for characters, stand_in in _WIDTHS:
        text = characters.sub(stand_in, text)
    return text


def _named(word: str) -> str:
    """A word, if it is one that only names something."""
    is_name = _NAME.fullmatch(word) is not None and "/" not in word
    return word if is_name else shape(word)
