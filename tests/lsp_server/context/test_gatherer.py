"""The context of a completion: what is in it, and that it stays while the user types."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from context_editor import HELP, MAIN, SETTINGS, STORE, VIEW, Editor

from midfill.engine.api import ContextPiece
from midfill.lsp_server.context.gatherer import FAR_LINES, MAX_REMEMBERED
from midfill.lsp_server.context.sources import NAME_WEIGHTS, SOURCES
from midfill.lsp_server.context.workspace_files import WorkspaceFiles
from midfill.lsp_server.text.documents import Snapshot

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    """With a main file that imports another one, and a neighbour."""
    editor = Editor(tmp_path)
    editor.write("store.py", STORE)
    editor.write("help.py", HELP)
    editor.write("notes.txt", "main store")
    editor.open("main.py", MAIN)
    return editor


def test_imported_files_and_neighbours_are_shown_from_the_disk(editor: Editor) -> None:
    """The least relevant first, named from the workspace folder."""
    pieces = editor.context("main.py", 5)
    assert pieces == (ContextPiece("help.py", HELP), ContextPiece("store.py", STORE))


def test_open_documents_are_shown_as_they_are_in_the_editor(editor: Editor) -> None:
    """Not as they are on disk."""
    editor.open("store.py", STORE + "    # unsaved main\n")
    pieces = {piece.path: piece.text for piece in editor.context("main.py", 5)}
    assert pieces["store.py"] == STORE + "    # unsaved main\n"
    assert list(pieces) == ["help.py", "store.py"]


def test_recently_edited_documents_come_before_other_open_ones(editor: Editor) -> None:
    """The last edited one counts most."""
    for name in ("lib/a.py", "lib/b.py", "lib/c.py"):
        editor.open(name, f"def {name[4]}_main(store):\n    return 1\n")
    editor.insert("lib/c.py", 1, "0")
    editor.insert("lib/a.py", 1, "0")
    order = [path for path in editor.paths("main.py", 5) if path.startswith("lib")]
    assert order == ["lib/b.py", "lib/c.py", "lib/a.py"]


def test_a_long_edited_document_is_cut_to_its_edits(editor: Editor) -> None:
    """Even if the user has moved on."""
    editor.open("big.py", "".join(f"main_{n} = store({n})\n" for n in range(500)))
    editor.insert("big.py", 300, "  # here")
    (piece,) = [piece for piece in editor.context("main.py", 5) if piece.path == "big.py"]
    assert "main_300 = store(300)  # here\n" in piece.text
    assert "main_290 = " in piece.text
    assert "main_499 = " not in piece.text


def test_a_long_imported_file_is_cut_to_the_imported_names(editor: Editor) -> None:
    """Their definitions in outline, nothing else."""
    other = "".join(f"def other_{n}():\n    return {n}\n\n\n" for n in range(100))
    editor.write("store.py", f"{other}{STORE}{other}")
    editor.gatherer.invalidate()
    (piece,) = [piece for piece in editor.context("main.py", 5) if piece.path == "store.py"]
    assert piece.text == "class Store:\n    def get(self, key):\n"


@pytest.mark.parametrize(
    ("switch", "missing"),
    [
        ("enabled", {"store.py", "help.py", "lib/open.py", "lib/edited.py"}),
        ("imports", {"lib/imported.py"}),
        ("neighbours", {"help.py"}),
        ("open_documents", {"lib/open.py"}),
    ],
)
def test_each_source_can_be_switched_off(editor: Editor, switch: str, missing: set[str]) -> None:
    """The others stay."""
    off = Editor(editor.root, replace(SETTINGS, **{switch: False}))
    found = []
    for client in (editor, off):
        client.write("lib/imported.py", "def main_imported(store):\n    return store.main\n")
        client.open("main.py", MAIN + "from lib import imported\n")
        client.open("lib/open.py", "def main_open(store):\n    return store, main_open\n")
        client.open("lib/edited.py", "def main_edited(store):\n    return main_edited, store\n")
        client.insert("lib/edited.py", 1, " ")
        found.append(set(client.paths("main.py", 5)))
    assert missing <= found[0] - found[1]
    if switch != "enabled":
        assert found[0] - found[1] == missing


def test_recent_edits_can_be_switched_off(editor: Editor) -> None:
    """The document is then as good as any open one, and cut like one."""
    off = Editor(editor.root, replace(SETTINGS, recent_edits=False))
    off.open("main.py", MAIN)
    off.open("big.py", "".join(f"main_{n} = store({n})\n" for n in range(500)))
    off.insert("big.py", 300, "  # here")
    pieces = {piece.path: piece.text for piece in off.context("main.py", 5)}
    assert pieces["big.py"].startswith("main_0 = ")
    assert "# here" not in pieces["big.py"]


def test_cells_of_the_same_notebook_are_the_most_relevant(editor: Editor) -> None:
    """They are documents of one path."""
    cell = "vscode-notebook-cell:{}/book.ipynb#{}"
    first, second = (cell.format(editor.root, n) for n in "12")
    editor.open(first, "import pandas\nframe = pandas.main\n")
    editor.open(second, "frame.\n")
    editor.open("lib/a.py", "frame = main\n")
    pieces = editor.context(second)
    assert pieces[-1] == ContextPiece("book.ipynb", "import pandas\nframe = pandas.main\n")


@pytest.mark.parametrize(
    "name", [".env", "build/x.py", "ignored.py", "untitled:Untitled-1", "file:///elsewhere/x.py"]
)
def test_what_may_not_be_shown_is_not_even_if_it_is_open(editor: Editor, name: str) -> None:
    """Secrets, ignored files, files elsewhere, and texts that are no files."""
    editor.write(".gitignore", "ignored.py\n")
    editor.open(name, "main = store = 'SECRET'\n")
    editor.insert(name, 0, "  # edited")
    assert editor.paths("main.py", 5) == ["help.py", "store.py"]


@pytest.mark.parametrize("name", ["untitled:Untitled-1", "file:///elsewhere/x.py"])
def test_a_document_outside_of_the_workspace_has_no_context(editor: Editor, name: str) -> None:
    """Nobody knows what would belong to it."""
    editor.open(name, MAIN)
    assert editor.context(name) == ()


def test_typing_200_characters_changes_the_context_zero_times(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything looked up on disk for it."""
    before = editor.context("main.py", 5)
    assert before

    def refuse(*_: object) -> None:
        pytest.fail("the disk was touched")

    for name in ("read", "allows", "siblings", "refresh"):
        monkeypatch.setattr(WorkspaceFiles, name, refuse)
    line = 5
    for character in ("value = store.get(help) + view\n    " * 6)[:200]:
        editor.insert("main.py", line, character)
        line += character == "\n"
        assert editor.context("main.py", line) is before


def test_the_context_stays_where_it_is_when_something_is_added(editor: Editor) -> None:
    """New parts come next to the prefix, although they may be less relevant."""
    before = editor.context("main.py", 5)
    editor.open("lib/view.py", VIEW)
    after = editor.context("main.py", 5)
    assert after == (*before, ContextPiece("lib/view.py", VIEW))


def test_an_edit_elsewhere_changes_only_what_was_edited(editor: Editor) -> None:
    """It moves to the end."""
    editor.open("lib/view.py", VIEW)
    before = editor.context("main.py", 5)
    editor.insert("lib/view.py", 1, "[0]")
    after = editor.context("main.py", 5)
    assert after[:-1] == tuple(piece for piece in before if piece.path != "lib/view.py")
    assert after[-1] == ContextPiece("lib/view.py", VIEW.rstrip() + "[0]\n")


def test_closing_a_document_takes_it_out(editor: Editor) -> None:
    """Unless it is there for another reason."""
    editor.open("lib/view.py", VIEW)
    assert "lib/view.py" in editor.paths("main.py", 5)
    editor.documents.close(editor.uri("lib/view.py"))
    assert editor.paths("main.py", 5) == ["help.py", "store.py"]


def test_a_new_import_brings_its_file_at_once(editor: Editor) -> None:
    """As soon as the line names a file."""
    editor.write("lib/view.py", VIEW)
    seen = []
    for character in "\nfrom lib.view import view":
        editor.insert("main.py", 0 if character == "\n" else 1, character)
        seen.append(editor.paths("main.py", 6))
    assert seen[0] == ["help.py", "store.py"]
    assert seen[-1] == ["help.py", "store.py", "lib/view.py"]


def test_a_file_that_changed_on_disk_is_seen_after_saving(editor: Editor) -> None:
    """Not before: nobody looks at the disk while the user types."""
    before = editor.context("main.py", 5)
    editor.write("store.py", STORE + "    size = 0\n")
    assert editor.context("main.py", 5) is before
    editor.gatherer.invalidate()
    assert editor.context("main.py", 5)[-1].text == STORE + "    size = 0\n"


def test_the_context_is_gathered_anew_when_the_cursor_moves_far(editor: Editor) -> None:
    """There, other names are near."""
    far = FAR_LINES + 70
    editor.write("lonely.py", "def zebra(quagga):\n    return quagga\n")
    editor.open("main.py", MAIN + "\n" * far + "zebra(quagga)\n")
    near = editor.paths("main.py", 5)
    assert "lonely.py" not in near
    assert editor.paths("main.py", 5 + FAR_LINES) == near
    assert "lonely.py" in editor.paths("main.py", 5 + far)


def test_each_document_keeps_its_own_context_when_the_user_goes_back_and_forth(
    editor: Editor,
) -> None:
    """Going back costs nothing."""
    editor.open("lib/view.py", VIEW)
    first, second = editor.context("main.py", 5), editor.context("lib/view.py", 1)
    assert editor.context("main.py", 5) is first
    assert editor.context("lib/view.py", 1) is second


def test_only_the_last_documents_are_remembered(editor: Editor) -> None:
    """Memory is bounded; what is forgotten is gathered again, and equal."""
    first = editor.context("main.py", 5)
    others = editor.documents.others(editor.uri("main.py"))
    for number in range(MAX_REMEMBERED):
        snapshot = Snapshot.of("x", uri=editor.uri(f"lib/{number}.py"), language_id="python")
        editor.gatherer.gather(editor.located(snapshot, 0), others)
    again = editor.context("main.py", 5)
    assert again == first
    assert again is not first


def test_reading_stops_when_the_time_is_over_and_goes_on_with_the_next_request(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read by then is used."""
    read = WorkspaceFiles.read
    took = SETTINGS.time_limit_ms / 1000 / 1.5  # looking behind one file, and one file

    def read_slowly(files: WorkspaceFiles, path: Path) -> str | None:
        editor.now += took
        return read(files, path)

    monkeypatch.setattr(WorkspaceFiles, "read", read_slowly)
    assert editor.paths("main.py", 5) == ["store.py"]
    took = 0.0
    assert editor.paths("main.py", 5) == ["store.py", "help.py"]


def test_not_more_files_are_read_than_allowed(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imported ones first."""
    read = []

    def note(_: WorkspaceFiles, path: Path) -> str:
        read.append(path.name)
        return "main = store\n"

    monkeypatch.setattr(WorkspaceFiles, "read", note)
    few = Editor(editor.root, replace(SETTINGS, max_files=1))
    few.open("main.py", MAIN)
    few.paths("main.py", 5)
    assert set(read) == {"store.py"}


def test_files_that_cannot_be_read_are_passed_over(editor: Editor) -> None:
    """As if they were not there."""
    (editor.root / "store.py").write_bytes(b"class Store:\0")
    assert editor.paths("main.py", 5) == ["help.py"]


def test_each_part_comes_with_its_reasons_and_lines(editor: Editor) -> None:
    """In the order of the parts."""
    context = editor.gathered("main.py", 5)
    assert len(context.provenance) == len(context.pieces) > 0
    known = {source.reason for source in SOURCES} | NAME_WEIGHTS.keys()
    for piece, why in zip(context.pieces, context.provenance, strict=True):
        assert why.score > 0
        assert set(why.reasons) <= known
        assert why.reasons
        assert why.lines is not None
        assert why.lines.end - why.lines.start >= piece.text.count("\n") - piece.text.count("...")
