"""The VS Code extension has the settings of the server, and a few that only it understands."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from repository import ROOT

from midfill.lsp_server.settings import Row, table

MANIFEST = ROOT / "editor-client" / "vscode" / "package.json"
CLIENT_ONLY = {
    "midfill.server.command",
    "midfill.server.install",
    "midfill.streaming",
    "midfill.trace.server",
}
"""What the extension keeps to itself, as in ``serverSettings.ts``."""

_NUMBER = re.compile(r"a (whole )?number from (\S+) to ([^\s,]+)")


def contributed() -> dict[str, dict[str, Any]]:
    """The schema of each setting in the manifest, of all its sections."""
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    sections = [section["properties"] for section in manifest["contributes"]["configuration"]]
    return {name: schema for section in sections for name, schema in section.items()}


def schema_of(row: Row) -> dict[str, Any]:
    """What VS Code has to know of an option of the server."""
    allowed = row.allowed.removesuffix(", or null")
    schema = _kind(allowed)
    if allowed != row.allowed:
        schema["type"] = [schema["type"], "null"]
    return {**schema, "default": json.loads(row.default), "markdownDescription": row.meaning}


def _kind(allowed: str) -> dict[str, Any]:
    if match := _NUMBER.fullmatch(allowed):
        whole, low, high = match.groups()
        kind = "integer" if whole else "number"
        return {"type": kind, "minimum": float(low), "maximum": float(high)}
    if allowed.startswith('"'):
        return {"type": "string", "enum": json.loads(f"[{allowed}]")}
    return {
        "true or false": {"type": "boolean"},
        "a text": {"type": "string"},
        "a list; each element a text": {"type": "array", "items": {"type": "string"}},
    }[allowed]


def test_the_extension_has_every_option_of_the_server_and_no_other() -> None:
    """Except for what only the extension understands."""
    assert set(contributed()) - CLIENT_ONLY == {row.name for row in table()}
    assert set(contributed()) >= CLIENT_ONLY


@pytest.mark.parametrize("row", table(), ids=lambda row: row.name)
def test_type_range_default_and_description_are_the_servers(row: Row) -> None:
    """Where it stands and where it may be set is the extension's own."""
    actual = contributed()[row.name]
    assert {key: actual[key] for key in actual if key not in ("order", "scope")} == schema_of(row)


def test_what_starts_a_program_or_reads_a_file_is_not_taken_from_an_untrusted_workspace() -> None:
    """A model and an adapter are files; the command is a program."""
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    restricted = manifest["capabilities"]["untrustedWorkspaces"]["restrictedConfigurations"]
    assert set(restricted) == {
        "midfill.adapter",
        "midfill.model",
        "midfill.server.command",
        "midfill.server.install",
    }
