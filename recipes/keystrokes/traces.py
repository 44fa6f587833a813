r"""Recorded editing sessions: files as they were, and the keys that somebody pressed.

A recording is JSON::

    {"name": "python-stutter", "repository": "midfill", "commit": "b860f21...",
     "files": {"engine/stopping.py": "...", "engine/api.py": "..."},
     "steps": [{"switch": ["engine/stopping.py", 3, 0]}, {"type": "import re"}, {"key": "\n    "},
               {"delete": 3}, {"jump": [12, 4]}, {"cut": 20}, {"accept": "the_rest(of, it)"}]}

====================  ===================================================================
step                  keys
====================  ===================================================================
``switch``            one: to a file, with the cursor at a line and a column
``jump``              one: to a line and a column of the same file
``type``              one for each character
``key``               one: a line end with the indentation that an editor puts after it
``accept``            one: a text as if it had been suggested and accepted
``delete``            that many: each takes the character before the cursor
``cut``               one: takes that many characters behind the cursor, as a selection
``skip``              one that is not measured: a text, to keep the recording short
====================  ===================================================================

Lines and columns count from 0, columns in characters. What an editor would do by itself
(indentation) is in the recording, so that a replay is the same everywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midfill.engine.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

LANGUAGES = {
    ".py": "python",
    ".c": "c",
    ".h": "c",
    ".lua": "lua",
    ".ts": "typescript",
}
"""LSP's language ids of the recorded files."""
MEASURED = ("type", "delete", "accept", "jump", "switch")
"""Kinds of keys after which a completion is asked for."""
SKIP = "skip"
"""The kind after which none is."""
MOVING = ("jump", "switch")
"""Kinds of keys that change no text."""
_KIND_OF = {"key": "type", "cut": "delete"}
"""The kind of the keys of steps that are not called like it."""


@dataclass(frozen=True, slots=True)
class Key:
    """What one press of a key does: replace characters at the cursor, or move it."""

    kind: str
    """One of MEASURED, or SKIP."""
    text: str = ""
    """What comes to stand at the cursor."""
    before: int = 0
    """Characters taken away before the cursor."""
    behind: int = 0
    """Characters taken away behind it."""
    file: str | None = None
    """The file that comes to the front."""
    line: int = 0
    column: int = 0


@dataclass(frozen=True, slots=True)
class Recording:
    """An editing session, replayable."""

    name: str
    repository: str
    commit: str
    """The change that was recorded; the files are those of the commit before."""
    files: Mapping[str, str]
    """Texts by path, relative to the repository's root."""
    steps: tuple[Mapping[str, Any], ...]

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys in order.

        Raises:
            InvalidRequestError: a step is none.
        """
        return tuple(key for step in self.steps for key in keys_of(step))

    def as_json(self) -> str:
        """The recording as its file has it."""
        fields = {
            "name": self.name,
            "repository": self.repository,
            "commit": self.commit,
            "files": dict(self.files),
        }
        head = json.dumps(fields, indent=1, ensure_ascii=False)[:-2]
        steps = ",\n  ".join(json.dumps(step, ensure_ascii=False) for step in self.steps)
        return f'{head},\n "steps": [\n  {steps}\n ]\n}}\n'


@dataclass(frozen=True, slots=True)
class Change:
    """An edit of a file: characters ``start`` to ``end`` became ``text``."""

    start: int
    end: int
    text: str


class Editor:
    """The files of a recording while its keys are pressed."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self.texts = dict(files)
        self.file = ""
        """The path of the one in front; empty before the first switch."""
        self.cursor = 0
        """Characters before the cursor."""

    @property
    def text(self) -> str:
        """The text of the file in front."""
        return self.texts[self.file]

    @property
    def prefix(self) -> str:
        """All before the cursor."""
        return self.text[: self.cursor]

    @property
    def suffix(self) -> str:
        """All behind the cursor."""
        return self.text[self.cursor :]

    def press(self, key: Key) -> Change | None:
        """Do what a key does; the change, if it is one.

        Raises:
            InvalidRequestError: the place or the file does not exist.
        """
        if key.kind in MOVING:
            self._go(key)
            return None
        start, end = self.cursor - key.before, self.cursor + key.behind
        if not 0 <= start <= end <= len(self.text):
            raise InvalidRequestError(
                f"characters {start} to {end} of {self.file} cannot be replaced: it has "
                f"{len(self.text)}; the recording is damaged"
            )
        self.texts[self.file] = self.text[:start] + key.text + self.text[end:]
        self.cursor = start + len(key.text)
        return Change(start, end, key.text)

    def _go(self, key: Key) -> None:
        self.file = key.file or self.file
        if self.file not in self.texts:
            raise InvalidRequestError(f"{self.file!r} is not among the recording's files")
        self.cursor = offset_at(self.text, key.line, key.column)


def keys_of(step: Mapping[str, Any]) -> Iterator[Key]:
    """The keys of one step.

    Raises:
        InvalidRequestError: it is none.
    """
    ((name, value),) = step.items()
    kind = _KIND_OF.get(name, name)
    if name == "type":
        yield from (Key(kind, character) for character in value)
    elif name in ("key", "accept", SKIP):
        yield Key(kind, value)
    elif name == "delete":
        yield from (Key(kind, before=1) for _ in range(value))
    elif name == "cut":
        yield Key(kind, behind=value)
    elif name == "jump":
        yield Key(kind, line=value[0], column=value[1])
    elif name == "switch":
        yield Key(kind, file=value[0], line=value[1], column=value[2])
    else:
        known = ", ".join(("key", "cut", SKIP, *MEASURED))
        raise InvalidRequestError(f"{name!r} is no step; a recording has {known}")


def read_recording(path: Path) -> Recording:
    """A recording from its file.

    Raises:
        InvalidRequestError: it is not one.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        fields = {name: raw[name] for name in ("name", "repository", "commit", "files")}
        return Recording(**fields, steps=tuple(raw["steps"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{path} is no recording: {error!r}") from error


def offset_at(text: str, line: int, column: int) -> int:
    """The characters before a place.

    Raises:
        InvalidRequestError: the text has no such place.
    """
    lines = text.split("\n")
    if not (0 <= line < len(lines) and 0 <= column <= len(lines[line])):
        raise InvalidRequestError(f"line {line}, column {column} is not in a text of {len(lines)}")
    return sum(len(each) + 1 for each in lines[:line]) + column


def place_at(text: str, offset: int) -> tuple[int, int]:
    """Line and column of an offset, both from 0."""
    return text.count("\n", 0, offset), offset - (text.rfind("\n", 0, offset) + 1)


def coming(keys: Sequence[Key]) -> str:
    """The text that these keys put at the cursor until one of them does something else."""
    text = ""
    for key in keys:
        if key.kind in MOVING or key.before or key.behind:
            break
        text += key.text
    return text
