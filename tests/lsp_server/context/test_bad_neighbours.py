"""One bad neighbour never fails a request: it is passed over, logged once, and explained."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from context_editor import HELP, MAIN, STORE, Editor

from midfill.lsp_server.context import cuts, sources
from midfill.lsp_server.context.sources import SOURCES, ContextSource
from midfill.lsp_server.context.workspace_files import WorkspaceFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from midfill.lsp_server.context.sources import Search


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    """With a main file that imports another one, and a neighbour."""
    editor = Editor(tmp_path)
    editor.write("store.py", STORE)
    editor.write("help.py", HELP)
    editor.open("main.py", MAIN)
    return editor


def link_to_itself(folder: Path) -> None:
    """A link that ends nowhere."""
    (folder / "self.py").symlink_to("self.py")


def links_in_a_circle(folder: Path) -> None:
    """Folders, each the other."""
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")


def undecodable_name(folder: Path) -> None:
    """Bytes that are no UTF-8."""
    with open(os.fsencode(folder) + b"/caf\xe9.py", "wb") as file:
        file.write(b"main = store = 1\n")


def strange_name(folder: Path) -> None:
    """A line end and an escape in a name."""
    (folder / "a\nb\x1b.py").write_text("main = store = 1\n")


def pipe(folder: Path) -> None:
    """Named like a source; reading it would wait for ever."""
    os.mkfifo(folder / "pipe.py")


def listener(folder: Path) -> None:
    """A socket, named like a source."""
    here = folder.parent / "s"
    with socket.socket(socket.AF_UNIX) as it:
        it.bind(str(here))
    here.rename(folder / "socket.py")


def broken_link(folder: Path) -> None:
    """A link to nothing."""
    (folder / "gone.py").symlink_to("nothing.py")


def folder_like_a_file(folder: Path) -> None:
    """Named like a source."""
    (folder / "folder.py").mkdir()


@pytest.mark.parametrize(
    "make",
    [
        link_to_itself,
        links_in_a_circle,
        undecodable_name,
        strange_name,
        pipe,
        listener,
        broken_link,
        folder_like_a_file,
    ],
    ids=lambda make: make.__name__,
)
def test_the_others_are_shown_beside_a_bad_file(
    editor: Editor, make: Callable[[Path], None]
) -> None:
    """Whatever it is; and all that is shown can be written as UTF-8."""
    make(editor.root)
    pieces = editor.context("main.py", 5)
    assert {"help.py", "store.py"} <= {piece.path for piece in pieces}
    for piece in pieces:
        assert piece.path.encode().decode().isprintable()


@pytest.mark.parametrize("name", ["x" * 300, "a." * 3000 + "b", "a\0b", "..", "é" * 200])
@pytest.mark.parametrize(
    ("language_id", "line"),
    [
        ("python", "import {}"),
        ("python", "from {} import {}"),
        ("javascript", 'import "./{}"'),
        ("c", '#include "{}"'),
        ("java", "import {};"),
        ("rust", "mod {};"),
        ("go", 'import "{}"'),
    ],
)
def test_no_import_can_fail_a_request(
    tmp_path: Path, language_id: str, line: str, name: str
) -> None:
    """Names too long for any file, and names that no file has."""
    editor = Editor(tmp_path)
    suffix = {"python": "py", "javascript": "js", "rust": "rs"}.get(language_id, language_id)
    editor.write(f"help.{suffix}", HELP)
    editor.open(f"main.{suffix}", line.format(name, name) + "\n" + MAIN, language_id)
    assert editor.paths(f"main.{suffix}", 5) == [f"help.{suffix}"]


def test_what_was_passed_over_is_told_and_logged_once(
    editor: Editor, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time it is looked for; without a traceback."""
    pipe(editor.root)
    for _ in range(3):
        editor.gatherer.invalidate()
        skipped = editor.gathered("main.py", 5).skipped
        assert [(skip.what, skip.why) for skip in skipped] == [
            (str(editor.root / "pipe.py"), "it is no regular file")
        ]
    assert [record.exc_info for record in caplog.records] == [None]


def test_a_file_that_vanishes_is_passed_over(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list and the reading."""
    siblings = WorkspaceFiles.siblings

    def vanish(files: WorkspaceFiles, path: Path, *rest: object) -> list[Path]:
        return [*siblings(files, path, *rest), path.with_name("gone.py")]  # type: ignore[arg-type]

    monkeypatch.setattr(WorkspaceFiles, "siblings", vanish)
    found = editor.gathered("main.py", 5)
    assert [piece.path for piece in found.pieces] == ["help.py", "store.py"]
    assert [skip.why for skip in found.skipped] == ["No such file or directory"]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), MemoryError("x")])
def test_a_file_that_cannot_be_read_is_passed_over(
    editor: Editor, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Whatever the reason."""
    read_bytes = type(editor.root).read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "store.py":
            raise error
        return read_bytes(path)

    monkeypatch.setattr(type(editor.root), "read_bytes", refuse)
    found = editor.gathered("main.py", 5)
    assert [piece.path for piece in found.pieces] == ["help.py"]
    assert [skip.what for skip in found.skipped] == [str(editor.root / "store.py")]


def test_a_folder_that_cannot_be_listed_is_passed_over(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is imported is found all the same."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    found = editor.gathered("main.py", 5)
    assert [piece.path for piece in found.pieces] == ["store.py"]
    assert (str(editor.root), "Permission denied") in {(s.what, s.why) for s in found.skipped}


def test_a_source_that_fails_costs_itself_only(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it found before counts."""

    def fail(search: Search) -> Iterator[tuple[Path, float]]:
        yield search.spot.root / "help.py", 1.0
        raise RuntimeError("a defect")

    row = ContextSource("failing", 0.2, fail)
    monkeypatch.setattr(sources, "SOURCES", (row, *SOURCES))
    found = editor.gathered("main.py", 5)
    why = {p.path: each.reasons for p, each in zip(found.pieces, found.provenance, strict=True)}
    assert "failing" in why["help.py"]
    assert "imported" in why["store.py"]
    assert [(skip.what, skip.why) for skip in found.skipped] == [
        ("the source 'failing'", "RuntimeError: a defect")
    ]


def test_a_part_that_cannot_be_cut_out_costs_itself_only(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other files are shown."""
    excerpt = cuts.excerpt

    def fail(text: str, *rest: object) -> object:
        if text == HELP:
            raise RecursionError
        return excerpt(text, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(cuts, "excerpt", fail)
    assert editor.paths("main.py", 5) == ["store.py"]


@pytest.mark.parametrize("uri", ["file:///%00.py", "file://[", "file:///a%ff%fe.py", "file://h/a"])
def test_a_document_with_a_strange_uri_costs_itself_only(editor: Editor, uri: str) -> None:
    """Clients send what they like."""
    editor.open(uri, "main = store = 1\n")
    assert editor.paths("main.py", 5) == ["help.py", "store.py"]


def test_half_a_character_in_another_document_reaches_no_prompt(editor: Editor) -> None:
    """JSON can hold it, UTF-8 cannot."""
    editor.open("lib/half.py", "main = store = '\ud800'\n")
    pieces = {piece.path: piece.text for piece in editor.context("main.py", 5)}
    assert pieces["lib/half.py"] == "main = store = '?'\n"


def test_a_context_that_cannot_be_gathered_is_empty(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect of ours costs the context, not the completion."""

    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("midfill.lsp_server.context.gatherer.ranked", fail)
    found = editor.gathered("main.py", 5)
    assert found.pieces == ()
    assert found.skipped[-1].why == "RuntimeError: a defect"
