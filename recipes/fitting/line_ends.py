"""The end of a middle: what ``Dialect.end_at_line`` and ``Dialect.end_weights`` are worth.

Holes are drawn in held-out Python files of a corpus, as the training draws them, but without spans
that end anywhere. The model fills each one, greedily, once for every threshold without weights and
once with it, with no rule to stop it but the one that is measured. Counted are middles that come
out exactly (blanks at the ends aside) and middles with the right number of lines.

Run ``python -P -m midfill.recipes.fitting.line_ends --help``.
"""

from __future__ import annotations

import argparse
import json
import random
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from midfill.engine import CompletionRequest, EngineConfig, Scope
from midfill.engine.runtime import open_runtime
from midfill.recipes.training.examples import read_documents
from midfill.recipes.training.holes import SourceText
from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from midfill.engine.runtime import Runtime
    from midfill.engine.stopping.suffix_fit import EndWeights
    from midfill.recipes.training.examples import Document

BEFORE, BEHIND = 1500, 800
"""Characters of the text around a hole."""
MAX_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole with what stands around it."""

    prefix: str
    middle: str
    suffix: str


@dataclass(frozen=True, slots=True)
class Ends:
    """What came of all gaps with one threshold."""

    threshold: float
    gaps: int
    exact: int
    lines_right: int
    """Middles with as many lines as the true ones."""
    joins: bool = False
    """Whether it was also asked how well the suffix would follow."""


def choose_gaps(documents: Sequence[Document], count: int, seed: int) -> list[Gap]:
    """So many gaps, always the same for a seed.

    Raises:
        InvalidRequestError: no Python file of the documents is held out.
    """
    held = [d for d in documents if d.held_out and d.language == "python"]
    if not held:
        raise InvalidRequestError("no Python document is held out: give a corpus that has some")
    rng = random.Random(seed)  # noqa: S311  drawn, not secret
    gaps: list[Gap] = []
    while len(gaps) < count:
        text = (document := rng.choice(held)).text
        hole = SourceText(text, document.language).hole(rng)
        if hole is not None and hole.kind != "span":
            before = text[max(0, hole.start - BEFORE) : hole.start]
            gaps.append(
                Gap(before, text[hole.start : hole.end], text[hole.end : hole.end + BEHIND])
            )
    return gaps


def measure(
    runtime: Runtime, gaps: Iterable[Gap], threshold: float, end_weights: EndWeights | None = None
) -> Ends:
    """Fill all gaps with one threshold."""
    prompter = runtime.machine.prompter
    prompter.dialect = replace(prompter.dialect, end_at_line=threshold, end_weights=end_weights)
    count = exact = lines_right = 0
    for gap in gaps:
        count += 1
        request = CompletionRequest(
            gap.prefix, gap.suffix, scope=Scope.MODEL, max_tokens=MAX_TOKENS
        )
        text = "".join(chunk.text for chunk in runtime.infill(request))
        exact += text.strip() == gap.middle.strip()
        lines_right += _lines(text) == _lines(gap.middle)
    return Ends(threshold, count, exact, lines_right, joins=end_weights is not None)


def as_markdown(ends: Sequence[Ends]) -> str:
    """The table for ``docs/results.md``."""
    rows = ["| threshold | exact | right number of lines | holes |", "|---:|---:|---:|---:|"]
    names = [f"{e.threshold:g}, suffix fit" if e.joins else f"{e.threshold:g}" for e in ends]
    rows += [
        f"| {name} | {e.exact} | {e.lines_right} | {e.gaps} |"
        for name, e in zip(names, ends, strict=True)
    ]
    return "\n".join(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("documents", type=Path, help="documents.jsonl of recipes.corpus.make")
    parser.add_argument("--model", default="midfill-135m", help="(default: %(default)s)")
    parser.add_argument("--holes", type=int, default=240, help="(default: %(default)s)")
    parser.add_argument(
        "--thresholds", "-t", type=float, nargs="+", default=[1.0, 0.3, 0.2, 0.1, 0.05]
    )
    parser.add_argument("--seed", type=int, default=7, help="of the holes (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    args = parser.parse_args(argv)
    console = Console(soft_wrap=True)
    gaps = choose_gaps(list(read_documents(args.documents)), args.holes, args.seed)
    runtime = open_runtime(EngineConfig(args.model, threads=args.threads))
    with closing(runtime):
        own = runtime.machine.prompter.dialect
        cells: list[tuple[float, EndWeights | None]] = [(t, None) for t in args.thresholds]
        cells += [(own.end_at_line, own.end_weights)] if own.end_weights else []
        ends = [
            measure(runtime, track(gaps, f"{threshold:g}", console=console), threshold, end_weights)
            for threshold, end_weights in cells
        ]
    console.print(as_markdown(ends), markup=False, highlight=False)
    if args.json:
        document = {
            "recipe": "line_ends",
            "date": date.today().isoformat(),
            "settings": {"holes": args.holes, "seed": args.seed},
            "engine": asdict(runtime.info),
            "ends": [asdict(each) for each in ends],
        }
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _lines(text: str) -> int:
    return text.strip("\n").count("\n")


if __name__ == "__main__":
    main()
