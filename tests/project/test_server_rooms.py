"""The rooms of the server import downwards only, and no room knows the protocol."""

from __future__ import annotations

import ast

import pytest
from repository import ROOT

SERVER = "midfill.lsp_server."
MAY_IMPORT = {
    "wire": set[str](),
    "recording": {"wire", "engine_host", "messages", "server"},
    "text": set[str](),
    "context": {"text", "settings"},
    "judgement": set[str](),
    "request": {"context", "judgement", "text", "settings"},
    "completion": {"request", "text", "settings", "engine_host"},
    "settings": {"options", "text"},
    "engine_host": set[str](),
}
"""What else of the server a room, or a module beside the rooms, may import."""
PROTOCOL = {"cattrs", "pygls"}
"""What only the modules on top may import; ``text`` has one exception."""


def imports_of(name: str) -> set[str]:
    """The modules that a room or module of the server imports, wherever it does."""
    place = ROOT / "lsp_server" / name
    files = place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    froms = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    plain = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    return froms | plain


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_what_its_init_says(room: str) -> None:
    """So that a second protocol can stand on the same rooms."""
    own = {each.removeprefix(SERVER) for each in imports_of(room) if each.startswith(SERVER)}
    assert {each.partition(".")[0] for each in own} - {room} <= MAY_IMPORT[room]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_no_room_knows_the_protocol(room: str) -> None:
    """But for pygls' reading of file URIs."""
    known = {each for each in imports_of(room) if each.partition(".")[0] in PROTOCOL}
    assert known <= ({"pygls.uris"} if room == "text" else set())


def test_every_room_is_listed() -> None:
    """A new one is a decision about what it may import."""
    rooms = {path.parent.name for path in (ROOT / "lsp_server").glob("*/__init__.py")}
    assert rooms == MAY_IMPORT.keys() - {"settings", "engine_host"}
