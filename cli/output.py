"""A finished completion as text for other programs: a unified diff, JSON, a line of statistics."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midfill.cli.source_file import LineColumn, Region, SourceFile
    from midfill.engine.api import CompletionStats, EngineInfo
    from midfill.lsp_server.request.explanation import Explanation

_ESCAPED_IN_JSON = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}
"""Control characters that JSON lets stand, and terminals obey."""
_NO_LINE_END = "\n\\ No newline at end of file\n"


@dataclass(frozen=True, slots=True)
class Completion:
    """A hole, what fills it, and where that came from."""

    source: SourceFile
    hole: Region
    middle: str
    stats: CompletionStats
    engine: EngineInfo

    @property
    def filled(self) -> str:
        """The whole file's text with the middle in it."""
        return self.source.filled(self.hole, self.middle)


def unified_diff(completion: Completion) -> str:
    """The change from the file to the filled one, as ``patch -p1`` and ``git apply`` read it.

    ::

        --- a/docs/examples/intervals.py
        +++ b/docs/examples/intervals.py
        @@ -3,7 +3,8 @@
    """
    name = _name_in_diff(completion.source.path)
    before, after = _lines(completion.source.text), _lines(completion.filled)
    lines = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else line + _NO_LINE_END for line in lines)


def as_json(completion: Completion, explanation: Explanation | None = None) -> str:
    """One object in one line: ``middle``, ``range``, ``stats``, ``model``, ``dialect``.

    ``range`` is what the middle replaces, line and column counted from 1 as in ``--range``; stats
    are the fields of CompletionStats. With an explanation there is ``explanation``, too.
    """
    source, hole, stats = completion.source, completion.hole, completion.stats
    return json.dumps(
        {
            "middle": completion.middle,
            "range": {
                "start": _place_as_json(source.place(hole.start)),
                "end": _place_as_json(source.place(hole.end)),
            },
            "stats": {f.name: _plain(getattr(stats, f.name)) for f in fields(stats)},
            "model": completion.engine.model,
            "dialect": completion.engine.dialect,
        }
        | ({} if explanation is None else {"explanation": explanation.as_json()}),
        ensure_ascii=False,
    ).translate(_ESCAPED_IN_JSON)


def stats_line(completion: Completion) -> str:
    """What the completion cost, and why it ended."""
    stats, engine = completion.stats, completion.engine
    return (
        f"midfill: {stats.generated_tokens} tokens in {stats.prefill_ms + stats.decode_ms:.0f} ms "
        f"(prefill {stats.prefill_ms:.0f} ms, {stats.prompt_tokens} prompt tokens, "
        f"{stats.cached_tokens} of them cached), {stats.order.value}, {_tries(stats.tries)}"
        f"ended by {stats.finish_reason.value}, {engine.model} on {engine.device} in {engine.dtype}"
    )


def _tries(tries: int) -> str:
    return f"best of {tries}, " if tries > 1 else ""


def _lines(text: str) -> list[str]:
    *whole, rest = text.split("\n")
    return [line + "\n" for line in whole] + ([rest] if rest else [])


def _name_in_diff(path: Path | None) -> str:
    """Relative to the current folder if the file is in it, so that ``patch`` finds the file."""
    if path is None:
        return "stdin"
    whole, here = path.absolute(), Path.cwd()
    return (whole.relative_to(here) if whole.is_relative_to(here) else path).as_posix().lstrip("/")


def _place_as_json(place: LineColumn) -> dict[str, int]:
    return {"line": place.line, "column": place.column}


def _plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value
