"""Recordings from commits: typed again, they make the commit's text, in a person's order."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.keystrokes import recorder
from midfill.recipes.keystrokes.recorder import from_git, pieces, record
from midfill.recipes.keystrokes.traces import Editor, Recording, read_recording

if TYPE_CHECKING:
    from pathlib import Path

MANY = 10_000
"""Keys: more than any of these changes needs."""

texts = st.lists(
    st.text("ab (=\t", max_size=8) | st.sampled_from(["import os", "def long_name(argument):", ""]),
    max_size=8,
).map("\n".join)


def recorded(before: str, after: str, keys: int = MANY) -> Recording:
    """A recording of one file's change."""
    return record("made-up", "nobody", "0" * 40, {"a.py": (before, after)}, keys)


def replayed(recording: Recording) -> dict[str, str]:
    """The texts at the end."""
    editor = Editor(recording.files)
    for key in recording.keys:
        editor.press(key)
    return editor.texts


@given(before=texts, after=texts)
def test_typing_a_change_again_makes_the_text_after_it(before: str, after: str) -> None:
    """Whatever was deleted, replaced or added."""
    assert replayed(recorded(before, after)) == {"a.py": after}


def test_imports_come_last() -> None:
    """One imports what one has just used."""
    found = pieces("import os\n\nx = 1\n", "import os\nimport re\n\nx = re.I\n")
    assert [piece.text for piece in found] == ["re.I", "import re\n"]


def test_a_new_line_is_typed_from_the_end_of_the_one_before() -> None:
    """With the indentation that an editor would put there, and no line end behind it."""
    recording = recorded("def f():\n    a()\n", "def f():\n    a()\n    b()\n")
    assert recording.steps == (
        {"switch": ["a.py", 1, 7]},
        {"key": "\n    "},
        {"type": "b()"},
    )


def test_a_short_piece_goes_by_backspace_and_a_long_one_at_once() -> None:
    """As people do it."""
    short = recorded("value = one(argument)\n", "value = two(argument)\n")
    assert short.steps[1:] == ({"delete": 3}, {"type": "two"})
    long = recorded("value = a_rather_long_name(argument)\n", "value = two(argument)\n")
    assert long.steps[1:] == ({"cut": 18}, {"type": "two"})


def test_only_the_head_of_a_long_change_is_typed() -> None:
    """From a line end on; the text is the commit's all the same."""
    lines = "".join(f"    step_{n}()\n" for n in range(20))
    recording = recorded("def f():\n    pass\n", f"def f():\n    pass\n{lines}")
    assert [next(iter(step)) for step in recording.steps[-2:]] == ["type", "skip"]
    assert len(recording.keys) < 50
    assert replayed(recording)["a.py"].endswith(lines)


@given(before=texts, after=texts, keys=st.integers(1, 20))
def test_no_more_keys_are_measured_than_asked_for(before: str, after: str, keys: int) -> None:
    """What is skipped does not count."""
    recording = recorded(before, after, keys)
    assert sum(key.kind != "skip" for key in recording.keys) <= keys
    replayed(recording)


def test_files_are_edited_in_turn() -> None:
    """Two changes each, so that there are switches back and forth."""
    before = "".join(f"changes {n}\nstays as it is, {n}\n" for n in range(5))
    changes = {name: (before, before.replace("changes", "has come")) for name in ("a.py", "b.py")}
    recording = record("made-up", "nobody", "0" * 40, changes, MANY)
    files = [step["switch"][0] for step in recording.steps if "switch" in step]
    assert files[:3] == ["a.py", "b.py", "a.py"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With two commits of one file."""
    folder = tmp_path / "repository"
    folder.mkdir()
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]

    def git(*words: str) -> None:
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)

    git("init", "--quiet")
    for text in ("x = 1\n", "x = 1\ny = 2\n"):
        (folder / "a.py").write_text(text, encoding="utf-8")
        (folder / "b.py").write_text("import a\n", encoding="utf-8")
        git("add", ".")
        git("commit", "--quiet", "--message", "change")
    return folder


def test_a_list_of_commits_becomes_files(repository: Path, tmp_path: Path) -> None:
    """The same ones each time, with the files around."""
    listed = tmp_path / "list.toml"
    listed.write_text(
        'repository = "mine"\n[[recording]]\nname = "r"\ncommit = "HEAD"\n'
        'edited = ["a.py"]\naround = ["b.py"]\nkeys = 9\n',
        encoding="utf-8",
    )
    words = ["--repository", repository, "--list", listed, "--out", tmp_path]
    made = []
    for _ in range(2):
        assert recorder.main([str(word) for word in words]) == 0
        made.append(read_recording(tmp_path / "r.json"))
    assert made[0] == made[1]
    assert made[0].files == {"a.py": "x = 1\n", "b.py": "import a\n"}
    assert replayed(made[0])["a.py"] == "x = 1\ny = 2\n"
    assert (made[0].repository, len(made[0].commit)) == ("mine", 40)


def test_an_unknown_commit_says_what_git_says(repository: Path) -> None:
    """And which."""
    entry = {"name": "r", "commit": "nowhere", "edited": ["a.py"], "keys": 9}
    with pytest.raises(InvalidRequestError, match=r"git rev-parse nowhere"):
        from_git(repository, entry, "mine")
