"""Keeps the problems of an evaluation out of the training corpus.

A problem is a line of an infilling file: ``prompt`` + ``canonical_solution`` + ``suffix`` is a
program with the function ``entry_point``. A document is contaminated

- if it shares WINDOW words in a row with the function's docstring or its body, or
- if it defines a function of that name with nearly the same docstring or body.
"""

from __future__ import annotations

import ast
import gzip
import json
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

WINDOW = 13
ALIKE = 0.5
"""Jaccard similarity of two texts' sets of words, from which on they are nearly the same."""
WORD = re.compile(r"\w+")
FUNCTION = re.compile(r"\bdef\s+(\w+)")


@dataclass(frozen=True, slots=True)
class Function:
    """The words of a function, without its head."""

    docstring: tuple[str, ...]
    body: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What must not be trained on."""

    windows: frozenset[tuple[str, ...]] = frozenset()
    functions: dict[str, list[Function]] = field(default_factory=dict)
    """Functions by name."""
    problems: int = 0

    def fault(self, text: str) -> str | None:
        """Why a document is contaminated, or None."""
        found = tuple(words(text))
        if any(window in self.windows for window in _windows(found)):
            return f"{WINDOW} words of an evaluation"
        named = self.functions.keys() & set(FUNCTION.findall(text))
        if named and any(
            _alike(function, known)
            for name, function in _functions(text)
            if name in named
            for known in self.functions[name]
        ):
            return "function of an evaluation"
        return None


def read_evaluation(files: Iterable[Path]) -> Evaluation:
    """All problems of some infilling files (JSON lines, gzip or plain)."""
    windows: set[tuple[str, ...]] = set()
    functions: dict[str, list[Function]] = {}
    problems = 0
    seen = set()
    for problem in _problems(files):
        problems += 1
        program = problem["prompt"] + problem["canonical_solution"] + problem["suffix"]
        if program in seen:
            continue
        seen.add(program)
        for name, function in _functions(program):
            windows.update(_windows(function.docstring), _windows(function.body))
            if name == problem["entry_point"]:
                functions.setdefault(name, []).append(function)
    return Evaluation(frozenset(windows), functions, problems)


def words(text: str) -> Iterator[str]:
    """The words and numbers of a text, in lower case."""
    return (match[0] for match in WORD.finditer(text.lower()))


def _problems(files: Iterable[Path]) -> Iterator[dict[str, str]]:
    for path in files:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
        yield from (json.loads(line) for line in text.split("\n") if line.strip())


def _windows(found: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (found[start : start + WINDOW] for start in range(len(found) - WINDOW + 1))


def _functions(text: str) -> Iterator[tuple[str, Function]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node) or ""
            statements = node.body[1:] if docstring else node.body
            body = "\n".join(ast.unparse(statement) for statement in statements)
            yield node.name, Function(tuple(words(docstring)), tuple(words(body)))


def _alike(one: Function, other: Function) -> bool:
    return _near(one.docstring, other.docstring) or _near(one.body, other.body)


def _near(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    left, right = set(one), set(other)
    return bool(left and right) and len(left & right) >= ALIKE * len(left | right)
