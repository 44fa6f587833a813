"""The faults that ``make mutate`` plants: each changes something, and nothing else does."""

from __future__ import annotations

import ast

import pytest
from mutants import mutants

LEFT_ALONE = '''"""Words."""
from __future__ import annotations
import logging
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import re
__all__ = ["f"]
logger = logging.getLogger("name")
def f(a: int = None) -> "str":
    """Words."""
    assert a < 1, "words"
    logger.info("words %s", a)
    raise ValueError("words" + a)
'''


def shown(source: str) -> set[str]:
    """What becomes of a source."""
    return {mutant.after for mutant in mutants(source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", {"a <= b"}),
        ("a in b or c", {"a not in b", "a in b and c"}),
        ("not a", {"a"}),
        ("a[1:]", {"2:", "nothing"}),
        ("a[0] + 1", {"a[1]", "a[0] - 1", "a[0] + 2"}),
        ("min(a, b).find(c)", {"max(a, b)", "min(a, b).rfind(c)", "pass"}),
        ("x = f(1)", {"x = None", "f(2)"}),
        ("x += y", {"pass", "x -= y"}),
        ("return_ = True", {"return_ = False"}),
        ("def f():\n    return g", {"return None"}),
        ("while a:\n    break", {"while not a:", "continue"}),
    ],
)
def test_each_change_is_made_once(source: str, expected: set[str]) -> None:
    """Operators, constants, bounds, names, statements."""
    assert shown(source) == expected
    assert len(mutants(source)) == len(expected)


def test_every_mutant_has_one_fault_and_compiles() -> None:
    """Its tree is its own."""
    source = (
        "def f(a, b=1):\n    for x in a[b:]:\n        if x > 2 and x != b:\n            continue\n"
    )
    found = mutants(source)
    texts = {ast.unparse(mutant.tree()) for mutant in found}
    assert len(texts) == len(found) == 8
    assert ast.unparse(ast.parse(source)) not in texts
    for mutant in found:
        compile(mutant.tree(), "mutant", "exec")


def test_words_and_types_are_left_alone() -> None:
    """No test should look at them."""
    assert shown(LEFT_ALONE) == set()
