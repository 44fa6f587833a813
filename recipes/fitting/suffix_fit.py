"""The weights of ``EndOfLine``: a logistic regression on line ends of true middles.

Holes are drawn in held-out files of a corpus, as in ``line_ends``. Each line end in one, up to its
own end, is a case: the engine is given the text up to there, in the order that it would choose, and
says how probable it finds the end, and how far it is from writing the suffix. Half of the holes fit
the weights, the others say what they are worth.

Run ``python -P -m midfill.recipes.fitting.suffix_fit --help``.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import track

from midfill.engine import CompletionRequest, EngineConfig
from midfill.engine.model.token_tree import SlotText
from midfill.engine.runtime import open_runtime
from midfill.engine.stopping.suffix_fit import EndEvidence, EndWeights, SuffixFit, read_evidence
from midfill.engine.stopping.surroundings import Surroundings
from midfill.recipes.fitting.line_ends import choose_gaps
from midfill.recipes.training.examples import read_documents
from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from midfill.engine.runtime import Runtime
    from midfill.recipes.fitting.line_ends import Gap

MAX_LINES = 4
"""Line ends of a hole that are looked at: the first ones, and the true one."""
PROMPT_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class Case:
    """A line end in a true middle."""

    hole: int
    evidence: EndEvidence
    is_last: bool


@dataclass(frozen=True, slots=True)
class Worth:
    """How well cases are told apart, by some of the evidence."""

    evidence: str
    area: float
    """The area under the ROC curve: how often a true end is put above another line end."""
    right: float
    """The share of the cases on the right side of 0."""
    loss: float
    """Mean cross entropy, nats."""


def cases_of(runtime: Runtime, number: int, hole: Gap) -> Iterator[Case]:
    """The line ends of one hole; none where the suffix does not begin with lines of its own."""
    machine = runtime.machine
    tokenizer, model = machine.tokenizer, machine.model
    is_whole = Surroundings.of(hole.prefix, hole.suffix).is_whole_line
    fit = SuffixFit(tokenizer, hole.suffix, is_whole_line=is_whole)
    suffix = fit.ids(behind_line_end=False)
    if not suffix:
        return
    request = CompletionRequest(hole.prefix, hole.suffix)
    prompt = machine.prompter.build(request, PROMPT_TOKENS, machine.cache.match)
    kept = len(tokenizer.encode(hole.prefix)) - prompt.healed_tokens
    for stop, is_last in _line_ends(hole.middle):
        text = tokenizer.encode(hole.prefix + hole.middle[:stop])[kept:]
        ids = prompt.ids + text
        slot = machine.cache.take(ids)
        hidden = machine.prefiller.run(ids[slot.length :], slot)
        assert hidden is not None, "nobody stops it"
        logits = model.logits(hidden)[0]
        evidence = read_evidence(SlotText(model, slot), logits, suffix, machine.end_ids)
        yield Case(number, evidence, is_last)


def _line_ends(middle: str) -> list[tuple[int, bool]]:
    """The ends of its lines that are not blank, and whether it ends there too."""
    last = len(middle.rstrip())
    stops, start = [], 0
    for line in middle[:last].split("\n"):
        if line.strip():
            stops.append(start + len(line.rstrip()))
        start += len(line) + 1
    return [(stop, stop == last) for stop in [*stops[:-1][:MAX_LINES], *stops[-1:]]]


def fit(evidence: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bias and weights, (1 + S,), of the logistic regression on S columns, (N, S), by Newton."""
    rows = np.c_[np.ones(len(evidence)), evidence]
    weights = np.zeros(rows.shape[1])
    ridge = 1e-3 * np.eye(len(weights))
    for _ in range(50):
        p = 1 / (1 + np.exp(-rows @ weights))
        curvature = (rows * (p * (1 - p))[:, None]).T @ rows + ridge
        weights += np.linalg.solve(curvature, rows.T @ (labels - p) - ridge @ weights)
    return weights


def worth(name: str, odds: NDArray[np.float64], labels: NDArray[np.bool_]) -> Worth:
    """How well log-odds, (N,), tell ends of middles from other line ends."""
    ends, others = odds[labels], odds[~labels]
    area = (ends[:, None] > others).mean() + (ends[:, None] == others).mean() / 2
    loss = np.logaddexp(0, np.where(labels, -odds, odds)).mean()
    return Worth(name, float(area), float(((odds > 0) == labels).mean()), float(loss))


def evaluate(cases: Sequence[Case]) -> tuple[EndWeights, list[Worth]]:
    """Weights of all cases; and what each sign is worth on odd holes, fitted on even ones.

    Raises:
        InvalidRequestError: odd holes or even ones lack line ends of one kind.
    """
    labels = np.array([case.is_last for case in cases])
    evidence = np.array([case.evidence for case in cases])
    held = np.array([case.hole % 2 == 1 for case in cases])
    if len({(case.hole % 2, case.is_last) for case in cases}) < 4:
        raise InvalidRequestError("the holes have too few line ends: ask for more with --holes")
    table = []
    for name, columns in (("end", [0]), ("gap", [1]), ("end and gap", [0, 1])):
        bias, *factors = fit(evidence[~held][:, columns], labels[~held])
        table.append(worth(name, bias + evidence[held][:, columns] @ factors, labels[held]))
    return EndWeights(*(round(float(weight), 3) for weight in fit(evidence, labels))), table


def as_markdown(table: Sequence[Worth]) -> str:
    """The table for ``docs/results.md``."""
    rows = ["| evidence | area under ROC | right | loss |", "|---|---:|---:|---:|"]
    rows += [
        f"| {w.evidence} | {w.area:.3f} | {100 * w.right:.1f} % | {w.loss:.3f} |" for w in table
    ]
    return "\n".join(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, fit, print, write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("documents", type=Path, help="documents.jsonl of recipes.corpus.make")
    parser.add_argument("--model", default="midfill-135m", help="(default: %(default)s)")
    parser.add_argument("--adapter", help="a LoRA adapter's folder, applied")
    parser.add_argument("--holes", type=int, default=400, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=11, help="of the holes (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there too")
    args = parser.parse_args(argv)
    console = Console(soft_wrap=True)
    holes = choose_gaps(list(read_documents(args.documents)), args.holes, args.seed)
    config = EngineConfig(args.model, adapter=args.adapter, threads=args.threads)
    with closing(open_runtime(config)) as runtime:
        cases = [
            case
            for number, hole in enumerate(track(holes, "holes", console=console))
            for case in cases_of(runtime, number, hole)
        ]
        engine = asdict(runtime.info)
    weights, table = evaluate(cases)
    ends = sum(case.is_last for case in cases)
    console.print(as_markdown(table), markup=False, highlight=False)
    console.print(f"{len(cases)} line ends, {ends} of them ends of middles: {weights}")
    if args.json:
        document = {
            "recipe": "join_fit",
            "date": date.today().isoformat(),
            "settings": {"holes": args.holes, "seed": args.seed},
            "engine": engine,
            "weights": asdict(weights),
            "worth": [asdict(each) for each in table],
        }
        args.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
