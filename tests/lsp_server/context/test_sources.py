"""The names that a document needs next: where they are defined, and how other files use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from context_editor import HELP, MAIN, STORE, VIEW, Editor

from midfill.lsp_server.context import sources
from midfill.lsp_server.context.gatherer import FAR_LINES
from midfill.lsp_server.context.sources import ContextSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from midfill.lsp_server.context.sources import Search


USER = "\n" * 40 + "from store import Store\n\n\ndef open_all():\n    return Store(size=3)\n"


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    """With a main file that imports another one, and a neighbour."""
    editor = Editor(tmp_path)
    editor.write("store.py", STORE)
    editor.write("help.py", HELP)
    editor.write("notes.txt", "main store")
    editor.open("main.py", MAIN)
    return editor


def test_uses_of_an_imported_name_are_shown_from_other_files(editor: Editor) -> None:
    """Those that the document does not use yet; it is told why."""
    editor.write("user.py", USER)
    editor.write("pkg/deep.py", USER.replace("open_all", "open_deep"))
    editor.open("main.py", "from store import Store\n\n\ndef main():\n    \n")
    found = editor.gathered("main.py", 4)
    pieces = {piece.path: piece.text for piece in found.pieces}
    assert pieces["user.py"] == "def open_all():\n    return Store(size=3)\n"
    assert pieces["pkg/deep.py"] == "def open_deep():\n    return Store(size=3)\n"
    reasons = dict(zip(pieces, (why.reasons for why in found.provenance), strict=True))
    assert "uses" in reasons["user.py"]
    assert "defines" in reasons["store.py"]


def test_what_the_document_uses_already_counts_less(editor: Editor) -> None:
    """A name it has imported and not used is what it needs next."""
    editor.write("tools.py", "\n" * 40 + "def hammer(nail):\n    return nail\n")
    editor.write("user.py", USER)
    editor.write("smith.py", "\n" * 40 + "import tools\n\nfirst = 1\nhammer(nail=first)\n")
    main = "from store import Store\nfrom tools import hammer\n\nstore = Store()\n\n"
    editor.open("main.py", main)
    pieces = {piece.path: piece.text for piece in editor.context("main.py", 4)}
    assert pieces["smith.py"] == "first = 1\nhammer(nail=first)\n"
    assert list(pieces)[-1] in {"smith.py", "tools.py"}
    assert "Store(" not in "".join(pieces.values())


def test_the_file_that_defines_a_name_is_found_behind_those_that_pass_it_on(
    editor: Editor,
) -> None:
    """A package's ``__init__`` says nothing of its own."""
    editor.write("shop/__init__.py", "from shop._api import Till\n")
    editor.write("shop/_api.py", "from ._till import Till, Drawer\n")
    editor.write("shop/_till.py", "\n" * 40 + "class Till:\n    def ring(self, sum):\n        0\n")
    editor.open("main.py", "from shop import Till\n\n\ndef main():\n    \n")
    pieces = {piece.path: piece.text for piece in editor.context("main.py", 4)}
    assert pieces["shop/_till.py"] == "class Till:\n    def ring(self, sum):\n"
    assert "shop/__init__.py" not in pieces


def test_the_document_itself_is_never_behind_another_file(editor: Editor) -> None:
    """Though a package may pass on what the document defines."""
    main = "from shop import Till, Main\n\n\nclass Main:\n    till = Till\n"
    editor.write("main.py", main)
    editor.write("shop/__init__.py", "from main import Main\n\n\nclass Till:\n    pass\n")
    editor.open("main.py", main)
    assert "shop/__init__.py" in editor.paths("main.py", 4)
    assert "main.py" not in editor.paths("main.py", 4)


def test_a_module_that_is_imported_as_a_whole_is_a_name_too(editor: Editor) -> None:
    """Its uses show what it has."""
    user = "\n" * 40 + "import store\n\nfirst = 1\nstore.Store(first)\n"
    editor.write("user.py", user)
    editor.open("main.py", "import os\nimport store\n\n\ndef main():\n    \n")
    pieces = {piece.path: piece.text for piece in editor.context("main.py", 5)}
    assert pieces["user.py"] == "first = 1\nstore.Store(first)\n"


def test_a_name_that_was_needed_stays_so_while_the_user_works_there(editor: Editor) -> None:
    """What is shown of other files does not change because the name is written at last."""
    editor.write("user.py", USER)
    editor.open(
        "main.py", "from store import Store\n\n\ndef main():\n    \n" + "\n" * FAR_LINES * 2
    )
    before = editor.context("main.py", 4)
    editor.insert("main.py", 4, "store = Store(size=2)")
    editor.open("lib/view.py", VIEW)
    after = editor.gathered("main.py", 4)
    assert after.pieces[: len(before)] == before
    editor.insert("lib/view.py", 1, "[0]")
    far = editor.gathered("main.py", 4 + 2 * FAR_LINES)
    assert not any("uses" in why.reasons for why in far.provenance)


def test_a_new_source_is_a_function_and_a_row(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are read, and its weight counts beside those of the others."""

    def tests_of(search: Search) -> Iterator[tuple[Path, float]]:
        path = search.spot.path
        yield search.spot.root / "tests" / f"test_{path.name}", 1.0
        yield search.spot.root / "store.py", 0.5

    row = ContextSource("tested", 0.2, tests_of)
    monkeypatch.setattr(sources, "SOURCES", (*sources.SOURCES, row))
    editor.write("tests/test_main.py", "def test_main(store):\n    assert main\n")
    found = editor.gathered("main.py", 5)
    why = {piece.path: why for piece, why in zip(found.pieces, found.provenance, strict=True)}
    assert why["tests/test_main.py"].reasons == ("tested",)
    assert why["store.py"].reasons == ("imported", "neighbour", "tested")
