"""What drafts by lookup gain, in holes of real code, beside llama.cpp and its own drafts.

The files are those of the recorded editing sessions; in each some lines that stand together are
taken out, and the model writes what belongs there, greedily, with its own stop rules. Reading the
prompt is not timed. llama.cpp's server reads the same token ids and writes as many tokens as we
did, plain and with those of its own drafts that need no second model (``--spec-type``). Within a
round every player fills all holes in turn (A B A B).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from midfill.engine.api import CompletionRequest, EngineConfig
from midfill.engine.errors import InvalidRequestError
from midfill.engine.runtime import Runtime, open_runtime
from midfill.recipes.keystrokes.player_llama_vim import SERVER_OPTIONS, LlamaServer, llama_server
from midfill.recipes.keystrokes.run import RECORDINGS
from midfill.recipes.keystrokes.traces import read_recording
from midfill.recipes.reports import plots
from midfill.recipes.reports.machine import about

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midfill.recipes.benchmarks.settings import DraftBenchSettings
    from midfill.recipes.keystrokes.traces import Recording
    from midfill.recipes.reports.output import Output

OURS, THEIRS = "midfill", "llama.cpp"
PLAIN = "none"
SPEC_TYPES = (PLAIN, "ngram-simple", "ngram-mod")
"""llama.cpp's ways to write: without drafts, and with drafts taken from the text."""
_AROUND = 8
"""Lines left standing at both ends of a file."""


@dataclass(frozen=True, slots=True)
class Filled:
    """One hole, filled."""

    tokens: int
    ms: float
    """Milliseconds of writing alone."""
    drafted: int = 0
    accepted: int = 0


@dataclass(slots=True)
class HoleFiller:
    """One way to fill the holes, round by round."""

    name: str
    how: str
    rounds: list[list[Filled]] = field(default_factory=list)

    @property
    def per_second(self) -> list[float]:
        """Tokens written per second, by round."""
        return [1e3 * sum(f.tokens for f in r) / sum(f.ms for f in r) for r in self.rounds]

    @property
    def accepted(self) -> float:
        """The share of the tokens that were drafted."""
        filled = [each for one in self.rounds for each in one]
        return sum(f.accepted for f in filled) / max(1, sum(f.tokens for f in filled))


def requests(recording: Recording, settings: DraftBenchSettings) -> list[CompletionRequest]:
    """Holes in its first file, drawn by its name; each begins behind a line's indentation."""
    path, text = next(iter(recording.files.items()))
    lines = text.splitlines(keepends=True)
    last = len(lines) - _AROUND - settings.lines
    places = [at for at in range(_AROUND, last) if lines[at].strip()]
    drawn = random.Random(recording.name).sample(places, min(settings.holes, len(places)))  # noqa: S311
    found = []
    for at in sorted(drawn):
        indentation = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        found.append(
            CompletionRequest(
                "".join(lines[:at]) + indentation,
                "\n" + "".join(lines[at + settings.lines :]),
                path=path,
                max_tokens=settings.max_tokens,
                max_prompt_tokens=settings.prompt_tokens,
            )
        )
    return found


def fill(runtime: Runtime, request: CompletionRequest) -> tuple[list[int], Filled]:
    """A hole filled by our engine: the prompt's tokens, and what writing took."""
    machine = runtime.machine
    prompt = machine.prompter.build(request, request.max_prompt_tokens, machine.cache.match)
    stats = [chunk.stats for chunk in runtime.infill(request)][-1]
    assert stats is not None, "the last chunk has them"
    drafted, accepted = stats.drafted_tokens, stats.accepted_tokens
    return prompt.ids, Filled(stats.generated_tokens, stats.decode_ms, drafted, accepted)


async def fill_theirs(server: LlamaServer, ids: Sequence[int], tokens: int) -> Filled:
    """A hole filled by llama.cpp's server: as many tokens behind the same prompt."""
    timings = await server.complete(ids, tokens)
    accepted = timings.get("draft_n_accepted", 0)
    return Filled(
        timings["predicted_n"], timings["predicted_ms"], timings.get("draft_n", 0), accepted
    )


def run(settings: DraftBenchSettings, output: Output) -> None:
    """Fill the holes, show a table, and write JSON and a plot where asked to.

    Raises:
        InvalidRequestError: a server without a model, or the other way round.
        ModelNotAvailableError: llama.cpp's server does not come up.
    """
    plots.check(output.plot)
    if (settings.llama_server is None) != (settings.gguf is None):
        raise InvalidRequestError("--llama-server and --gguf go together: give both or neither")
    recordings = [read_recording(file) for file in sorted(RECORDINGS.glob("*.json"))]
    asked = [request for each in recordings for request in requests(each, settings)]
    players = asyncio.run(_play(settings, asked))
    Console().print(show(players))
    if output.json is not None:
        figures = report(settings, len(asked), players)
        output.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if output.plot is not None:
        title = "Holes in code: how fast they are filled, prompt not counted"
        plots.cumulative(output.plot, title, "tokens per second", by_hole(players))


async def _play(
    settings: DraftBenchSettings, asked: Sequence[CompletionRequest]
) -> list[HoleFiller]:
    ours = [(dtype, _open(settings, dtype)) for dtype in settings.dtypes]
    players: dict[tuple[str, str], HoleFiller] = {}

    def note(name: str, how: str, filled: list[Filled]) -> None:
        players.setdefault((name, how), HoleFiller(name, how)).rounds.append(filled)

    async with contextlib.AsyncExitStack() as stack:
        servers = [
            (how, await stack.enter_async_context(_server(settings, how)))
            for how in (SPEC_TYPES if settings.llama_server else ())
        ]
        console = Console(stderr=True)
        for _ in track(range(settings.rounds), "filling", console=console):
            prompts: list[tuple[list[int], Filled]] = []
            for dtype, (drafting, plain) in ours:
                prompts = [fill(drafting, request) for request in asked]
                note(OURS, f"{dtype}, guesses", [filled for _, filled in prompts])
                note(OURS, dtype, [fill(plain, request)[1] for request in asked])
            for how, server in servers:
                theirs = [await fill_theirs(server, ids, filled.tokens) for ids, filled in prompts]
                note(THEIRS, how, theirs)
    for _, runtimes in ours:
        for runtime in runtimes:
            runtime.close()
    return list(players.values())


def _open(settings: DraftBenchSettings, dtype: str) -> tuple[Runtime, Runtime]:
    """An engine with drafts, and one without, on the same weights."""
    config = EngineConfig(settings.model, dtype=dtype, threads=settings.threads)
    drafting = open_runtime(config)
    machine = replace(drafting.machine, draft_tokens=0)
    return drafting, Runtime(machine, drafting.info, settings.threads)


def _server(
    settings: DraftBenchSettings, how: str
) -> contextlib.AbstractAsyncContextManager[LlamaServer]:
    assert settings.llama_server, settings
    assert settings.gguf, settings
    spec = () if how == PLAIN else ("--spec-type", how)
    return llama_server(
        settings.llama_server, settings.gguf, settings.threads, (*SERVER_OPTIONS, *spec)
    )


def best_opponent(players: Sequence[HoleFiller]) -> HoleFiller | None:
    """llama.cpp's fastest way, by the median."""
    theirs = [player for player in players if player.name == THEIRS]
    return max(theirs, key=lambda p: statistics.median(p.per_second), default=None)


def ratio(player: HoleFiller, opponent: HoleFiller | None) -> float | None:
    """The median of the ratios in the same round; None without an opponent."""
    if opponent is None:
        return None
    pairs = zip(player.per_second, opponent.per_second, strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


def by_hole(players: Sequence[HoleFiller]) -> dict[str, list[float]]:
    """Tokens per second of each hole, in all rounds, by player."""
    return {
        f"{player.name}, {player.how}": [
            1e3 * filled.tokens / filled.ms for one in player.rounds for filled in one
        ]
        for player in players
    }


def show(players: Sequence[HoleFiller]) -> Table:
    """The table for people."""
    table = Table("player", "how", "tok/s", "least", "most", "drafted", "ratio")
    best = best_opponent(players)
    for player in players:
        rates, against = player.per_second, ratio(player, best)
        table.add_row(
            player.name,
            player.how,
            *(f"{rate:.0f}" for rate in (statistics.median(rates), min(rates), max(rates))),
            f"{player.accepted:.0%}",
            "" if against is None else f"{against:.2f}",
        )
    return table


def report(
    settings: DraftBenchSettings, holes: int, players: Sequence[HoleFiller]
) -> dict[str, Any]:
    """The figures, for JSON."""
    best = best_opponent(players)
    return {
        **about(settings.threads),
        "model": settings.model,
        "gguf": settings.gguf.name if settings.gguf else None,
        "holes": holes,
        "lines": settings.lines,
        "players": [
            {
                "player": player.name,
                "how": player.how,
                "per_second": player.per_second,
                "guessed": player.accepted,
                "ratio": ratio(player, best),
                "tokens": [sum(filled.tokens for filled in one) for one in player.rounds],
            }
            for player in players
        ],
    }
