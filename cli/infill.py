"""``midfill infill``: fill one hole in one file."""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from midfill.cli.options.model import add_model_options
from midfill.cli.output import Completion, as_json, stats_line, unified_diff
from midfill.cli.request import request_of, settings_of
from midfill.cli.source_file import LineColumn, Region, SourceFile, read_source
from midfill.cli.terminal import TextPrinter, loading, show_diff, text_printer, visible
from midfill.engine.api import CompletionRequest, Order
from midfill.engine.errors import InvalidRequestError
from midfill.lsp_server.request.display import Display
from midfill.lsp_server.request.explanation import Explanation
from midfill.lsp_server.request.origin import Origin, Source
from midfill.lsp_server.text.located import Hole

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.engine.api import CompletionStats, CompletionStream, Engine, EngineConfig

DONE = 0
NO_COMPLETION = 1
TRIES = 8
"""Completions to write, at most; more find little more: see docs/results.md."""

_DEFAULT = CompletionRequest(prefix="")
_PLACES = """\
places:
  LINE and COL count from 1, COL in characters (not bytes, not tab stops). The column after a
  line's last character is its end; a file that ends in a line end has one more, empty, line.

output:
  text prints what was filled in, and nothing else; a terminal shows it in its surroundings, in
  colour. diff and json print everything that --write would do. With --write, nothing is printed
  unless --format or --stream asks for it. Control characters of a completion could steer a
  terminal: text and diff have pictures for them, unless --raw is given. What --write writes and
  the json are exact.

exit codes:
  0 done, 1 no completion, 2 bad usage or input, 3 model not available
"""


class EngineOpener(Protocol):
    """What ``midfill.engine.open_engine`` is."""

    def __call__(
        self, config: EngineConfig, on_progress: Callable[[str, float], None] | None = None
    ) -> Engine:
        """Load a model."""
        ...


def parse_place(text: str) -> LineColumn:
    """``LINE:COL``, two whole numbers from 1, as an argparse type."""
    match = re.fullmatch(r"([1-9][0-9]{0,8}):([1-9][0-9]{0,8})", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not LINE:COL, counted from 1, like 12:5")
    return LineColumn(int(match[1]), int(match[2]))


def parse_range(text: str) -> tuple[LineColumn, LineColumn]:
    """``L1:C1-L2:C2`` as an argparse type."""
    start, dash, end = text.partition("-")
    if not dash:
        raise argparse.ArgumentTypeError(f"{text!r} is not L1:C1-L2:C2, like 12:5-14:1")
    return parse_place(start), parse_place(end)


def add_arguments(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], open_engine: EngineOpener
) -> None:
    """Add ``infill``; its ``run`` opens the model with ``open_engine``."""
    parser = commands.add_parser(
        "infill",
        help="fill a hole in a file",
        description="Fill a hole in a file with what fits between the text before and after it.",
        epilog=_PLACES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=partial(run, open_engine=open_engine))
    _add_file_arguments(parser)
    _add_output_arguments(parser)
    add_model_options(parser)
    _add_generation_arguments(parser)


def _add_file_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the file with the hole; - is standard input")
    hole = parser.add_argument_group("where the hole is").add_mutually_exclusive_group(
        required=True
    )
    hole.add_argument("--at", type=parse_place, metavar="LINE:COL", help="between two characters")
    hole.add_argument(
        "--range", type=parse_range, metavar="L1:C1-L2:C2", help="this region, which is replaced"
    )
    hole.add_argument("--marker", metavar="TEXT", help="where this text stands, which is replaced")
    group = parser.add_argument_group("what the model sees")
    group.add_argument("--encoding", default="utf-8", help="of the file (default: %(default)s)")
    group.add_argument("--language", metavar="ID", help="as editors name it; default: by the name")
    group.add_argument(
        "--repo",
        metavar="ROOT",
        help="where context comes from; default: the file's git repository",
    )
    group.add_argument("--no-context", action="store_true", help="show the model this file only")


def _add_output_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=("text", "diff", "json"), help="(default: text)")
    group.add_argument("--stream", action="store_true", help="write text as it comes, to pipes too")
    group.add_argument("--raw", action="store_true", help="print control characters as they are")
    group.add_argument("--write", action="store_true", help="change the file in place, atomically")
    group.add_argument("--stats", action="store_true", help="one line on standard error at the end")
    group.add_argument(
        "--explain",
        action="store_true",
        help="how it came about: context, prompt, cost, cuts; on standard error, or in the json",
    )


def _add_generation_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("generation")
    group.add_argument(
        "--order",
        choices=[order.value for order in Order],
        default=_DEFAULT.order.value,
        help="of prefix and suffix in the prompt (default: %(default)s)",
    )
    group.add_argument("--no-heal", action="store_true", help="keep the prompt's last tokens as is")
    group.add_argument(
        "--max-tokens",
        type=int,
        default=_DEFAULT.max_tokens,
        metavar="N",
        help="(default: %(default)s)",
    )
    group.add_argument("--single-line", action="store_true", help="stop at the end of the line")
    group.add_argument(
        "--temperature",
        type=float,
        default=_DEFAULT.sampling.temperature,
        metavar="T",
        help="0 always takes the likeliest token (default: %(default)s)",
    )
    group.add_argument("--seed", type=int, metavar="N", help="makes a temperature repeatable")
    group.add_argument(
        "--tries",
        type=int,
        metavar="N",
        help="completions to write at most; the one that fits best before the text behind the hole "
        f"is taken (default: {TRIES}, with --stream 1)",
    )


def run(args: argparse.Namespace, open_engine: EngineOpener) -> int:
    """Fill the hole and print or write what came; the exit code.

    Raises:
        MidfillError: an option's value or combination is wrong, or the model cannot do it.
        OSError: the file cannot be read or written.
    """
    _check_combination(args)
    source = read_source(args.file, args.encoding, args.language)
    hole = _find_hole(source, args)
    if args.write:
        source.require_rewritable()
    settings = settings_of(args)
    asked = request_of(args, settings, source, hole)
    tries = args.tries if args.tries is not None else 1 if args.stream else TRIES
    asked = replace(asked, request=replace(asked.request, tries=tries))
    request = asked.request
    with loading() as on_progress:
        engine = open_engine(settings.engine_config(), on_progress)
    with closing(engine):
        around = Hole.of(source.text, hole.start, hole.end)  # the request's has its secrets masked
        display = Display(around.prefix, around.suffix, source.snapshot.language_id)
        written, stats = _fill(engine.infill(request), display, _text_printer(args, around))
        info = engine.info
    middle = display.finished(written)
    origin = Origin("", Source.GENERATED, asked, info)
    line = source.place(hole.start).line
    explanation = Explanation(origin, origin.source, line, written, middle, stats)
    _report(args, Completion(source, hole, middle, stats, info), explanation)
    return DONE if middle else NO_COMPLETION


def _check_combination(args: argparse.Namespace) -> None:
    if args.write and args.file == "-":
        raise InvalidRequestError("standard input cannot be written: leave out --write")
    if args.stream and args.format not in {None, "text"}:
        raise InvalidRequestError(f"--stream is for text, and --format is {args.format}")
    if args.stream and args.tries not in {None, 1}:
        raise InvalidRequestError("--stream shows the first try: leave out --tries, or --stream")
    if args.raw and _printed(args) not in {"text", "diff"}:
        raise InvalidRequestError("--raw is for printed text and diffs: leave it out")


def _find_hole(source: SourceFile, args: argparse.Namespace) -> Region:
    if args.at is not None:
        return source.at(args.at)
    if args.range is not None:
        return source.between(*args.range)
    return source.marked(args.marker)


def _text_printer(args: argparse.Namespace, around: Hole) -> TextPrinter | None:
    """What shows text as it comes; None if this run prints no text."""
    if _printed(args) != "text":
        return None
    return text_printer(around.prefix, around.suffix, at_once=args.stream, is_raw=args.raw)


def _printed(args: argparse.Namespace) -> str | None:
    """The format of what this run prints; None if it prints nothing."""
    return args.format or ("text" if args.stream or not args.write else None)


def _fill(
    stream: CompletionStream, display: Display, printer: TextPrinter | None
) -> tuple[str, CompletionStats]:
    """What the model wrote and what it cost; printed on the way, as far as it is settled."""
    text = shown = ""
    stats = None
    for chunk in stream:
        text, stats = text + chunk.text, chunk.stats
        shown = _show_more(printer, display.settled(text), shown)
    assert stats is not None, "the last chunk of a stream has its stats"
    _show_more(printer, display.finished(text), shown)
    if printer is not None:
        printer.close()
    return text, stats


def _show_more(printer: TextPrinter | None, text: str, shown: str) -> str:
    """Print what the text has more than what is shown; what is shown now."""
    if len(text) <= len(shown):
        return shown
    if printer is not None:
        printer.add(text[len(shown) :])
    return text


def _report(args: argparse.Namespace, completion: Completion, explanation: Explanation) -> None:
    if args.write and completion.middle:
        completion.source.write(completion.filled)
    if args.format == "diff" and completion.middle:
        shown = completion if args.raw else replace(completion, middle=visible(completion.middle))
        show_diff(unified_diff(shown), is_raw=args.raw)
    elif args.format == "json":
        print(as_json(completion, explanation if args.explain else None))
    elif args.explain:
        print(visible(explanation.as_text()), end="", file=sys.stderr)
    if args.stats:
        print(stats_line(completion), file=sys.stderr)
    is_altered = not args.raw and visible(completion.middle) != completion.middle
    if is_altered and _printed(args) in {"text", "diff"}:
        text = "midfill: pictures stand for control characters; --raw prints them as they are"
        print(text, file=sys.stderr)
    if not completion.middle:
        reason = completion.stats.finish_reason.value
        print(f"midfill: no completion (ended by {reason})", file=sys.stderr)
