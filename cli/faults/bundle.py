"""The parts of a report, each a text without secrets and without the home folder's name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from midfill.cli.faults import facts
from midfill.lsp_server import log
from midfill.lsp_server.recording.events import read_record
from midfill.lsp_server.recording.shapes import Shaper
from midfill.lsp_server.text.secrets import masked

if TYPE_CHECKING:
    from collections.abc import Callable

LOG_LINES = 400
_LOG_LANGUAGE = "plaintext"
"""An id of a language whose values stand without quotes."""


def collected(
    log_file: Path | None, recording: Path | None, *, keeps_texts: bool
) -> dict[str, str]:
    """The parts by their names.

    Args:
        log_file: Where the server logs; None: where it does unless told.
        recording: One to add.
        keeps_texts: Whether its texts stay, with secrets masked.

    Raises:
        InvalidRequestError: the recording is none.
        OSError: it cannot be read.
    """
    parts = {
        "versions.json": _as_json(facts.versions()),
        "environment.json": _as_json(facts.variables()),
        "kernels.json": _as_json(facts.kernels()),
        "models.json": _as_json(facts.models()),
        "log.txt": _log_tail(log_file or log.default_path()),
    }
    if recording is not None:
        parts["recording.jsonl"] = _recording(recording, keeps_texts=keeps_texts)
    return parts


def cleaned(text: str) -> str:
    """A text without secrets, in which the home folder is ``~``."""
    text = masked(text, _LOG_LANGUAGE)
    for home in _homes():
        text = text.replace(home, "~")
    return text


def _starred(text: str) -> str:
    """The same in as many characters: positions in a recording stay valid."""
    text = masked(text)
    for home in _homes():
        text = text.replace(home, "~" * len(home))
    return text


def _homes() -> list[str]:
    """The home folder as paths and URIs have it; none if it is everybody's."""
    home = Path.home()
    return [] if home == home.parent else sorted({str(home), home.as_posix(), quote(str(home))})


def _as_json(value: object) -> str:
    return json.dumps(_each_text(value, cleaned), indent=1, ensure_ascii=False) + "\n"


def _log_tail(file: Path) -> str:
    """The last lines of a log; why there are none, else."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"there is no log: {cleaned(str(error))}\n"
    return cleaned("\n".join(text.split("\n")[-LOG_LINES - 1 :]))


def _recording(file: Path, *, keeps_texts: bool) -> str:
    """A recording's lines, whose texts are gone or cleaned."""
    record = read_record(file)
    events = [record.begin, *record.events]
    if record.has_texts and not keeps_texts:
        shaper = Shaper()
        events = [shaper.event(event) for event in events]
    return "".join(f"{json.dumps(_each_text(event, _starred))}\n" for event in events)


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """The value with each text in it changed."""
    match value:
        case dict():
            return {name: _each_text(inner, change) for name, inner in value.items()}
        case list():
            return [_each_text(inner, change) for inner in value]
        case str():
            return change(value)
    return value
