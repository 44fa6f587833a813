r"""Line ends, which LSP has three of, and ranges of lines; inside, text has "\n" only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LineRange:
    """Lines from ``start`` up to and without ``end``, counted from 0."""

    start: int
    end: int


def with_line_ends(text: str, line_end: str) -> str:
    r"""The text with the document's line ends for "\n"."""
    return text.replace("\n", line_end)


def with_newlines(text: str) -> str:
    r"""The text with "\n" for each of the line ends that LSP knows: "\r\n", "\n" and "\r"."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def well_formed(text: str) -> str:
    """The text as UTF-8 can take it: half of a surrogate pair becomes a question mark."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def line_end_of(text: str) -> str:
    r"""The line end that the text has most often; "\n" if none is."""
    crlf = text.count("\r\n")
    counts = {"\n": text.count("\n") - crlf, "\r\n": crlf, "\r": text.count("\r") - crlf}
    return max(counts, key=lambda line_end: counts[line_end])
