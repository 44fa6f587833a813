"""The journal survives what ends a run, keys tell runs apart, reports are whole or not there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fakes import FakeEngine

from midfill.recipes.reports import journal
from midfill.recipes.reports.journal import Journal, hash_of, key_of, markdown
from midfill.weights import registry

if TYPE_CHECKING:
    from pathlib import Path


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    """What was added is there when it is opened again."""
    path = tmp_path / "r.jsonl"
    Journal(path, "k").add("t", "c", {"passed": True})
    again = Journal(path, "k")
    assert ("t", "c") in again
    assert ("t", "other") not in again
    assert again.of(["s", "t"], "c")["t"]["passed"]
    assert list(again.of(["s"], "c")) == []


def test_results_of_another_key_do_not_count_and_stay(tmp_path: Path) -> None:
    """One file may hold several models."""
    path = tmp_path / "r.jsonl"
    Journal(path, "one").add("t", "c", {"passed": True})
    other = Journal(path, "two")
    assert ("t", "c") not in other
    other.add("t", "c", {"passed": False})
    assert Journal(path, "one").of(["t"], "c")["t"]["passed"]
    assert not Journal(path, "two").of(["t"], "c")["t"]["passed"]


def test_half_a_line_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    """The run was ended while it wrote; the next line does not join it."""
    path = tmp_path / "r.jsonl"
    Journal(path, "k").add("t", "c", {"passed": True})
    path.write_text(path.read_text() + '{"key": "k", "task": "u", "ce', encoding="utf-8")
    journal = Journal(path, "k")
    assert ("u", "c") not in journal
    journal.add("u", "c", {"passed": True})
    assert list(Journal(path, "k").of(["t", "u"], "c")) == ["t", "u"]


def test_without_a_file_results_are_kept_in_memory() -> None:
    """For runs without --out."""
    journal = Journal(None, "k")
    journal.add("t", "c", {})
    assert ("t", "c") in journal


def test_a_hash_is_that_of_the_content(tmp_path: Path) -> None:
    """That of a file, of a folder's files with their names, of a registry entry."""
    folder = tmp_path / "model"
    folder.mkdir()
    file = folder / "a"
    file.write_text("x", encoding="utf-8")
    before = hash_of(str(file)), hash_of(str(folder))
    assert before == (hash_of(str(file)), hash_of(str(folder)))
    file.write_text("y", encoding="utf-8")
    after = hash_of(str(file)), hash_of(str(folder))
    assert before[0] != after[0]
    assert before[1] != after[1]
    file.rename(folder / "b")
    assert hash_of(str(folder)) != after[1]
    assert hash_of(registry.default_name()) != hash_of(str(folder))
    assert key_of(1, "a") == key_of(1, "a") != key_of(1, "b")


def test_a_report_says_what_was_run_on_what(tmp_path: Path) -> None:
    """These keys are read by others: a change is a new schema."""
    document = journal.report("infill", FakeEngine().info, {"seed": 0})
    assert " ".join(document) == "schema eval date engine machine versions settings"
    path = tmp_path / "r.json"
    journal.write(path, document)
    assert json.loads(path.read_text()) == document
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_is_markdown() -> None:
    """Names left, numbers right."""
    assert markdown(("a", "b"), [("x", 1)]) == "| a | b |\n| --- | ---: |\n| x | 1 |"
