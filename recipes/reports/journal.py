"""What evaluations leave behind: results as they come, so that a rerun goes on, and a report.

The journal stands beside the report: ``results.json`` has ``results.jsonl``. Each of its lines is
one result, with the key of everything that could change it; lines of other keys are left alone, so
that one file may hold several models.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midfill.weights import registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from midfill.engine import EngineConfig, EngineInfo

SCHEMA = 1
"""The version of reports; a change that breaks readers adds 1."""
_LIBRARIES = ("midfill", "torch", "tokenizers")


class Journal:
    """Results by (task, cell), kept in a file of JSON lines.

    Args:
        path: Where they are kept; None keeps them in memory only.
        key: A hash of everything that could change a result; only lines with it count.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self._path, self._key = path, key
        self._results: dict[tuple[str, str], dict[str, Any]] = {}
        if path is not None and path.exists():
            for line in path.read_text(encoding="utf-8").split("\n"):
                self._take(line)
            _end_last_line(path)

    def __contains__(self, place: tuple[str, str]) -> bool:
        """Whether a (task, cell) has its result."""
        return place in self._results

    def add(self, task: str, cell: str, result: Mapping[str, Any]) -> None:
        """Keep a result, on disk at once."""
        place = {"key": self._key, "task": task, "cell": cell}
        assert place.keys().isdisjoint(result), result.keys()
        row = {**place, **result}
        self._results[task, cell] = row
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def of(self, tasks: Iterable[str], cell: str) -> dict[str, dict[str, Any]]:
        """The results of a cell, by task, in the order of the tasks; those that are there."""
        return {task: self._results[task, cell] for task in tasks if (task, cell) in self._results}

    def _take(self, line: str) -> None:
        try:
            row = json.loads(line)
        except ValueError:
            return  # empty, or half a line: the run ended while it was written
        if row.get("key") == self._key:
            self._results[row["task"], row["cell"]] = row


def _end_last_line(path: Path) -> None:
    """Let the next line start anew behind half a line."""
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        path.write_bytes(data + b"\n")


def journal_of(report: Path | None) -> Path | None:
    """The place of a report's journal."""
    return None if report is None else report.with_suffix(".jsonl")


def key_of(*parts: object) -> str:
    """A short hash of values that JSON can hold."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_of(name: str) -> str:
    """A hash of the model, adapter or data of that name: of the file, or of a folder's files.

    A name of the registry stands for its entry, which pins the file's own hash.
    """
    known = {entry.name: entry for entry in registry.entries()}
    digest = hashlib.sha256()
    if name in known:
        digest.update(repr(known[name]).encode())
        return digest.hexdigest()
    path = Path(name).expanduser()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for file in files:
        digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def model_key(config: EngineConfig) -> tuple[str, str, str]:
    """What tells one model from another: hashes of weights and adapter, and the dialect asked."""
    adapter = hash_of(config.adapter) if config.adapter else ""
    return hash_of(config.model), adapter, config.dialect or ""


def report(name: str, info: EngineInfo, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The head of a report: what was run, and on what; results are added to it."""
    return {
        "schema": SCHEMA,
        "eval": name,
        "date": date.today().isoformat(),
        "engine": asdict(info),
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {"python": platform.python_version()}
        | {library: version(library) for library in _LIBRARIES},
        "settings": dict(settings),
    }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a report as JSON, atomically."""
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    half = path.with_name(f"{path.name}.part")
    half.write_text(text, encoding="utf-8")
    half.replace(path)


def markdown(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for people and for ``docs/results.md``; numbers stand right."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def percent(share: float) -> str:
    """The words for a share from 0 to 1."""
    return f"{100 * share:.1f} %"
