"""What a keystroke costs: recorded sessions, replayed through the language server, key by key.

A real ``midfill lsp`` process gets every key of the recordings, and where a llama-server is given,
llama.vim's requests for the same keys go to it, with the same weights. Within a round each
recording is played by both in turn (A B A B), so that a busy moment of the machine meets both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from midfill.engine.errors import InvalidRequestError
from midfill.recipes.keystrokes.lsp_process import started
from midfill.recipes.keystrokes.player_llama_vim import (
    REQUEST,
    SERVER_OPTIONS,
    THEIRS,
    LlamaVim,
    around,
    llama_server,
)
from midfill.recipes.keystrokes.player_midfill import OURS, MidfillPlayer
from midfill.recipes.keystrokes.strokes import (
    GENERATED,
    Pace,
    Player,
    Sample,
    Stroke,
    kinds,
    percentile,
    ratios,
    replay,
    spread,
    summary,
)
from midfill.recipes.keystrokes.traces import Editor, Recording, read_recording
from midfill.recipes.reports import plots
from midfill.recipes.reports.machine import about, resident

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from midfill.recipes.keystrokes.player_llama_vim import LlamaServer
    from midfill.recipes.keystrokes.settings import KeystrokeSettings
    from midfill.recipes.reports.output import Output

RECORDINGS = Path(__file__).with_name("recordings")
_CANCELS = 5
"""Requests of each recording on which the opponent hangs up."""


def run(settings: KeystrokeSettings, output: Output) -> None:
    """Replay, show tables, and write JSON and a plot where asked to.

    Each key's figures go to JSON lines beside the JSON.

    Raises:
        InvalidRequestError: a recording or an option is of no use.
        ModelNotAvailableError: a server does not come up.
    """
    plots.check(output.plot)
    if (settings.llama_server is None) != (settings.gguf is None):
        raise InvalidRequestError("--llama-server and --gguf go together: give both or neither")
    files = settings.recordings or tuple(sorted(RECORDINGS.glob("*.json")))
    recordings = [read_recording(file) for file in files]
    samples, machines = asyncio.run(_play(settings, recordings))
    result = report(settings, recordings, samples) | machines
    Console().print(*tables(samples), sep="\n")
    if settings.llama_server is None:
        Console().print("only midfill was measured: no --llama-server was given")
    if output.json is not None:
        output.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        lines = "".join(json.dumps(asdict(sample)) + "\n" for sample in samples)
        output.json.with_suffix(".jsonl").write_text(lines, encoding="utf-8")
    if output.plot is not None:
        title = "From a key to the first text, or to the answer that there is none"
        axis = "milliseconds"
        plots.cumulative(output.plot, title, axis, answers(samples))


def report(
    settings: KeystrokeSettings, recordings: Sequence[Recording], samples: Sequence[Sample]
) -> dict[str, object]:
    """The figures and what they were measured with, for JSON."""
    return {
        **about(settings.threads),
        "options": settings.options,
        "llama_server": None if settings.llama_server is None else llama_settings(settings),
        "rounds": settings.rounds,
        "intervals_ms": settings.intervals_ms,
        "recordings": {each.name: {"commit": each.commit} for each in recordings},
        "figures": figures(samples),
        "by_recording": {
            each.name: figures([s for s in samples if s.recording == each.name], ("all",))
            for each in recordings
        },
        "against": against(samples),
    }


def llama_settings(settings: KeystrokeSettings) -> dict[str, object]:
    """What the opponent ran with."""
    gguf = settings.gguf.name if settings.gguf else None
    return {"gguf": gguf, "options": SERVER_OPTIONS, "request": REQUEST}


def figures(
    samples: Sequence[Sample], only: Sequence[str] | None = None
) -> dict[str, dict[str, dict[str, Any]]]:
    """Summaries by pace, player and kind of key."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for pace in dict.fromkeys(s.pace for s in samples):
        for player in dict.fromkeys(s.player for s in samples):
            strokes = kinds([s for s in samples if s.pace == pace and s.player == player])
            rows = {kind: summary(of) for kind, of in strokes.items() if not only or kind in only}
            found.setdefault(pace, {})[player] = rows
    return found


def against(samples: Sequence[Sample]) -> dict[str, object] | None:
    """How many times as long the opponent took; None without one."""
    ours, theirs = _generated(samples, OURS), _generated(samples, THEIRS)
    if not theirs:
        return None
    answers = [[s.stroke.answer_ms for s in side] for side in (ours, theirs)]
    known = [[value for value in side if value is not None] for side in answers]
    return {
        "key_by_key_answer_ms": spread(ratios(ours, theirs, lambda stroke: stroke.answer_ms)),
        "key_by_key_full_ms": spread(ratios(ours, theirs, lambda stroke: stroke.full_ms)),
        **{
            f"p{share}_answer_ms": _quotient(*(percentile(side, share / 100) for side in known))
            for share in (50, 95)
        },
    }


def answers(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """Milliseconds to the answer by player, where a model ran and the next key waited."""
    return {
        player: [ms for s in found if (ms := s.stroke.answer_ms) is not None]
        for player in (OURS, THEIRS)
        if (found := _generated(samples, player))
    }


def tables(samples: Sequence[Sample]) -> list[Table]:
    """The tables for people."""
    found = []
    for pace, players in figures(samples).items():
        table = Table(
            "",
            "",
            "keys",
            "shown",
            "reused",
            "answer",
            "whole",
            "tokens",
            "cached",
            "cancel",
            title=f"{pace}: p50/p95 where a model ran; milliseconds, and tokens prefilled",
            padding=(0, 0),
        )
        for kind in dict.fromkeys(kind for rows in players.values() for kind in rows):
            for player, rows in players.items():
                if kind in rows and rows[kind]["keys"]:
                    table.add_row(kind, player, *_cells(rows[kind]))
        found.append(table)
    return found


def _cells(row: Mapping[str, Any]) -> list[str]:
    hits = row["cache_hit_rate"]
    return [
        *(str(row[name]) for name in ("keys", "with_text", "reused")),
        *(_told(row[name]) for name in ("answer_ms_generated", "full_ms_generated")),
        _told(row["prefilled_tokens"]),
        "" if hits is None else f"{100 * hits:.1f}%",
        _told(row["cancel_ms"]),
    ]


def _told(row: Mapping[str, float | None]) -> str:
    values = [row[name] for name in ("p50", "p95")]
    return "/".join(f"{value:.0f}" for value in values if value is not None)


def _generated(samples: Sequence[Sample], player: str) -> list[Sample]:
    return [
        s
        for s in samples
        if s.player == player and s.pace == Pace().name and s.stroke.source == GENERATED
    ]


def _quotient(ours: float | None, theirs: float | None) -> float | None:
    return theirs / ours if ours and theirs is not None else None


async def _play(
    settings: KeystrokeSettings, recordings: Sequence[Recording]
) -> tuple[list[Sample], dict[str, object]]:
    """All recordings by all players; the samples, and what else the servers say of themselves."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(started(command=settings.command))
        await server.initialize(None, settings.options)
        await server.ready()
        players: list[Player] = [MidfillPlayer(server)]
        processes = {OURS: server.process.pid}
        opponent = None
        if settings.llama_server is not None and settings.gguf is not None:
            opponent = await stack.enter_async_context(
                llama_server(settings.llama_server, settings.gguf, settings.threads)
            )
            players.append(LlamaVim(opponent))
            processes[THEIRS] = opponent.process.pid
        samples = await _rounds(settings, recordings, players)
        cancels = [] if opponent is None else await _cancels(opponent, recordings)
        memory = {name: resident(process) for name, process in processes.items()}
        await server.leave()
    said: dict[str, object] = {
        "resident_mib": {name: asdict(size) for name, size in memory.items() if size},
        "llama_server_cancel_ms": spread(cancels),
    }
    return samples, said


async def _rounds(
    settings: KeystrokeSettings, recordings: Sequence[Recording], players: Sequence[Player]
) -> list[Sample]:
    jobs = [
        (round_number, Pace(interval_ms), recording, player)
        for round_number in range(settings.rounds)
        for interval_ms in settings.intervals_ms
        for recording in recordings
        for player in players
    ]
    samples: list[Sample] = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(jobs))
        for number, pace, recording, player in jobs:
            doing = f"{recording.name}, {pace.name}, {player.name}"
            progress.update(bar, description=doing)
            strokes = await replay(recording, player, pace, settings.keys)
            samples += _samples(strokes, player.name, pace, recording, number)
            progress.advance(bar)
    return samples


def _samples(
    strokes: Sequence[Stroke], player: str, pace: Pace, recording: Recording, number: int
) -> list[Sample]:
    return [
        Sample(player, pace.name, recording.name, number, index, stroke)
        for index, stroke in enumerate(strokes)
    ]


async def _cancels(server: LlamaServer, recordings: Sequence[Recording]) -> list[float | None]:
    """How long the opponent goes on after a hang-up, at a few places of each recording."""
    found = []
    for recording in recordings:
        editor = Editor(recording.files)
        editor.press(recording.keys[0])
        for key in recording.keys[1 : _CANCELS + 1]:
            editor.press(key)
            found.append(await server.cancel_ms(around(editor.prefix, editor.suffix)))
    return found
