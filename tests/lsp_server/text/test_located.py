"""Holes in documents, and where their files are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.lsp_server.text.located import (
    Hole,
    Located,
    name_in,
    path_in,
    path_of,
    root_of,
)
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


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(NAMES.filter(lambda name: name not in (".", "..")), min_size=1))
def test_every_name_of_a_file_survives_its_uri(names: list[str]) -> None:
    """Hash signs, per cents, question marks, semicolons, colons, spaces."""
    path = Path("/", *names)
    assert path_of(path.as_uri()) == path
    assert path_of(f"file://localhost{path.as_uri()[7:]}") == path


@given(st.binary(min_size=1).filter(lambda name: not set(name) & set(b"/\0.")))
def test_so_does_one_that_is_no_text(name: bytes) -> None:
    """It is bytes to the file system."""
    path = Path(os.fsdecode(b"/project/" + name))
    assert path_of(path.as_uri()) == path
    name_in(Path("/project"), path).encode()


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///a/../b/./c.py", "/b/c.py"),
        ("file:///a%2520b", "/a%20b"),
        ("file:///%23x/a.py", "/#x/a.py"),
        ("file:///C%23/a.py", "/C#/a.py"),
        ("file:///a%3Fb%3Bc%25", "/a?b;c%"),
        ("file:///a%00b", None),
        ("file:a.py", None),
        ("file://[", None),
        ("file:///\ud800.py", "/?.py"),
    ],
)
def test_a_uri_is_decoded_once(uri: str, path: str | None) -> None:
    """And dots in it are followed."""
    assert path_of(uri) == (None if path is None else Path(path))


def test_a_file_under_a_linked_folder_may_be_called_by_its_real_path(tmp_path: Path) -> None:
    """It is then in that folder, by the folder's own name."""
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    roots = [tmp_path / "other", tmp_path / "link"]
    uri = (tmp_path / "real/sub/a.py").as_uri()
    assert path_in(uri, roots) == tmp_path / "link/sub/a.py"
    located = Located.of(Snapshot.of("", uri=uri), 0, Hole("", ""), roots)
    assert (located.root, located.name) == (tmp_path / "link", "sub/a.py")
    assert path_in((tmp_path / "a.py").as_uri(), roots) == tmp_path / "a.py"
    (tmp_path / "self").symlink_to("self")
    assert path_in(uri, [tmp_path / "self"]) == tmp_path / "real/sub/a.py"
