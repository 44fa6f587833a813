"""How often the next token comes out right, with token healing and without.

Real lines of Python are cut at every column. The model is shown the lines before and the line up to
the cut, nothing behind it, and continues greedily. Its completion is right if its new text starts
with the rest of the true token: of the one that holds the first character behind the cut, where the
model's own tokenizer encodes the whole line. Nothing else differs between the two runs of a cut.

The lines are statements inside functions of Python's standard library, 20 to 80 ASCII characters
long, drawn by a seed; the model has probably seen that library, so compare the two rates with each
other, not with those of other code.

Run ``python -P -m midfill.recipes.fitting.healing_rates --help``.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import random
import sysconfig
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import track

from midfill.engine import CompletionRequest, EngineConfig, Scope
from midfill.engine.runtime import open_runtime
from midfill.engine.tokens.healing import split
from midfill.weights.registry import default_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from midfill.engine import Engine, EngineInfo
    from midfill.engine.tokens.tokenizer import Tokenizer

MODULES = (
    "argparse",
    "calendar",
    "configparser",
    "csv",
    "difflib",
    "fractions",
    "shutil",
    "statistics",
    "tarfile",
    "textwrap",
)
LINES_BEFORE = 20
SHORTEST, LONGEST = 20, 80
MAX_TOKENS = 8
"""Tokens that may spell the rest of one; generation ends as soon as it is right or wrong."""
RESAMPLES = 1000

PLACES = ("inside a word", "between words", "in the indentation")


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A line of code, and the lines before it."""

    module: str
    number: int
    """The line number, counted from 1."""
    before: str
    text: str


@dataclass(frozen=True, slots=True)
class Cut:
    """A cursor inside a line."""

    line: CodeLine
    column: int

    @property
    def prefix(self) -> str:
        """What the model is shown."""
        return self.line.before + self.line.text[: self.column]

    @property
    def place(self) -> str:
        """One of PLACES."""
        before, behind = self.line.text[: self.column], self.line.text[self.column :]
        if not before.strip():
            return "in the indentation"
        inside = _in_word(before[-1]) and _in_word(behind[0])
        return "inside a word" if inside else "between words"


@dataclass(frozen=True, slots=True)
class CutOutcome:
    """What came of one cut."""

    cut: Cut
    held: bytes
    """Bytes that healing holds back, for the model to spell again; empty: the two runs are one."""
    spelled: bool
    """Whether the healed output starts with the held bytes."""
    healed: bool
    """Whether the next token came out right with healing."""
    plain: bool
    """Whether it came out right without."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Outcomes counted, and the shares of them that were right."""

    place: str
    cuts: int
    held: int
    """Cuts at which healing held something back."""
    spelled: int
    """Cuts among these whose output starts with the held bytes."""
    only_healed: int
    """Cuts that are right with healing and wrong without."""
    only_plain: int
    healed_rate: float
    plain_rate: float
    gain_low: float
    gain_high: float
    """The difference of the rates lies between these: 95 %, by resampling whole lines."""


def function_lines(source: str) -> list[int]:
    """The numbers of lines on which a statement inside a function starts, docstrings left out."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node for node in ast.walk(ast.parse(source)) if isinstance(node, functions)]
    statements = (node for body in bodies for part in body.body for node in ast.walk(part))
    return sorted(
        {node.lineno for node in statements if isinstance(node, ast.stmt) and not _is_text(node)}
    )


def read_lines(module: str, source: str) -> list[CodeLine]:
    """All lines of a module that may be cut."""
    texts = source.split("\n")
    found = []
    for number in function_lines(source):
        text = texts[number - 1]
        if text.isascii() and SHORTEST <= len(text) <= LONGEST:
            before = texts[max(0, number - 1 - LINES_BEFORE) : number - 1]
            found.append(CodeLine(module, number, "".join(f"{each}\n" for each in before), text))
    return found


def choose_lines(count: int, seed: int) -> list[CodeLine]:
    """So many lines of the running interpreter's library, always the same for a seed."""
    library = Path(sysconfig.get_path("stdlib"))
    lines = [
        line
        for module in MODULES
        for line in read_lines(module, (library / f"{module}.py").read_text(encoding="utf-8"))
    ]
    return random.Random(seed).sample(lines, count)  # noqa: S311  drawn, not secret


def cuts_of(line: CodeLine) -> list[Cut]:
    """Every cursor strictly inside the line, left to right, so that the cache is used."""
    return [Cut(line, column) for column in range(1, len(line.text))]


def rest_of_token(tokenizer: Tokenizer, cut: Cut) -> bytes:
    """What stands behind the cut of the true token that holds the first byte there."""
    whole = f"{cut.line.before}{cut.line.text}\n"
    start, end = len(cut.prefix.encode()), 0
    for token_id in tokenizer.encode(whole, leading_space=False):
        end += len(tokenizer.token_bytes(token_id))
        if end > start:
            return whole.encode()[start:end]
    raise AssertionError(f"the tokens of {whole!r} end at byte {end}, before the cut at {start}")


def compare(engine: Engine, tokenizer: Tokenizer, cut: Cut) -> CutOutcome:
    """Complete at a cut with healing and, if that holds anything back, without."""
    wanted = rest_of_token(tokenizer, cut)
    held = split(tokenizer, cut.prefix, tokenizer.encode(cut.prefix)).held
    output = _generate(engine, tokenizer, cut.prefix, held + wanted, heal=True)
    healed = plain = output.startswith(held + wanted)
    if held:
        plain = _generate(engine, tokenizer, cut.prefix, wanted, heal=False).startswith(wanted)
    return CutOutcome(cut, held, output.startswith(held), healed, plain)


def summarize(outcomes: Sequence[CutOutcome]) -> list[Rates]:
    """The rates of each place that occurs, then of all."""
    places = {place: [o for o in outcomes if o.cut.place == place] for place in PLACES}
    return [_rates(place, some) for place, some in (places | {"all": outcomes}).items() if some]


def as_markdown(rates: Iterable[Rates]) -> str:
    """The table for ``docs/results.md``."""
    rows = [
        "| cut | cuts | held back | spelled again | right, healed | right, not healed | gain, 95 % "
        "| only healed right | only unhealed right |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    rows += [
        f"| {r.place} | {r.cuts} | {r.held} | {r.spelled} | {r.healed_rate:.1%} "
        f"| {r.plain_rate:.1%} | {100 * r.gain_low:+.1f} to {100 * r.gain_high:+.1f} points "
        f"| {r.only_healed} | {r.only_plain} |"
        for r in rates
    ]
    return "\n".join(rows)


def as_json(rates: Iterable[Rates], info: EngineInfo, settings: dict[str, Any]) -> str:
    """The rates, and everything that is needed to measure them again."""
    libraries = ("midfill", "torch", "tokenizers", "sentencepiece")
    document = {
        "recipe": "healing_rates",
        "date": date.today().isoformat(),
        "settings": settings,
        "engine": asdict(info),
        "machine": {
            "architecture": platform.machine(),
            "vectors": torch.backends.cpu.get_cpu_capability(),
            "cores": os.cpu_count(),
        },
        "versions": {"python": platform.python_version()} | {n: version(n) for n in libraries},
        "rates": [asdict(each) for each in rates],
    }
    return json.dumps(document, indent=2) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, write the JSON; 1 if held bytes were ever not spelled again."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default=default_name(), help="(default: %(default)s)")
    parser.add_argument("--lines", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the lines (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    args = parser.parse_args(argv)
    console = Console(soft_wrap=True)
    runtime = open_runtime(EngineConfig(args.model, threads=args.threads))
    with closing(runtime):
        outcomes = [
            compare(runtime, runtime.machine.tokenizer, cut)
            for line in track(choose_lines(args.lines, args.seed), "lines", console=console)
            for cut in cuts_of(line)
        ]
    rates = summarize(outcomes)
    console.print(as_markdown(rates), markup=False, highlight=False)
    if args.json:
        settings = {"lines": args.lines, "seed": args.seed, "threads": args.threads}
        args.json.write_text(as_json(rates, runtime.info, settings), encoding="utf-8")
    return 0 if all(outcome.spelled for outcome in outcomes) else 1


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _generate(
    engine: Engine, tokenizer: Tokenizer, prefix: str, expected: bytes, *, heal: bool
) -> bytes:
    """The raw output's bytes, at least as far as they agree with what is expected."""
    request = CompletionRequest(prefix, heal=heal, scope=Scope.MODEL, max_tokens=MAX_TOKENS)
    stream = engine.infill(request)
    output = b""
    for chunk in stream:
        output += b"".join(tokenizer.token_bytes(token.id) for token in chunk.tokens)
        if not expected.startswith(output) or output == expected:
            stream.cancel()
    return output


def _rates(place: str, outcomes: Sequence[CutOutcome]) -> Rates:
    held = [outcome for outcome in outcomes if outcome.held]
    low, high = _gain_interval(outcomes)
    return Rates(
        place=place,
        cuts=len(outcomes),
        held=len(held),
        spelled=sum(outcome.spelled for outcome in held),
        only_healed=sum(outcome.healed and not outcome.plain for outcome in outcomes),
        only_plain=sum(outcome.plain and not outcome.healed for outcome in outcomes),
        healed_rate=_share(outcomes, lambda outcome: outcome.healed),
        plain_rate=_share(outcomes, lambda outcome: outcome.plain),
        gain_low=low,
        gain_high=high,
    )


def _share(outcomes: Sequence[CutOutcome], right: Callable[[CutOutcome], bool]) -> float:
    return sum(map(right, outcomes)) / len(outcomes)


def _gain_interval(outcomes: Sequence[CutOutcome]) -> tuple[float, float]:
    """Percentile bootstrap; cuts of one line are not independent, so lines are drawn."""
    lines: dict[CodeLine, list[int]] = {}
    for outcome in outcomes:
        lines.setdefault(outcome.cut.line, []).append(outcome.healed - outcome.plain)
    sums = [(sum(gains), len(gains)) for gains in lines.values()]
    draw = random.Random(0)  # noqa: S311  drawn, not secret
    gains = []
    for _ in range(RESAMPLES):
        drawn = draw.choices(sums, k=len(sums))
        gains.append(sum(gain for gain, _ in drawn) / sum(cuts for _, cuts in drawn))
    gains.sort()
    return gains[RESAMPLES * 25 // 1000], gains[RESAMPLES * 975 // 1000 - 1]


if __name__ == "__main__":
    raise SystemExit(main())
