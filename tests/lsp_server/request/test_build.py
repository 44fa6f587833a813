"""Requests: what the engine is told, and prompts that stay put while a user types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.api import CompletionRequest, ContextPiece, Order, Priority, Sampling, Scope
from midfill.lsp_server.request.build import (
    DENSE_CHARACTERS_PER_TOKEN,
    READ_MS,
    STRIDES,
    build_request,
    end_of,
    head_end,
    scope_in,
    start_of,
)
from midfill.lsp_server.settings import (
    CHARACTERS_PER_TOKEN,
    CompletionSettings,
    ContextSettings,
    PromptSettings,
    Settings,
    parse,
)
from midfill.lsp_server.text.located import Hole, Located
from midfill.lsp_server.text.snapshot import Snapshot

SMALL = Settings(prompt=PromptSettings(20))
SIZE = SMALL.prompt.max_tokens * CHARACTERS_PER_TOKEN
STRIDE = SIZE // STRIDES
lines = st.lists(st.text("ab \n", max_size=30), max_size=30).map("\n".join)
lines_of_any_end = st.lists(st.text("ab \n\r", max_size=30), max_size=30).map("\n".join)


def located(snapshot: Snapshot, start: int, end: int, *roots: Path) -> Located:
    """The hole between two offsets."""
    return Located.of(snapshot, start, Hole.of(snapshot.text, start, end), roots)


def test_the_text_of_the_hole_is_replaced() -> None:
    """The prefix ends and the suffix starts at its ends; line ends are plain."""
    snapshot = Snapshot.of("a = 1\r\nb = OLD\rc = 2\n", uri="file:///project/x/m.py")
    request = build_request(located(snapshot, 11, 14), Settings())
    assert (request.prefix, request.suffix) == ("a = 1\nb = ", "\nc = 2\n")


def test_the_request_says_where_the_file_is_and_what_language_it_has() -> None:
    """From the innermost workspace folder."""
    snapshot = Snapshot.of("", uri="file:///project/app/src/m.lua", language_id="lua")
    roots = (Path("/project"), Path("/project/app"))
    piece = ContextPiece("a.lua", "x")
    request = build_request(
        located(snapshot, 0, 0, *roots), Settings(), context=(piece,), priority=Priority.TYPING
    )
    assert request == CompletionRequest(
        prefix="",
        context=(piece,),
        repo_name="app",
        path="src/m.lua",
        line_comment="--",
        document="file:///project/app/src/m.lua",
        priority=Priority.TYPING,
        read_ms=READ_MS,
        time_limit_ms=Settings().completion.time_limit_ms,
    )


@pytest.mark.parametrize(
    ("uri", "path"),
    [("file:///home/u/x.py", "x.py"), ("untitled:Untitled-1", None), ("", None)],
)
def test_a_file_outside_of_the_workspace_goes_by_its_name_alone(uri: str, path: str | None) -> None:
    """The rest of the path is private."""
    somewhere = located(Snapshot.of("", uri=uri), 0, 0, Path("/project"))
    request = build_request(somewhere, Settings())
    assert (request.path, request.repo_name) == (path, None)


def test_settings_reach_the_request_and_can_be_overridden() -> None:
    """By the command line."""
    settings, problems = parse(
        {
            "completion": {
                "maxTokens": 5,
                "timeLimitMs": 90,
                "scope": "block",
                "heal": False,
                "temperature": 0.5,
                "seed": 7,
            },
            "prompt": {"maxTokens": 100},
        }
    )
    assert problems == []
    request = build_request(located(Snapshot.of("x"), 1, 1), settings)
    assert request == CompletionRequest(
        prefix="x",
        max_tokens=5,
        time_limit_ms=90,
        scope=Scope.BLOCK,
        heal=False,
        sampling=Sampling(temperature=0.5, seed=7),
        max_prompt_tokens=100,
        allow_empty=False,
    )
    assert replace(request, order=Order.PSM).order is Order.PSM


@pytest.mark.parametrize(
    ("text", "multiline", "scope"),
    [
        ("f(|)\nx", "auto", Scope.LINE),
        ("f(|  \nx", "auto", Scope.BLOCK),
        ("f(|", "auto", Scope.BLOCK),
        ("f(|\r\nx", "auto", Scope.BLOCK),
        ("f(|)\nx", "always", Scope.BLOCK),
        ("f(|\nx", "never", Scope.LINE),
    ],
)
def test_text_after_the_cursor_on_its_line_makes_the_completion_one_line(
    text: str, multiline: str, scope: Scope
) -> None:
    """Unless the settings say otherwise."""
    offset = text.index("|")
    settings, _ = parse({"completion": {"scope": "block", "multiline": multiline}})
    hole = Hole.of(text.replace("|", ""), offset, offset)
    assert scope_in(hole, settings.completion) is scope


def test_the_line_after_the_hole_counts_not_the_hole_itself() -> None:
    """It goes away."""
    request = build_request(located(Snapshot.of("f(old)\nx"), 2, 6), Settings())
    assert request.scope is CompletionSettings().scope


@given(lines, st.data())
def test_windows_hold_what_is_next_to_the_hole_and_not_more_than_allowed(
    text: str, data: st.DataObject
) -> None:
    """Nor much less; everything, if it fits."""
    offset = data.draw(st.integers(0, len(text)))
    before, after = text[:offset], text[offset:]
    prefix, suffix = end_of(before, SIZE), start_of(after, SIZE)
    assert before.endswith(prefix)
    assert after.startswith(suffix)
    for whole, shown in ((before, prefix), (after, suffix)):
        is_short = len(whole) <= SIZE
        assert shown == whole if is_short else SIZE - 2 * STRIDE < len(shown) <= SIZE


@given(st.lists(st.text("ab ", max_size=STRIDE - 2), min_size=60, max_size=80), st.data())
def test_windows_are_cut_between_lines(words: list[str], data: st.DataObject) -> None:
    """Where a stride is longer than a line."""
    text = "\n".join(words)
    starts = Snapshot.of(text).line_starts
    offset = data.draw(st.integers(0, len(text)))
    assert offset - len(end_of(text[:offset], SIZE)) in starts
    assert offset + len(start_of(text[offset:], SIZE)) in {*starts, len(text)}


@given(lines_of_any_end, st.text("abc ()\n", min_size=1, max_size=100), st.data())
def test_typing_moves_the_start_once_in_a_stride_and_the_end_never(
    text: str, typed: str, data: st.DataObject
) -> None:
    """So most of the prompt stays as it was."""
    offset = data.draw(st.integers(0, len(text)))
    starts, suffixes = [], set()
    for end in range(offset + 1, offset + len(typed) + 1):
        document = Snapshot.of(text[:offset] + typed[: end - offset] + text[offset:])
        here = located(document, end, end)
        request = build_request(here, SMALL)
        starts.append(len(here.hole.prefix) - len(request.prefix))
        suffixes.add(request.suffix)
    assert starts == sorted(starts)
    assert len(set(starts)) <= len(typed) // STRIDE + 2
    assert len(suffixes) == 1


@given(lines_of_any_end, st.data())
def test_a_request_is_the_same_whatever_line_ends_the_document_has(
    text: str, data: st.DataObject
) -> None:
    """The prompt does not move when a client saves the file with others."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    offset = data.draw(st.integers(0, len(plain)))
    request = build_request(located(Snapshot.of(plain), offset, offset), SMALL)
    for line_end in ("\r\n", "\r"):
        start = len(plain[:offset].replace("\n", line_end))
        other = located(Snapshot.of(plain.replace("\n", line_end)), start, start)
        assert build_request(other, SMALL) == request


@given(lines_of_any_end, st.text(max_size=200), st.integers(16, 100))
def test_the_head_is_what_fits_beside_the_context(text: str, other: str, tokens: int) -> None:
    """In whole lines, and no line less."""
    snapshot = Snapshot.of(text)
    end = head_end(snapshot, (ContextPiece("a.py", other),), tokens)
    size = max(tokens * DENSE_CHARACTERS_PER_TOKEN - len(other), 0)
    assert end <= size
    if end < len(text):
        assert end in snapshot.line_starts
        assert all(start <= end for start in snapshot.line_starts if start <= size)
    else:
        assert len(text) <= size


def test_typing_a_line_in_a_long_file_moves_the_prompt_at_most_once() -> None:
    """With the real sizes: a stride is over a thousand characters."""
    text = "    value = compute(value)\n" * 3000
    offset = Snapshot.of(text).line_start(1500)
    starts, typed = set(), "    another_value = compute(another_value, value)\n"
    for end in range(1, len(typed) + 1):
        snapshot = Snapshot.of(text[:offset] + typed[:end] + text[offset:])
        prefix = build_request(located(snapshot, offset + end, offset + end), Settings()).prefix
        starts.add(offset + end - len(prefix))
    assert len(starts) <= 2


def test_moving_down_line_by_line_moves_the_end_of_the_suffix_once_in_a_stride() -> None:
    """Anchors of the suffix count from the end of the text."""
    text = "x = 1\n" * 200
    starts = Snapshot.of(text).line_starts[:100]
    ends = [start + len(start_of(text[start:], SIZE)) for start in starts]
    assert len(set(ends)) <= 600 // STRIDE + 1
    assert ends == sorted(ends)


def test_secrets_are_masked_on_both_sides_of_the_hole_and_in_cut_lines() -> None:
    """In as many characters."""
    text = 'first = 1\npassword = "hunter2hunter2"\nlast = 2\n'
    offset = text.index("2h") + 1
    snapshot = Snapshot.of(text, uri="untitled:a", language_id="python")
    located = Located.of(snapshot, offset, Hole.of(text, offset, offset))
    request = build_request(located, Settings())
    assert request.prefix == 'first = 1\npassword = "*******'
    assert request.suffix == '*******"\nlast = 2\n'
    settings = Settings(context=ContextSettings(mask_secrets=False))
    request = build_request(located, settings)
    assert request.prefix + request.suffix == text
