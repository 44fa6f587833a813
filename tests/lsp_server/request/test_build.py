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
    head_end,
    scope_at,
    window_end,
    window_start,
)
from midfill.lsp_server.settings import CompletionSettings, Settings, parse
from midfill.lsp_server.text.snapshot import Edit, Snapshot

SIZE = 80
STRIDE = SIZE // STRIDES
lines = st.lists(st.text("ab \n\r", max_size=30), max_size=30).map("\n".join)


def test_the_text_of_the_hole_is_replaced() -> None:
    """The prefix ends and the suffix starts at its ends; line ends are plain."""
    snapshot = Snapshot.of("a = 1\r\nb = OLD\rc = 2\n", uri="file:///project/x/m.py")
    request = build_request(snapshot, (11, 14), Settings())
    assert (request.prefix, request.suffix) == ("a = 1\nb = ", "\nc = 2\n")


def test_the_request_says_where_the_file_is_and_what_language_it_has() -> None:
    """From the innermost workspace folder."""
    snapshot = Snapshot.of("", uri="file:///project/app/src/m.lua", language_id="lua")
    roots = (Path("/project"), Path("/project/app"))
    piece = ContextPiece("a.lua", "x")
    request = build_request(
        snapshot, (0, 0), Settings(), roots=roots, context=(piece,), priority=Priority.TYPING
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
    request = build_request(Snapshot.of("", uri=uri), (0, 0), Settings(), roots=(Path("/project"),))
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
    request = build_request(Snapshot.of("x"), (1, 1), settings)
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
    snapshot = Snapshot.of(text.replace("|", ""))
    assert scope_at(snapshot, offset, settings.completion) is scope


def test_the_line_after_the_hole_counts_not_the_hole_itself() -> None:
    """It goes away."""
    request = build_request(Snapshot.of("f(old)\nx"), (2, 6), Settings())
    assert request.scope is CompletionSettings().scope


@given(lines, st.data())
def test_windows_hold_what_is_next_to_the_hole_and_not_more_than_allowed(
    text: str, data: st.DataObject
) -> None:
    """Nor much less; everything, if it fits."""
    snapshot = Snapshot.of(text)
    offset = data.draw(st.integers(0, len(text)))
    start, end = window_start(snapshot, offset, SIZE), window_end(snapshot, offset, SIZE)
    assert start == 0 if offset <= SIZE else SIZE - 2 * STRIDE < offset - start <= SIZE
    after = len(text) - offset
    assert end == len(text) if after <= SIZE else SIZE - 2 * STRIDE < end - offset <= SIZE


@given(st.lists(st.text("ab ", max_size=STRIDE - 2), min_size=60, max_size=80), st.data())
def test_windows_are_cut_between_lines(words: list[str], data: st.DataObject) -> None:
    """Where a stride is longer than a line."""
    text = "\r\n".join(words)
    snapshot = Snapshot.of(text)
    offset = data.draw(st.integers(0, len(text)))
    assert window_start(snapshot, offset, SIZE) in snapshot.line_starts
    assert window_end(snapshot, offset, SIZE) in {*snapshot.line_starts, len(text)}


@given(lines, st.text("abc ()\n", min_size=1, max_size=100), st.data())
def test_typing_moves_the_start_once_in_a_stride_and_the_end_never(
    text: str, typed: str, data: st.DataObject
) -> None:
    """So most of the prompt stays as it was."""
    snapshot = Snapshot.of(text)
    offset = data.draw(st.integers(0, len(text)))
    starts, suffixes = [], set()
    for character in typed:
        snapshot = snapshot.replaced(Edit(offset, offset, character))
        offset += 1
        starts.append(window_start(snapshot, offset, SIZE))
        suffixes.add(snapshot.text[offset : window_end(snapshot, offset, SIZE)])
    assert starts == sorted(starts)
    assert len(set(starts)) <= len(typed) // STRIDE + 2
    assert len(suffixes) == 1


@given(lines, st.text(max_size=200), st.integers(16, 100))
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
    snapshot = Snapshot.of("    value = compute(value)\n" * 3000)
    offset = snapshot.line_start(1500)
    starts = set()
    for character in "    another_value = compute(another_value, value)\n":
        snapshot = snapshot.replaced(Edit(offset, offset, character))
        offset += 1
        prefix = build_request(snapshot, (offset, offset), Settings()).prefix
        starts.add(offset - len(prefix))
    assert len(starts) <= 2


def test_moving_down_line_by_line_moves_the_end_of_the_suffix_once_in_a_stride() -> None:
    """Anchors of the suffix count from the end of the text."""
    snapshot = Snapshot.of("x = 1\n" * 200)
    ends = [window_end(snapshot, snapshot.line_start(line), SIZE) for line in range(100)]
    assert len(set(ends)) <= 600 // STRIDE + 1
    assert ends == sorted(ends)
