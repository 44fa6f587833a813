"""No secret reaches the engine, and none of the user's text is changed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from fakes import writing
from lsp_lab import lab
from planted_secrets import planted

if TYPE_CHECKING:
    from pathlib import Path

PLANTED = planted()


def said(request: Any) -> str:
    """All that a request holds."""
    return repr(asdict(request))


@pytest.mark.parametrize("kind", PLANTED)
async def test_no_secret_reaches_the_engine(tmp_path: Path, kind: str) -> None:
    """From the document, another open one, a neighbour, an imported or an ignored file."""
    lines, secret = PLANTED[kind]
    use = f"def main(store):\n    return store.main\n\n\n{lines}\n"
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    for name in ("near", "store", "ignored"):
        (tmp_path / f"{name}.py").write_text(use.replace("main", f"main_{name}"))
    (tmp_path / ".env").write_text(lines)
    uri, other = ((tmp_path / name).as_uri() for name in ("main.py", "other.py"))
    folders = [{"uri": tmp_path.as_uri(), "name": "work"}]
    text = f"from store import main_store\nimport ignored\n{lines}\nmain\n{lines}\n"
    row = text.split("\n").index("main")
    async with lab(writing("z")) as it:
        await it.begin(workspaceFolders=folders)
        it.client.open(use.replace("main", "main_other"), other, "python")
        it.client.open(text, uri, "python")
        reply = await it.client.complete(row, 4, uri=uri)
        asked = [request for request in it.engine.requests if request.prefix]
    assert reply["items"][0]["insertText"] == "z"
    request = asked[-1]
    assert {piece.path for piece in request.context} >= {"near.py", "store.py", "other.py"}
    assert not any(repr(secret)[1:-1] in said(request) for request in asked)
    assert len(request.prefix + request.suffix) == len(text)
    assert request.prefix.endswith("\nmain")


async def test_masking_can_be_switched_off(tmp_path: Path) -> None:
    """For the document and the others."""
    lines, secret = PLANTED["password"]
    (tmp_path / "near.py").write_text(f"x = 1\n{lines}\n")
    uri = (tmp_path / "main.py").as_uri()
    folders = [{"uri": tmp_path.as_uri(), "name": "work"}]
    async with lab(writing("z")) as it:
        options = {"context": {"maskSecrets": False}}
        await it.begin(workspaceFolders=folders, options=options)
        it.client.open(f"{lines}\nx = 1\n", uri, "python")
        await it.client.complete(1, 0, uri=uri)
        request = it.engine.requests[-1]
    assert secret in request.prefix
    assert secret in request.context[0].text


@pytest.mark.parametrize(
    "name",
    [".env", "prod.env", "server.pem", "both.py", "mine.py", "link.py", "sub/x.py", ".ssh/x"],
)
@pytest.mark.parametrize("enabled", [True, False])
async def test_a_hidden_document_gets_no_completions(
    tmp_path: Path, name: str, enabled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is empty; the reason is told, and logged once."""
    (tmp_path / ".gitignore").write_text("both.py\n")
    (tmp_path / ".midfillignore").write_text("mine.py\nboth.py\nsub/\n")
    (tmp_path / "link.py").symlink_to(".env")
    uri = (tmp_path / name).as_uri()
    folders = [{"uri": tmp_path.as_uri(), "name": "work"}]
    async with lab(*(writing("") for _ in range(3))) as it:
        await it.begin(workspaceFolders=folders, options={"context": {"enabled": enabled}})
        it.client.open("SECRET_LINE\n", uri, "python")
        replies = [await it.client.complete(0, column, uri=uri) for column in (0, 1, 2)]
        told = await it.client.request("midfill/explain", {"itemId": None})
        assert not any("SECRET_LINE" in said(request) for request in it.engine.requests)
        assert not any("S" in request.prefix for request in it.engine.requests)
        assert {request.max_tokens for request in it.engine.requests} == {0}
    assert replies == [{"items": []}] * 3
    assert [skip["what"] for skip in told["skipped"]] == ["this document"]
    assert "skipped" in told["report"]
    assert len([r for r in caplog.records if "no completions in it" in r.getMessage()]) == 1


@pytest.mark.parametrize("name", ["ignored.py", "build/x.py", "node_modules/a.js"])
async def test_what_only_git_ignores_is_completed_if_it_is_opened(
    tmp_path: Path, name: str
) -> None:
    """Nor is what a build leaves behind private: the user is looking at it."""
    (tmp_path / ".gitignore").write_text("ignored.py\n")
    folders = [{"uri": tmp_path.as_uri(), "name": "work"}]
    async with lab(writing("z")) as it:
        await it.begin(workspaceFolders=folders)
        uri = (tmp_path / name).as_uri()
        it.client.open("x = 1\n", uri, "python")
        await it.client.complete(0, 5, uri=uri)
        assert it.engine.requests[-1].prefix == "x = 1"


@pytest.mark.parametrize("name", ["a.py", "build.py", "elsewhere/env.py"])
async def test_other_documents_outside_of_the_workspace_get_completions(
    tmp_path: Path, name: str
) -> None:
    """Only the names of secrets count there."""
    async with lab(writing("z")) as it:
        await it.begin()
        uri = (tmp_path / "build" / name).as_uri()
        it.client.open("x", uri, "python")
        assert (await it.client.complete(0, 1, uri=uri))["items"][0]["insertText"] == "z"
