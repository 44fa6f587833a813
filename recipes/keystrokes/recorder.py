"""Makes recordings of keys from commits: what somebody changed, typed again key by key.

Of each file the text before the commit is the start. Its changes are made one after the other,
those of imports last, because one imports what one has just used; after two changes it is the next
file's turn. Words that stay are passed over; short pieces are deleted key by key, long ones at
once; a line end brings the indentation of the next line. In three of five longer lines, and in all
very long ones, the last two thirds come at once, as an accepted suggestion. Of each change only the
head is typed; the rest is put there unmeasured, so that a short recording has many places. All
choices follow from the recording's name: repository, commit and paths give the same one again.

Run ``python -P -m midfill.recipes.keystrokes.recorder --help`` in a checkout with its history.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.keystrokes.traces import SKIP, Editor, Recording, keys_of, place_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RECORDINGS = Path(__file__).with_name("recordings")
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_KEPT = 12
"""Characters of unchanged text, at least, that are worth passing over."""
_BACKSPACES = 12
"""Characters, at most, that are deleted one by one."""
_LONG_LINE = 20
"""Characters, at least, of a line whose rest may come as an accepted suggestion."""
_ACCEPTED = 0.6
"""The share of such lines."""
_VERY_LONG_LINE = 50
"""Characters, at least, of a line whose rest always does."""
_IN_TURN = 2
"""Changes of a file before the next file's turn."""
_HEAD = 16
"""Keys, about, that are pressed for one change."""
_IMPORT = re.compile(r"\s*(import|from|#include|const \w+ = require)\b")


@dataclass(frozen=True, slots=True)
class Piece:
    """Characters ``start`` to ``end`` of the text before become ``text``."""

    start: int
    end: int
    text: str


@dataclass(slots=True)
class Typist:
    """Edits files and writes down the steps.

    Args:
        editor: With the texts before.
        draw: Which lines are accepted.
        keys: How many are pressed at most.
    """

    editor: Editor
    draw: random.Random
    keys: int
    steps: list[dict[str, Any]] = field(default_factory=list)
    _done: dict[str, list[Piece]] = field(default_factory=dict)

    def edit(self, path: str, piece: Piece) -> None:
        """Make one change of a file; places are those of the text before all changes."""
        done = self._done.setdefault(path, [])
        moved = sum(len(p.text) - (p.end - p.start) for p in done if p.start <= piece.start)
        start, end, text = _behind_a_line(piece, self.editor.texts[path], moved)
        is_short = end - start <= _BACKSPACES
        self._go(path, end if is_short else start)
        if end > start:
            self._do({"delete": end - start} if is_short else {"cut": end - start})
        self._type(text)
        done.append(piece)

    def _go(self, path: str, offset: int) -> None:
        place = place_at(self.editor.texts[path], offset)
        if path != self.editor.file:
            self._do({"switch": [path, *place]})
        elif offset != self.editor.cursor:
            self._do({"jump": list(place)})

    def _type(self, text: str) -> None:
        """Type the head of a text, and skip the rest from a line end on."""
        until = self.keys - _HEAD
        parts = re.findall(r"\n[ \t]*(?=[^\s])|\n|[^\n]+", text)
        for number, part in enumerate(parts):
            if part.startswith("\n") and self.keys <= until:
                self._do({SKIP: "".join(parts[number:])})
                return
            if part.startswith("\n"):
                self._do({"key": part})
            else:
                self._type_line(part)

    def _type_line(self, line: str) -> None:
        is_drawn = self.draw.random() < _ACCEPTED
        is_accepted = len(line) >= _VERY_LONG_LINE or (len(line) >= _LONG_LINE and is_drawn)
        shown = len(line) // 3 if is_accepted else len(line)
        self._do({"type": line[:shown]})
        if is_accepted:
            self._do({"accept": line[shown:]})

    def _do(self, step: dict[str, Any]) -> None:
        """Take a step and write it down, as far as there are keys for it."""
        ((name, value),) = step.items()
        if name == "type":
            step = {name: value[: self.keys]}
        elif name == "delete":
            step = {name: min(value, self.keys)}
        elif not self.keys:
            return
        for key in keys_of(step):
            self.editor.press(key)
            self.keys -= key.kind != SKIP
        if step[name]:
            self.steps.append(step)


def pieces(before: str, after: str) -> list[Piece]:
    """What changes from one text to the other, in the order in which somebody would do it."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    starts = [0]
    for line in old:
        starts.append(starts[-1] + len(line))
    head, body = list[Piece](), list[Piece]()
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            is_import = any(_IMPORT.match(line) for line in old[i1:i2] + new[j1:j2])
            hunk = _rewrite(starts[i1], "".join(old[i1:i2]), "".join(new[j1:j2]))
            (head if is_import else body).extend(hunk)
    return body + head


def record(
    name: str, repository: str, commit: str, texts: Mapping[str, tuple[str, str | None]], keys: int
) -> Recording:
    """A recording of a change.

    Args:
        name: Its own.
        repository: Whose commit it is.
        commit: The change.
        texts: By path, the text before and after; None: the file only stands around.
        keys: How many are pressed at most.
    """
    before = {path: text for path, (text, _) in texts.items()}
    typist = Typist(Editor(before), random.Random(name), keys)  # noqa: S311  drawn, not secret
    changed = {p: pieces(old, new) for p, (old, new) in texts.items() if new is not None}
    for path, piece in _in_turn(changed):
        if not typist.keys:
            break
        typist.edit(path, piece)
    return Recording(name, repository, commit, before, tuple(typist.steps))


def from_git(folder: Path, entry: Mapping[str, Any], repository: str) -> Recording:
    """A recording from a checkout's history.

    Args:
        folder: The checkout.
        entry: One of the list: ``name``, ``commit``, ``edited`` and ``around`` (paths), ``keys``.
        repository: Its name.

    Raises:
        InvalidRequestError: the history has no such commit or path.
    """
    commit = _git(folder, "rev-parse", f"{entry['commit']}^{{commit}}").strip()
    texts: dict[str, tuple[str, str | None]] = {}
    for path in entry["edited"]:
        after = _git(folder, "show", f"{commit}:{path}")
        texts[path] = _git(folder, "show", f"{commit}^:{path}"), after
    for path in entry.get("around", ()):
        texts[path] = _git(folder, "show", f"{commit}^:{path}"), None
    return record(entry["name"], repository, commit, texts, entry["keys"])


def _in_turn(changes: Mapping[str, Sequence[Piece]]) -> Iterator[tuple[str, Piece]]:
    """A few changes of each file, again and again until there are none."""
    for first in range(0, max(map(len, changes.values()), default=0), _IN_TURN):
        for path, of_file in changes.items():
            for piece in of_file[first : first + _IN_TURN]:
                yield path, piece


def _rewrite(start: int, old: str, new: str) -> list[Piece]:
    """One hunk, word by word; unchanged text is passed over if there is enough of it."""
    was, now = _WORDS.findall(old), _WORDS.findall(new)
    found = list[Piece]()
    at = start
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, was, now, autojunk=False).get_opcodes():
        gone, come = "".join(was[i1:i2]), "".join(now[j1:j2])
        is_kept = tag == "equal" and (len(gone.strip()) >= _KEPT or not found)
        if not is_kept and found and found[-1].end == at:
            last = found.pop()
            found.append(Piece(last.start, at + len(gone), last.text + come))
        elif not is_kept:
            found.append(Piece(at, at + len(gone), come))
        at += len(gone)
    return [
        _without_equal_ends(piece, old[piece.start - start : piece.end - start]) for piece in found
    ]


def _without_equal_ends(piece: Piece, old: str) -> Piece:
    """A piece that had unchanged text at its end gives it back."""
    end = len(old)
    text = piece.text
    while end and text and old[end - 1] == text[-1]:
        end, text = end - 1, text[:-1]
    return Piece(piece.start, piece.start + end, text)


def _behind_a_line(piece: Piece, text: str, moved: int) -> tuple[int, int, str]:
    """The place and the text; whole new lines are typed from the end of the line before."""
    start, end, new = piece.start + moved, piece.end + moved, piece.text
    if start == end and start and text[start - 1] == "\n" and new.endswith("\n"):
        return start - 1, start - 1, "\n" + new[:-1]
    return start, end, new


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(  # noqa: S603
        ["git", *words],  # noqa: S607  the user's own
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise InvalidRequestError(f"git {' '.join(words)} in {folder}: {done.stderr.strip()}")
    return done.stdout


def main(argv: Sequence[str] | None = None) -> int:
    """Make the recordings of a list; one line for each."""
    parser = argparse.ArgumentParser(
        prog="recorder", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--repository", type=Path, default=Path(), help="(default: here)")
    parser.add_argument("--list", type=Path, default=RECORDINGS / "recordings.toml")
    parser.add_argument("--out", type=Path, default=RECORDINGS, metavar="FOLDER")
    args = parser.parse_args(argv)
    listed = tomllib.loads(args.list.read_text(encoding="utf-8"))
    for entry in listed["recording"]:
        recording = from_git(args.repository, entry, listed["repository"])
        path = args.out / f"{recording.name}.json"
        text = recording.as_json()
        path.write_text(text, encoding="utf-8")
        Console(stderr=True).print(f"{path}: {len(recording.keys)} keys, {len(text)} characters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
