"""Which folders a client opened: by its own URIs, each decoded once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import writing
from lsp_lab import lab

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["#x", "C#", "a%20b", "a b", "a?b", "a;b", "é", "100%", "x:y"])
@pytest.mark.parametrize("has_folders", [True, False])
async def test_a_folder_of_any_name_is_the_workspace_and_nothing_above_it(
    tmp_path: Path, name: str, has_folders: bool
) -> None:
    """Files above are not read, those in it are."""
    root = tmp_path / name
    root.mkdir()
    (tmp_path / "shapes.py").write_text("def area(shape):\n    return shape.outside\n")
    (root / "lines.py").write_text("def length(line):\n    return line.inside\n")
    uri = (root / "main.py").as_uri()
    folders = {"workspaceFolders": [{"uri": root.as_uri(), "name": "work"}]}
    async with lab(writing("z")) as it:
        await it.begin(**(folders if has_folders else {"rootUri": root.as_uri()}))
        it.client.open("import lines, shapes\n", uri, "python")
        await it.client.complete(1, 0, uri=uri)
        (request,) = it.engine.requests
    assert [piece.path for piece in request.context] == ["lines.py"]
    assert (request.path, request.repo_name) == ("main.py", name)


async def test_dots_and_links_lead_to_the_same_folder(tmp_path: Path) -> None:
    """The document comes by its real path."""
    real = tmp_path / "real"
    real.mkdir()
    (real / "lines.py").write_text("def length(line):\n    return line.inside\n")
    (tmp_path / "link").symlink_to("real")
    folders = [{"uri": f"{tmp_path.as_uri()}/real/../link", "name": "work"}]
    uri = (real / "main.py").as_uri()
    async with lab(writing("z")) as it:
        await it.begin(workspaceFolders=folders)
        it.client.open("import lines\n", uri, "python")
        await it.client.complete(1, 0, uri=uri)
        (request,) = it.engine.requests
    assert [piece.path for piece in request.context] == ["lines.py"]
