"""What a pipe and a terminal are shown: plain text, or colours, and bars on standard error.

Invariant: text from files and models is shown, never obeyed, unless somebody asks for it raw. On a
terminal, control characters other than tab and newline appear as Unicode's pictures of them; in a
pipe, which may end at a terminal, a completion's do. A pipe needs no Rich.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from midfill.weights.store import Progress

LINES_BEFORE = 20
LINES_AFTER = 3

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
_PICTURES |= {0x7F: 0x2421} | dict.fromkeys(range(0x80, 0xA0), 0xFFFD)

_DIFF_STYLES = {"---": "bold", "+++": "bold", "@@": "cyan", "+": "green", "-": "red"}


class TextPrinter(Protocol):
    """Shows a middle while it grows."""

    def add(self, text: str) -> None:
        """Show more of it."""
        ...

    def close(self) -> None:
        """Show that it is complete."""
        ...


class Pipe:
    """The middle alone; exactly, if it is wanted raw."""

    def __init__(self, *, at_once: bool, is_raw: bool) -> None:
        self._at_once = at_once
        self._is_raw = is_raw

    def add(self, text: str) -> None:
        """Write it, and let go of it if it is wanted at once."""
        sys.stdout.write(text if self._is_raw else visible(text))
        if self._at_once:
            sys.stdout.flush()

    def close(self) -> None:
        """Nothing is left to do."""


class Canvas:
    """The middle in its surroundings: green between dim lines."""

    def __init__(self, prefix: str, suffix: str) -> None:
        from rich.console import Console

        self._console = Console(highlight=False, soft_wrap=True)
        self._after = "\n".join(suffix.split("\n")[: LINES_AFTER + 1]).rstrip("\n") + "\n"
        _show(self._console, "\n".join(prefix.split("\n")[-LINES_BEFORE:]), "dim")

    def add(self, text: str) -> None:
        """Show it in green."""
        _show(self._console, text, "green")

    def close(self) -> None:
        """Show what follows the hole."""
        _show(self._console, self._after, "dim")


def visible(text: str) -> str:
    """The text with pictures for its control characters, but for tabs and newlines."""
    return text.translate(_PICTURES)


def text_printer(prefix: str, suffix: str, *, at_once: bool, is_raw: bool = False) -> TextPrinter:
    """The printer for standard output as it is; ``at_once`` is for pipes, which may buffer."""
    if sys.stdout.isatty() and not is_raw:
        return Canvas(prefix, suffix)
    return Pipe(at_once=at_once, is_raw=is_raw)


def show_diff(diff: str, *, is_raw: bool = False) -> None:
    """Print a unified diff, in colour on a terminal unless it is wanted raw."""
    if is_raw or not sys.stdout.isatty():
        sys.stdout.write(diff)
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for line in diff.split("\n")[:-1]:
        style = next((s for start, s in _DIFF_STYLES.items() if line.startswith(start)), "dim")
        _show(console, line.removesuffix("\r") + "\n", style)


@contextmanager
def loading(
    first: str = "opening the model",
) -> Iterator[Callable[[str, float], None] | None]:
    """A bar on standard error, and what moves it: a phase and the share done, 0 to 1.

    Args:
        first: The phase that it starts with.

    Yields:
        None where standard error is no terminal.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(first, total=1.0)
        yield lambda phase, share: progress.update(task, description=phase, completed=share)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Bars on standard error, one for each phase; none if that is not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description:>12}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    bars: dict[str, Any] = {}
    with Progress(
        *columns, TransferSpeedColumn(), console=console, disable=not console.is_terminal
    ) as progress:

        def on_progress(phase: str, done_bytes: int, total_bytes: int) -> None:
            if phase not in bars:
                bars[phase] = progress.add_task(phase)
            progress.update(bars[phase], completed=done_bytes, total=total_bytes or None)

        yield on_progress


def _show(console: Console, text: str, style: str) -> None:
    console.print(visible(text), style=style, end="", markup=False, emoji=False)
