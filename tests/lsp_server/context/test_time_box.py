"""Gathering context ends in time: counted and with a clock of its own, never by measuring."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from context_editor import MAIN, SETTINGS, STORE, Editor

from midfill.lsp_server.context import cuts
from midfill.lsp_server.context.imports import MAX_REFERENCES, Reference, references, resolve
from midfill.lsp_server.context.look import MOST_ENTRIES, MOST_LOOKS, Deadline, Look, Skipped
from midfill.lsp_server.text.languages import language

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Clock:
    """Seconds; each look at it takes a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        self.now += 0.001
        return self.now


def endless(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let every folder have entries without end; returns the names looked at."""
    seen: list[str] = []

    class Entries:
        def __enter__(self) -> Iterator[object]:
            for number in range(10**9):
                seen.append(f"{number:09}.py")
                yield SimpleNamespace(name=seen[-1], path=seen[-1], is_dir=lambda: False)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", lambda _: Entries())
    return seen


def test_a_huge_folder_is_looked_at_in_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much time there is; and that is told."""
    seen = endless(monkeypatch)
    skipped = Skipped()
    assert len(Look(skipped).names(tmp_path, (".py",))) == MOST_ENTRIES
    assert len(seen) == MOST_ENTRIES + 1
    assert [skip.what for skip in skipped.all] == [str(tmp_path)]


def test_a_folder_is_left_when_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found by then counts."""
    seen = endless(monkeypatch)
    look = Look(deadline=Deadline(Clock(), 50))
    assert 45 <= len(look.names(tmp_path, (".py",))) <= 50
    assert len(seen) <= 51
    assert look.was_over
    assert look.names(tmp_path, (".py",)) == []


def test_one_context_looks_at_so_many_things_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In all folders together."""
    seen = endless(monkeypatch)
    look = Look()
    for number in range(50):
        look.names(tmp_path / str(number))
    assert MOST_LOOKS - 10 <= len(seen) <= MOST_LOOKS + 50
    assert not look.is_file(tmp_path)


@pytest.mark.parametrize(
    ("language_id", "line"),
    [("python", "import m{}\n"), ("python", "m{}, "), ("javascript", "import './m{}'\n")],
)
def test_only_so_many_imports_are_read(language_id: str, line: str) -> None:
    """A generated file may have thousands."""
    text = "import " * (line[0] == "m") + "".join(
        line.format(number) for number in range(3 * MAX_REFERENCES)
    )
    assert len(references(text, language(language_id))) == MAX_REFERENCES


def test_the_search_for_imports_ends_when_the_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further path is looked at."""
    looked: list[object] = []
    is_file = Look.is_file
    monkeypatch.setattr(
        Look, "is_file", lambda look, path: looked.append(path) or is_file(look, path)
    )
    many = [Reference(f"m{number}") for number in range(MAX_REFERENCES)]
    look = Look(deadline=Deadline(Clock(), 20))
    resolve(many, tmp_path / "a.py", language("python"), tmp_path, look)
    assert 0 < len(looked) < 60


@pytest.fixture
def editor(tmp_path: Path) -> Editor:
    """With twenty open documents, edited in turn."""
    editor = Editor(tmp_path, replace(SETTINGS, max_pieces=30, max_tokens=1 << 16))
    editor.open("main.py", MAIN)
    for number in range(20):
        editor.open(f"lib/d{number:02}.py", f"def main_{number}(store):\n    return store\n")
    for number in (3, 7, 5):
        editor.insert(f"lib/d{number:02}.py", 0, "  # edited")
    return editor


def test_open_documents_are_cut_out_while_there_is_time_the_last_edited_first(
    editor: Editor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others follow with the next requests, and nothing is done twice."""
    cut: list[str] = []
    excerpt = cuts.excerpt

    def slow(text: str, *rest: object) -> object:
        cut.append(text)
        editor.now += SETTINGS.time_limit_ms / 1000 / 2.5
        return excerpt(text, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(cuts, "excerpt", slow)
    editor.context("main.py", 5)
    assert [text.partition("(")[0] for text in cut] == [f"def main_{n}" for n in (5, 7, 3)]
    for _ in range(7):
        editor.context("main.py", 5)
    assert len(cut) == len(set(cut)) == 20
    assert len(editor.context("main.py", 5)) > 15


def test_what_is_imported_is_still_found(tmp_path: Path) -> None:
    """In a document of ordinary size."""
    editor = Editor(tmp_path)
    editor.write("store.py", STORE)
    editor.open("main.py", MAIN)
    assert editor.paths("main.py", 5) == ["store.py"]
