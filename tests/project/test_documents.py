"""Documents that are read: short lines, short sentences, and decisions that can be followed."""

from __future__ import annotations

import re
from statistics import median
from typing import TYPE_CHECKING

from repository import ROOT
from source_tree import name_of, python_sources, sentences, text_of

if TYPE_CHECKING:
    from pathlib import Path

WIDEST = 120
"""Characters of a line."""
ARCHITECTURE_LINES = 120
MEDIAN_WORDS = 15
DECISIONS = ROOT / "docs" / "decisions"

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_BREAKS = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)")
_NO_PROSE = re.compile(r"^\s*(?:#|\|)")
_MARK = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
_TEST_PATH = re.compile(r"`(tests/[\w./]+)`")
_TEST_NAME = re.compile(r"`(test_\w+)`")


def documents() -> list[Path]:
    """All that users and contributors read in prose."""
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "ARCHITECTURE.md")
    return [*(ROOT / name for name in names), *(ROOT / "docs").rglob("*.md")]


def wide_lines(text: str, *, with_tables: bool = True) -> list[int]:
    """The numbers of the lines over ``WIDEST``; of rows of tables only if they count."""
    lines = enumerate(text.split("\n"), 1)
    return [
        number
        for number, line in lines
        if len(line) > WIDEST and (with_tables or not line.startswith("|"))
    ]


def prose(text: str) -> list[str]:
    """The sentences of a document in Markdown: no headings, tables or fenced blocks."""
    blocks = _BREAKS.split(_FENCE.sub("\n\n", text))
    kept = ("\n".join(x for x in block.split("\n") if not _NO_PROSE.match(x)) for block in blocks)
    return [each for block in kept for each in sentences(_MARK.sub("", block))]


def median_words(text: str) -> float:
    """Half of a document's sentences have no more words than this."""
    return median(len(sentence.split()) for sentence in prose(text))


def unlisted(decisions: Path) -> list[str]:
    """Decisions of a folder that its index does not link to."""
    index = text_of(decisions / "README.md")
    files = sorted(decisions.glob("[0-9]*.md"))
    return [path.name for path in files if f"]({path.name})" not in index]


def unkept(text: str, tests: set[str], root: Path) -> list[str]:
    """What is wrong with the tests that a decision names: files and functions that are not there.

    Args:
        text: The decision, whose section "Test" names a file or says "none".
        tests: The names of all test functions.
        root: Where the paths of tests begin.
    """
    section = re.split(r"^## ", text.partition("\n## Test\n")[2], flags=re.MULTILINE)[0]
    paths = _TEST_PATH.findall(section)
    wrong = [path for path in paths if not (root / path).exists()]
    wrong += sorted(set(_TEST_NAME.findall(section)) - tests)
    if not paths and not re.search(r"\bnone\b", section, re.IGNORECASE):
        wrong.append("no test, nor the word none")
    return wrong


def test_the_architecture_can_be_read_in_one_sitting() -> None:
    """Nobody reads a longer one."""
    text = text_of(ROOT / "ARCHITECTURE.md")
    assert text.count("\n") <= ARCHITECTURE_LINES
    assert len(prose(text)) > 20
    assert median_words(text) <= MEDIAN_WORDS


def test_sentences_are_told_apart_and_counted() -> None:
    """Those of paragraphs and lists; a name such as ``a.b`` ends none."""
    text = (
        "# A title. Of two.\n\nOne two\nthree. Four `five.six` seven? (Eight.) Nine\n"
        "- ten eleven\n- twelve.\n\n```\nno. no. no.\n```\n\n| no. | no. no. |\n|---|---|\n"
        "\n1. thirteen fourteen\n   fifteen.\n"
    )
    counts = [len(sentence.split()) for sentence in prose(text)]
    assert counts == [3, 3, 1, 1, 2, 1, 3]
    assert median_words("One. Two three. " + "word " * 30) == 2
    assert median_words("Half of it. " + "word " * 31) > MEDIAN_WORDS


def test_no_line_of_a_document_is_wide() -> None:
    """But rows of the table of settings: they are generated, and Markdown cannot break a row."""
    assert len(documents()) > 40
    wide = {
        name_of(path): wide_lines(text_of(path), with_tables=path.name != "settings.md")
        for path in documents()
    }
    assert {name: numbers for name, numbers in wide.items() if numbers} == {}


def test_a_wide_line_is_found() -> None:
    """Counted in characters, not bytes."""
    full, wide = "ü" * WIDEST, "x" * WIDEST + "x"
    row = f"|{full}"
    assert wide_lines(f"{full}\n{row}\n{wide}\n") == [2, 3]
    assert wide_lines(f"{full}\n{row}\n{wide}\n", with_tables=False) == [3]


def test_every_decision_is_in_the_index() -> None:
    """Who does not find it makes it again."""
    assert unlisted(DECISIONS) == []


def test_a_decision_that_is_not_in_the_index_is_found(tmp_path: Path) -> None:
    """A link that leads elsewhere does not count."""
    for name in ("0001-a.md", "0002-b.md"):
        (tmp_path / name).write_text("# A\n", "utf-8")
    (tmp_path / "README.md").write_text("- [0001](0001-a.md): A\n- 0002-b.md\n", "utf-8")
    assert unlisted(tmp_path) == ["0002-b.md"]


def test_every_decision_names_a_test_that_is_there_or_says_none() -> None:
    """A name that leads nowhere keeps nothing."""
    tests = {
        name
        for file, text in python_sources().items()
        if file.startswith("tests/")
        for name in re.findall(r"def (test_\w+)\(", text)
    }
    tests |= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    decisions = sorted(DECISIONS.glob("[0-9]*.md"))
    assert len(decisions) > 40
    wrong = {path.name: unkept(text_of(path), tests, ROOT) for path in decisions}
    assert {name: found for name, found in wrong.items() if found} == {}


def test_a_decision_without_its_test_is_found(tmp_path: Path) -> None:
    """What is said elsewhere in it does not count."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").touch()
    start = "# A\n\n## Figure\n\nNone. `tests/test_z.py`\n\n## Test\n\n"
    end = "\n\n## More\n\nNone.\n"
    wrong = {
        "`tests/test_a.py` (`test_it`).": [],
        "None: nothing can.": [],
        "`tests/test_b.py`.": ["tests/test_b.py"],
        "`tests/test_a.py` (`test_her`).": ["test_her"],
        "By hand, nonetheless.": ["no test, nor the word none"],
    }
    for section, expected in wrong.items():
        assert unkept(start + section + end, {"test_it"}, tmp_path) == expected
    assert unkept("# A\n", set(), tmp_path) == ["no test, nor the word none"]
