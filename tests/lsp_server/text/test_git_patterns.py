"""Ignore patterns, one by one; ``test_workspace_files`` compares whole ignore files with git."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from midfill.lsp_server.context.workspace_files import WorkspaceFiles
from midfill.lsp_server.text.git_patterns import LONGEST_PATTERN, Patterns, pattern_problem

if TYPE_CHECKING:
    from collections.abc import Callable


def ignored(pattern: str, path: str, *, is_folder: bool = False) -> bool | None:
    """What one pattern says of a path."""
    return Patterns([pattern.encode()], pytest.fail).verdict(path.encode(), is_folder=is_folder)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a*a*a*a*b", "a" * 200),
        ("*a" * 50 + "b", "a" * 5000),
        ("**/a/" * 8 + "b", "a/" * 500 + "c"),
        ("[a-z]*[a-z]*" * 40 + "0", "a" * 5000),
        ("?*" * 500 + "0", "a" * 4000),
    ],
)
def test_no_pattern_is_given_to_an_engine_that_backtracks(
    pattern: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RE2 is linear; with the standard library this would never end."""
    for name in ("compile", "match", "fullmatch", "search"):
        monkeypatch.setattr(re, name, lambda *_: pytest.fail("the backtracking engine was used"))
    assert ignored(pattern, path) is None


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.[oa]", "x/y.o", True),
        ("[[:digit:]]*", "7up", True),
        ("[![:digit:]]", "7", None),
        ("[]-]", "]", True),
        ("[!]a]", "b", True),
        (r"[\]]", "]", True),
        ("[[:]", ":", True),
        ("[a-c-e]", "-", True),
        ("[z-a]", "z", True),
        ("[z-a]", "m", None),
        (r"\!x", "!x", True),
        (r"\#x", "#x", True),
        (r"x\ ", "x ", True),
        (r"x\\\ ", "x\\ ", True),
        ("#x", "#x", None),
        ("x  ", "x", True),
        ("x**y", "xaby", True),
        ("x**/y", "xa/by/y", True),
        ("x**/y", "xy", True),  # as if the literal beginning were not there
        ("x?**/y", "xay", None),
        ("a/b**", "a/b", True),
        ("x\0y", "x", True),  # to git, a zero ends the line
        ("a/**/b", "a/b", True),
        ("a/**", "a", None),
        ("/a", "b/a", None),
        ("a/b", "c/a/b", None),
        ("!a", "a", False),
        ("a/", "a", None),
        ("??", "é", True),  # git counts bytes
    ],
)
def test_a_pattern_means_what_it_means_to_git(
    pattern: str, path: str, expected: bool | None
) -> None:
    """Classes, escapes, stars, anchors."""
    assert ignored(pattern, path) is expected


@pytest.mark.parametrize(
    ("name", "predicate"),
    [
        ("alnum", bytes.isalnum),
        ("alpha", bytes.isalpha),
        ("blank", lambda byte: byte in b" \t"),
        ("cntrl", lambda byte: not byte.decode().isprintable()),
        ("digit", bytes.isdigit),
        ("graph", lambda byte: byte.decode().isprintable() and byte != b" "),
        ("lower", bytes.islower),
        ("print", lambda byte: byte.decode().isprintable()),
        (
            "punct",
            lambda byte: byte.decode().isprintable() and not (byte == b" " or byte.isalnum()),
        ),
        ("space", bytes.isspace),
        ("upper", bytes.isupper),
        ("xdigit", lambda byte: byte.lower() in b"0123456789abcdef"),
    ],
)
def test_a_named_class_is_that_of_the_c_locale(
    name: str, predicate: Callable[[bytes], bool]
) -> None:
    """Python's methods of bytes know the same letters; a slash is none of a name."""
    patterns = Patterns([f"[[:{name}:]]".encode()], pytest.fail)
    for byte in (bytes([code]) for code in range(1, 128) if code != ord("/")):
        assert (patterns.verdict(byte, is_folder=False) is True) == predicate(byte), byte


def test_a_pattern_of_any_bytes_can_be_judged() -> None:
    """Bytes that are no text come as surrogates; a lone surrogate is no byte."""
    assert pattern_problem("\udcff*") is None
    assert pattern_problem("\ud800*") is not None


@pytest.mark.parametrize(
    "pattern", ["[", "[a", "a\\", "[[:no:]]", "a" * (LONGEST_PATTERN + 1), "[/]"]
)
def test_a_pattern_that_nothing_can_match_is_skipped_alone(pattern: str) -> None:
    """It is told once, with the reason; the others count."""
    problems: list[tuple[str, str]] = []
    lines = [b"before", pattern.encode(), b"after"]
    patterns = Patterns(lines, lambda *problem: problems.append(problem))
    assert len(problems) == 1
    assert len(problems[0][0]) <= 60
    assert pattern_problem(pattern) == problems[0][1]
    assert patterns.verdict(b"before", is_folder=False)
    assert patterns.verdict(b"after", is_folder=False)


def test_patterns_without_wildcards_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most ignore files have hardly any others."""
    monkeypatch.setattr(re2, "compile", lambda *_: pytest.fail("a regular expression was made"))
    lines = [b"%d.txt" % number for number in range(5000)]
    patterns = Patterns([*lines, b"!7.txt", b"/a/b.txt"], pytest.fail)
    assert patterns.verdict(b"x/4999.txt", is_folder=False)
    assert patterns.verdict(b"7.txt", is_folder=False) is False
    assert patterns.verdict(b"a/b.txt", is_folder=False)
    assert patterns.verdict(b"b.txt", is_folder=False) is None


def test_names_may_be_any_bytes() -> None:
    """File systems have names that are no text."""
    patterns = Patterns([b"*.py", b"!\xff*"], pytest.fail)
    assert patterns.verdict(b"\xfe\n.py", is_folder=False)
    assert patterns.verdict(b"\xff.py", is_folder=False) is False


SPECIAL_GLOBS = (
    "[[:alpha:]]", "[z-a]", "[]-a]", "**/a", "a/**", "a/**/b", "[[:]a]", "[^!]", "a\\ ", "*/",
    "[[:upper:]]", "[!A-B]", "[!A]", "\\A", "*A", "A/b",
)  # fmt: skip
GLOBS = st.text("abAB[]!^-*?/\\: éÉ", min_size=1, max_size=9) | st.sampled_from(SPECIAL_GLOBS)
NAMES = (
    "a", "b", "ab", "a/b", "b/a", "a/a/b", "-", "]", "!", "é", "a b", "[", "a:", "a/b/a",
    "A", "aB", "A/B", "É",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(GLOBS, min_size=1, max_size=4), st.booleans())
def test_git_itself_says_the_same_of_any_pattern(
    tmp_path_factory: pytest.TempPathFactory, globs: list[str], ignores_case: bool
) -> None:
    """However it is written, whether case counts or not; bad ones match nothing."""
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", root], check=True)
    with (root / ".git/config").open("a") as config:
        config.write(f"[core]\nignoreCase = {str(ignores_case).lower()}\n")
    (root / ".gitignore").write_text("\n".join(globs))
    command = ["git", "-C", root, "-c", "core.quotePath=false", "check-ignore", "--no-index"]
    asked = subprocess.run(
        [*command, "-z", "--stdin"], input="\0".join(NAMES), capture_output=True, text=True
    )
    files = WorkspaceFiles([root])
    ours = {name for name in NAMES if not files.allows(root / name)}
    assert ours == set(asked.stdout.split("\0")) - {""}
