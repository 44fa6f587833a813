"""Invented problems for the evaluations; nothing here is from a published set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PROBLEMS = (
    {
        "task_id": "double",
        "entry_point": "double",
        "prompt": "def double(n):\n",
        "canonical_solution": "    return 2 * n\n",
        "suffix": "",
        "test": "def check(candidate):\n    assert candidate(4) == 8\n",
    },
    {
        "task_id": "greet",
        "entry_point": "greet",
        "prompt": "def greet(name):\n    return 'Hel",
        "canonical_solution": "lo, ' + name",
        "suffix": "\n",
        "test": "def check(candidate):\n    assert candidate('Ada') == 'Hello, Ada'\n",
    },
    {
        "task_id": "shout",
        "entry_point": "shout",
        "prompt": "def shout(words):\n    loud = []\n    for word in words:\n",
        "canonical_solution": "        loud.append(word.upper())\n",
        "suffix": "    return loud\n",
        "test": "def check(candidate):\n    assert candidate(['a', 'b']) == ['A', 'B']\n",
    },
)
"""A line at the end, a span whose cursor cuts a word, a line with more below it."""


def write_problems(path: Path) -> Path:
    """Write them as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in PROBLEMS), encoding="utf-8")
    return path
