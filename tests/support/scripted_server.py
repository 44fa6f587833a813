"""``python scripted_server.py lsp ...``: the real command, its engine writes as it is told.

What the engine writes is in the text before the cursor, after the last "# do:":

==============  =================================================================
command         the completion
==============  =================================================================
write TEXT      the text, in pieces of three characters, with "~" for a line end
fill TEXT       the text to its line's end, or what of it is not there yet
slowly TEXT     the same, with time to see each piece
any A|B|C       A likewise; B and C too where alternatives are asked for
forever         pieces without an end, until it is cancelled
raise           an error that nobody expects
die             the engine's thread ends
print           "done", after writing to stdout as a careless library would
hang            nothing, and the server's event loop is held for ever
hold            nothing, in a thread that python waits for at its end
flood           pieces without an end or a pause
match           nothing, and no thread of Python's runs any more
==============  =================================================================
"""

from __future__ import annotations

import os
import re
import sys
import threading
from itertools import repeat
from typing import TYPE_CHECKING

from fakes import FINISHED, FakeEngine, FakeStream

from midfill.cli import main
from midfill.engine.api import FinishReason
from midfill.engine.errors import EngineClosedError, ModelNotPulledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from midfill.engine.api import EngineConfig

_COMMAND = re.compile(r"\s*(\w*) ?(.*)", re.DOTALL)
PIECE = 3
PAUSE_S = 0.005
LONG_PAUSE_S = 0.1


def write(
    stream: FakeStream,
    pieces: Iterable[str],
    pause_s: float = PAUSE_S,
    alternatives: Sequence[str] = (),
) -> None:
    """Write a piece after each pause until they end or the stream is cancelled."""
    cancelled = threading.Event()
    cancel, stream.heeds_cancel = stream.cancel, False

    def cancel_writing() -> None:
        cancel()
        cancelled.set()

    def run() -> None:
        for piece in pieces:
            if cancelled.wait(pause_s):
                break
            stream.write(piece)
        reason = FinishReason.CANCELLED if cancelled.is_set() else FINISHED
        stream.finish(reason, alternatives[: stream.request.alternatives])

    stream.cancel = cancel_writing  # type: ignore[method-assign]
    threading.Thread(target=run, daemon=True).start()


def pieces_of(text: str) -> list[str]:
    """The text in pieces, with line ends."""
    text = text.replace("~", "\n")
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


def fill(stream: FakeStream, argument: str, pause_s: float = PAUSE_S) -> None:
    """Write what the argument's first line says and its other lines do not end with."""
    line, _, below = argument.partition("\n")
    write(stream, pieces_of(missing(line, below)), pause_s)


def missing(line: str, below: str) -> str:
    """The text that a line says, and that another one does not end with."""
    text = line.replace("~", "\n")
    there = max(n for n in range(len(text) + 1) if below.endswith(text[:n]))
    return text[there:]


def choose(stream: FakeStream, argument: str) -> None:
    """Fill in the first candidate, and have the others as alternatives."""
    line, _, below = argument.partition("\n")
    best, *others = (missing(text, below) for text in line.split("|"))
    write(stream, pieces_of(best), alternatives=others)


def print_carelessly(stream: FakeStream) -> None:
    """Write to stdout from Python and past it."""
    print("a progress bar", flush=True)  # noqa: T201
    os.write(1, b"a message from C")
    write(stream, pieces_of("done"))


def hang(_: FakeStream) -> None:
    """Hold the thread that asks, which is the event loop's, and say so."""
    os.write(2, b"it hangs\n")
    threading.Event().wait()


def hold(_: FakeStream) -> None:
    """Leave a thread behind that Python waits for."""
    threading.Thread(target=threading.Event().wait).start()


def flood(stream: FakeStream) -> None:
    """Write more than anybody can read."""
    write(stream, repeat("more " * 1000), 0)


def match(_: FakeStream) -> None:
    """Keep the interpreter in C code that does not end, and say so before."""
    os.write(2, b"it hangs\n")
    re.match("(a+)+$", "a" * 99 + "b")


HANGING = {"hang": hang, "hold": hold, "flood": flood, "match": match}
"""What would hold up the end of the process."""


def script(stream: FakeStream) -> None:
    """Do what the request's prefix says."""
    told = stream.request.prefix.rpartition("# do:")[2]
    command, argument = _COMMAND.match(told).groups()  # type: ignore[union-attr]
    if command == "write":
        write(stream, pieces_of(argument.strip()))
    elif command == "fill":
        fill(stream, argument)
    elif command == "slowly":
        fill(stream, argument, LONG_PAUSE_S)
    elif command == "any":
        choose(stream, argument)
    elif command == "forever":
        write(stream, repeat("more "))
    elif command == "print":
        print_carelessly(stream)
    elif command in HANGING:
        HANGING[command](stream)
    elif command == "die":
        stream.fail(EngineClosedError("the engine's thread ended; run midfill.restart"))
    else:
        stream.fail(ZeroDivisionError("a defect"))


def open_engine(
    config: EngineConfig, on_progress: Callable[[str, float], None] | None = None
) -> FakeEngine:
    """As midfill.engine.open_engine; the model "missing" is not pulled."""
    if config.model == "missing":
        raise ModelNotPulledError("model 'missing' is not here; run midfill models pull missing")
    return FakeEngine(script, config)


if __name__ == "__main__":
    sys.exit(main(open_engine=open_engine))
