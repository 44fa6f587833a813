"""Recordings: what their steps do to a text, and that those we ship can be replayed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.keystrokes.run import RECORDINGS
from midfill.recipes.keystrokes.traces import (
    LANGUAGES,
    MEASURED,
    Change,
    Editor,
    Key,
    Recording,
    coming,
    offset_at,
    place_at,
    read_recording,
)

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = sorted(RECORDINGS.glob("*.json"))
FILES = {"a.py": "one\ntwo\n", "b.py": "three\n"}


def recording(*steps: dict[str, object]) -> Recording:
    """A recording of two small files."""
    return Recording("made-up", "nobody", "0" * 40, FILES, steps)


def played(*steps: dict[str, object]) -> tuple[Editor, list[Change | None]]:
    """The editor after the steps, and what each key changed."""
    editor = Editor(FILES)
    return editor, [editor.press(key) for key in recording(*steps).keys]


def test_every_step_does_what_its_name_says() -> None:
    """Typing, a line end, backspaces, a cut, an accepted text, a jump and a switch."""
    editor, changes = played(
        {"switch": ["a.py", 0, 3]},
        {"type": "!?"},
        {"delete": 1},
        {"key": "\n    "},
        {"accept": "x = 1"},
        {"jump": [2, 0]},
        {"cut": 2},
        {"switch": ["b.py", 0, 5]},
        {"skip": "s"},
    )
    assert editor.texts == {"a.py": "one!\n    x = 1\no\n", "b.py": "threes\n"}
    assert (editor.prefix, editor.suffix) == ("threes", "\n")
    assert changes == [
        None,
        *(Change(3, 3, "!"), Change(4, 4, "?"), Change(4, 5, "")),
        *(Change(4, 4, "\n    "), Change(9, 9, "x = 1")),
        None,
        Change(15, 17, ""),
        None,
        Change(5, 5, "s"),
    ]


def test_each_character_and_each_backspace_is_a_key() -> None:
    """A cut and a line end are one."""
    steps = ({"type": "ab"}, {"delete": 3}, {"cut": 9}, {"key": "\n  "}, {"accept": "xyz"})
    kinds = [key.kind for key in recording(*steps).keys]
    assert kinds == ["type"] * 2 + ["delete"] * 4 + ["type", "accept"]


@pytest.mark.parametrize(
    "step",
    [{"jump": [9, 0]}, {"jump": [0, 4]}, {"switch": ["c.py", 0, 0]}, {"cut": 99}, {"delete": 1}],
)
def test_a_place_that_does_not_exist_is_an_error(step: dict[str, object]) -> None:
    """Rather than a replay of something else."""
    with pytest.raises(InvalidRequestError):
        played({"switch": ["a.py", 0, 0]}, step)


def test_an_unknown_step_is_named() -> None:
    """With the known ones."""
    with pytest.raises(InvalidRequestError, match="'paste' is no step; a recording has key, cut"):
        _ = recording({"paste": "x"}).keys


def test_a_recording_comes_back_from_its_file(tmp_path: Path) -> None:
    """All of it."""
    made = recording({"switch": ["a.py", 0, 0]}, {"type": "ä\t\\"})
    file = tmp_path / "made-up.json"
    file.write_text(made.as_json(), encoding="utf-8")
    assert read_recording(file) == made
    assert json.loads(made.as_json())["steps"][1] == {"type": "ä\t\\"}


@pytest.mark.parametrize("text", ["", "[]", '{"name": "x"}'])
def test_another_file_is_no_recording(tmp_path: Path, text: str) -> None:
    """It is named."""
    file = tmp_path / "other.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequestError, match=r"other\.json is no recording"):
        read_recording(file)


def test_places_and_offsets_are_each_others_inverse() -> None:
    """At every offset."""
    text = "a\n\nbc\n"
    for offset in range(len(text) + 1):
        assert offset_at(text, *place_at(text, offset)) == offset


def test_what_is_coming_ends_where_the_cursor_moves() -> None:
    """Or text goes away."""
    keys = (Key("type", "a"), Key("accept", "bc"), Key("delete", before=1), Key("type", "d"))
    assert coming(keys) == "abc"
    assert coming(keys[3:]) == "d"


def test_the_shipped_recordings_are_many_and_small() -> None:
    """The issue's number, several languages, and every kind of key; under 300 kB together."""
    recordings = [read_recording(file) for file in SHIPPED]
    assert len(recordings) >= 6
    assert sum(file.stat().st_size for file in SHIPPED) < 300_000
    kinds = {key.kind for each in recordings for key in each.keys}
    assert kinds >= set(MEASURED)
    suffixes = {f".{key.file.rpartition('.')[2]}" for r in recordings for key in r.keys if key.file}
    assert suffixes == set(LANGUAGES)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_recording_can_be_replayed(file: Path) -> None:
    """All its keys fit its files."""
    recording = read_recording(file)
    editor = Editor(recording.files)
    changes = [editor.press(key) for key in recording.keys]
    assert sum(change is not None for change in changes) > len(changes) / 2
    assert editor.texts != recording.files
