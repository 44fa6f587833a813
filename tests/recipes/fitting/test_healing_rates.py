"""The healing recipe: which lines it cuts, what counts as right, how it counts."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from tiny_models import TINY_ARCHITECTURE, write_gguf
from tiny_tokenizers import code_llama_tokenizer_data, tiny_byte_level_vocabulary

from midfill.engine import EngineConfig
from midfill.engine.runtime import open_runtime
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.recipes.fitting.healing_rates import (
    MODULES,
    PLACES,
    CodeLine,
    Cut,
    CutOutcome,
    as_json,
    as_markdown,
    choose_lines,
    compare,
    cuts_of,
    function_lines,
    read_lines,
    rest_of_token,
    summarize,
)

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.engine.tokens.tokenizer import Tokenizer

SOURCE = '''\
LIMIT = 10


def first(values):
    """The first one."""
    # or an error
    for value in values:
        return value
    raise ValueError(
        "there is none")
'''
LINE = CodeLine("example", 2, "def f(x):\n", "    return print(x)")


@pytest.fixture(params=["byte-level", "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """One of each kind."""
    if request.param == "byte-level":
        return open_tokenizer(tiny_byte_level_vocabulary())
    return open_tokenizer(code_llama_tokenizer_data())


def outcome(column: int, *, healed: bool, plain: bool, held: bytes = b"x") -> CutOutcome:
    """The outcome of a cut of LINE."""
    return CutOutcome(Cut(LINE, column), held, spelled=True, healed=healed, plain=plain)


def test_only_statements_inside_functions_are_cut() -> None:
    """No docstring, no comment, no line that goes on a statement."""
    assert function_lines(SOURCE) == [7, 8, 9]


def test_a_line_comes_with_the_lines_before_it() -> None:
    """From the file's start, or from 20 lines up; a line that is too short stays whole."""
    loop, answer, error = read_lines("example", SOURCE)
    assert loop.text == "    for value in values:"
    assert answer.before + answer.text == SOURCE[: SOURCE.index("value\n") + len("value")]
    assert error.number == 9
    shifted = read_lines("example", "\n" * 40 + SOURCE)[0]
    assert shifted.before == "\n" * 14 + "".join(SOURCE.partition("    for")[:1])
    assert read_lines("example", "def f():\n    return 1\n") == []


def test_the_library_gives_the_same_lines_every_time() -> None:
    """From several modules, each fit to be cut."""
    lines = choose_lines(50, seed=3)
    assert lines == choose_lines(50, seed=3)
    assert lines != choose_lines(50, seed=4)
    assert len(set(lines)) == 50
    assert {line.module for line in lines} <= set(MODULES)
    assert len({line.module for line in lines}) > 3
    assert all(20 <= len(line.text) <= 80 for line in lines)


def test_every_cut_is_strictly_inside_the_line() -> None:
    """And they go from left to right."""
    cuts = cuts_of(LINE)
    assert [cut.column for cut in cuts] == list(range(1, len(LINE.text)))
    assert cuts[0].prefix == "def f(x):\n "
    assert cuts[-1].prefix == "def f(x):\n    return print(x"


@pytest.mark.parametrize(
    ("column", "place"),
    [
        (2, "in the indentation"),
        (4, "in the indentation"),
        (7, "inside a word"),
        (10, "between words"),
        (11, "between words"),
        (16, "between words"),
    ],
)
def test_a_cut_is_inside_a_word_or_not(column: int, place: str) -> None:
    """Between two characters of a word, or before the first one that is no blank."""
    assert Cut(LINE, column).place == place


def test_what_is_wanted_ends_where_a_true_token_ends(tokenizer: Tokenizer) -> None:
    """The first true token that ends behind the cut."""
    tokens = tokenizer.encode(f"{LINE.before}{LINE.text}\n", leading_space=False)
    ends = list(accumulate(len(tokenizer.token_bytes(token)) for token in tokens))
    for cut in cuts_of(LINE):
        wanted = rest_of_token(tokenizer, cut)
        start = len(cut.prefix.encode())
        assert LINE.text[cut.column :].encode().startswith(wanted)
        assert start + len(wanted) == min(end for end in ends if end > start)


def test_a_token_that_is_cut_wants_only_its_rest() -> None:
    """The token " return" begins with the space before the word."""
    tokenizer = open_tokenizer(tiny_byte_level_vocabulary())
    wanted = [rest_of_token(tokenizer, Cut(LINE, column)) for column in (2, 3, 4, 5, 9)]
    assert wanted == [b" ", b" return", b"return", b"eturn", b"n"]


def test_rates_are_shares_of_the_cuts() -> None:
    """By place, then all together; what only one side got right is counted."""
    outcomes = [
        outcome(7, healed=True, plain=False),
        outcome(8, healed=True, plain=True),
        outcome(9, healed=False, plain=False),
        outcome(10, healed=False, plain=True, held=b""),
    ]
    inside, between, everything = summarize(outcomes)
    assert (inside.place, between.place, everything.place) == (*PLACES[:2], "all")
    assert (inside.cuts, inside.only_healed, inside.only_plain) == (3, 1, 0)
    assert inside.healed_rate == pytest.approx(2 / 3)
    assert inside.plain_rate == pytest.approx(1 / 3)
    assert (everything.cuts, everything.held, everything.spelled) == (4, 3, 3)
    assert (everything.only_healed, everything.only_plain) == (1, 1)


def test_the_interval_holds_the_gain_and_comes_from_whole_lines() -> None:
    """One line says nothing of the spread between lines."""
    mixed = [outcome(7, healed=True, plain=False), outcome(8, healed=False, plain=False)]
    (alone, _) = summarize(mixed)
    assert alone.gain_low == alone.gain_high == 0.5
    other = replace(LINE, number=3)
    spread = [*mixed, *(replace(each, cut=Cut(other, 7), healed=False) for each in mixed)]
    (both, _) = summarize(spread)
    assert both.gain_low == 0.0
    assert both.gain_high == 0.5


def test_the_model_spells_what_is_held_even_if_its_weights_are_random(tmp_path: Path) -> None:
    """At every cut; and the report holds the counts."""
    path = tmp_path / "random.gguf"
    architecture = replace(TINY_ARCHITECTURE, vocab_size=1200)
    write_gguf(path, architecture=architecture, vocabulary=tiny_byte_level_vocabulary())
    runtime = open_runtime(EngineConfig(str(path)))
    with closing(runtime):
        tokenizer = runtime.machine.tokenizer
        outcomes = [compare(runtime, tokenizer, cut) for cut in cuts_of(LINE)]
    assert all(each.spelled for each in outcomes)
    assert sum(bool(each.held) for each in outcomes) > 10
    rates = summarize(outcomes)
    document = json.loads(as_json(rates, runtime.info, {"lines": 1}))
    assert document["engine"]["model"] == "random"
    assert document["rates"][-1]["cuts"] == len(outcomes)
    assert f"| all | {len(outcomes)} |" in as_markdown(rates)
