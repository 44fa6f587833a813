"""Holes in documents, and where their files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from midfill.lsp_server.text.located import Hole, Located, path_of, root_of
from midfill.lsp_server.text.snapshot import Snapshot


def test_a_path_belongs_to_the_innermost_workspace_folder(tmp_path: Path) -> None:
    """There may be several."""
    roots = [tmp_path, tmp_path / "sub"]
    assert root_of(tmp_path / "sub/x/a.py", roots) == tmp_path / "sub"
    assert root_of(tmp_path / "b.py", roots) == tmp_path
    assert root_of(tmp_path.parent / "c.py", roots) is None


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///project/a%20b/%C3%A9.py", "/project/a b/é.py"),
        ("vscode-notebook-cell:/project/n.ipynb#W0", "/project/n.ipynb"),
        ("untitled:Untitled-1", None),
        ("git:/project/a.py?ref", None),
        ("file:", None),
        ("", None),
    ],
)
def test_files_and_notebook_cells_have_a_path(uri: str, path: str | None) -> None:
    """Other documents are on no disk."""
    assert path_of(uri) == (None if path is None else Path(path))


@pytest.mark.parametrize(
    ("uri", "name", "root"),
    [
        ("file:///project/app/src/m.lua", "src/m.lua", "app"),
        ("file:///project/m.lua", "m.lua", "project"),
        ("file:///home/u/m.lua", "m.lua", None),
        ("untitled:Untitled-1", None, None),
    ],
)
def test_a_hole_knows_its_file(uri: str, name: str | None, root: str | None) -> None:
    """By its name from the innermost workspace folder; the rest of the path is private."""
    snapshot = Snapshot.of("a\r\nb", uri=uri, language_id="lua")
    located = Located.of(
        snapshot, 1, Hole.of(snapshot.text, 1, 4), [Path("/project"), Path("/project/app")]
    )
    assert located.name == name
    assert (located.root and located.root.name) == root
    assert located.language.line_comment == "--"
    assert located.hole == Hole("a", "")


def test_a_hole_has_plain_line_ends_on_both_sides() -> None:
    """Whatever the document has."""
    assert Hole.of("a\r\nb OLD\rc\n", 5, 8) == Hole("a\nb ", "\nc\n")
