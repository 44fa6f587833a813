"""What it costs in quality that a middle has begun before the cursor (``engine.prompt.anchors``).

HumanEval's infilling problems are filled prefix-first, and again with the end of the prefix as the
begin of the middle: the cursor's line, and so many whole lines before it.

Run ``python -P -m midfill.recipes.fitting.anchors --help``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from midfill.engine import EngineConfig, Order
from midfill.engine.runtime import open_runtime
from midfill.recipes.evaluation import infill
from midfill.recipes.evaluation.settings import InfillSettings
from midfill.recipes.reports.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from midfill.engine import Engine


def begun_lines_before(lines: int) -> Callable[[str], Iterator[int]]:
    """The one place so many whole lines before the cursor's, as ``anchors`` gives several."""

    def places(text: str) -> Iterator[int]:
        start = text.rfind("\n") + 1
        for _ in range(lines):
            start = text.rfind("\n", 0, max(0, start - 1)) + 1
        yield start

    return places


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the problems in both ways; a table and a file for each number of lines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="problems, as for midfill eval infill")
    parser.add_argument("--model", default="midfill-135m", help="(default: %(default)s)")
    parser.add_argument("--lines", type=int, nargs="+", default=[0, 4, 8])
    parser.add_argument("--limit", type=int, help="problems at most, drawn by seed")
    parser.add_argument("--cut-words", action="store_true", help="cursors inside of words")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="where the files go")
    args = parser.parse_args(argv)
    config, console = EngineConfig(args.model, threads=args.threads), Console(soft_wrap=True)
    for lines in args.lines:
        orders = (Order.PSM, Order.ANCHORED)
        settings = InfillSettings(
            args.data, limit=args.limit, cut_words=args.cut_words, orders=orders
        )

        def opened(config: EngineConfig, lines: int = lines) -> Engine:
            runtime = open_runtime(config)
            runtime.machine.prompter.places = begun_lines_before(lines)
            return runtime

        console.print(f"\nThe cursor's line and {lines} before it begin the middle:\n")
        output = Output(args.out / f"anchored_{lines}.json" if args.out else None)
        infill.run(settings, config, opened, output)


if __name__ == "__main__":
    main()
