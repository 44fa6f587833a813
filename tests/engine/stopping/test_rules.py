"""Stop rules: where a user would want a completion to end, and that nothing is ever taken back."""

from __future__ import annotations

import pytest
from code_texts import code_texts
from hypothesis import example, given, settings
from hypothesis import strategies as st

from midfill.engine.api import FinishReason, Scope
from midfill.engine.stopping.rules import StopRules

END = FinishReason.END_OF_MIDDLE
MAX = FinishReason.MAX_TOKENS
BLOCK, LINE, MODEL = Scope.BLOCK, Scope.LINE, Scope.MODEL


def stop(
    prefix: str, text: str, suffix: str = "", scope: Scope = BLOCK, sizes: list[int] | None = None
) -> tuple[str, FinishReason]:
    """What is let out of a generated text, and why it ended; in chunks of these sizes."""
    stopper, out, at = StopRules(prefix, suffix, scope), "", 0
    for size in sizes or []:
        out += stopper.feed(text[at : at + size])
        at += size
        if stopper.reason:
            return out, stopper.reason
    out += stopper.feed(text[at:])
    if not stopper.reason:
        out += stopper.finish(MAX)
    assert stopper.reason is not None
    return out, stopper.reason


FRAGMENTS = (
    *("a", "b", "foo(x)", "else", "end", "default", "return x", "if a:", "ending", "done", "max"),
    *("(", ")", "[", "]", "{", "}", '"', "'", ":", ";", ",", "</", "/>", "= 1", "-", "\\"),
    *(" ", "    ", "\t", "\n", "\n", "\n    ", "\n        ", "\n  ", "\n\n", "\r\n"),
    *("} else {", "x in items:", " in items:", "same = 1\n", "same = 1\n", "i\n", "j\n"),
)
codes = st.lists(st.sampled_from(FRAGMENTS), max_size=16).map("".join)
prefixes = st.one_of(
    codes, st.sampled_from(["", "    ", "if x:\n    ", "f(", "g(f(", 'x = "', "  {\n    ", "for "])
)
suffixes = st.one_of(
    codes,
    st.sampled_from(["", ")", '")', "];", "}", "\n}", "\n    }", "\n\n}\nfoo()", " in items:"]),
)
scopes = st.sampled_from([LINE, BLOCK, MODEL])
chunk_sizes = st.one_of(st.lists(st.integers(1, 6), max_size=60), st.just([1] * 100))


@given(prefix=prefixes, suffix=suffixes, text=codes, scope=scopes, sizes=chunk_sizes)
@settings(deadline=None, max_examples=400)
@example("", "", "def\n\n  end: x", BLOCK, [1] * 20)
@example("x(", ")", "a)\n  b", BLOCK, [1] * 20)
@example("", "foo\n", "x\nfoo \n", MODEL, [1] * 20)
@example("", "", "a\nb\na\nb\na\nb\nb\n", MODEL, [1] * 20)
@example("", "\n}\nfoo\n", "}\nfoo\n", LINE, [1] * 20)
def test_what_is_let_out_does_not_depend_on_how_the_text_arrives(
    prefix: str, suffix: str, text: str, scope: Scope, sizes: list[int]
) -> None:
    """And is the begin of the text: nothing is taken back, nothing is changed."""
    whole, _ = stop(prefix, text, suffix, scope)
    chunked, _ = stop(prefix, text, suffix, scope, sizes)
    assert chunked == whole
    assert text.startswith(whole)


@given(prefix=code_texts(), suffix=code_texts(), text=code_texts(20), scope=scopes)
@settings(deadline=None)
def test_any_text_may_come(prefix: str, suffix: str, text: str, scope: Scope) -> None:
    """Whatever a model writes, character by character."""
    whole, _ = stop(prefix, text, suffix, scope)
    chunked, _ = stop(prefix, text, suffix, scope, [1] * len(text))
    assert text.startswith(whole)
    assert chunked == whole


stutters = st.builds(
    lambda before, unit, copies, behind: before + unit * copies + behind,
    codes,
    st.text("ab-_ \n", min_size=1, max_size=26),
    st.integers(1, 60),
    codes,
)


@given(text=st.lists(stutters, max_size=3).map("".join), step=st.integers(1, 7), scope=scopes)
@settings(deadline=None)
def test_a_stutter_ends_where_it_does_however_it_arrives(
    text: str, step: int, scope: Scope
) -> None:
    """Also where several begin in each other."""
    whole, _ = stop("", text, "", scope)
    assert stop("", text, "", scope, [step] * len(text))[0] == whole
    assert text.startswith(whole)


LINE_CASES = [
    pytest.param("x = ", "1\ny = 2", "", "1", FinishReason.LINE, id="to the line end"),
    pytest.param("x = ", "1  \n", "", "1", FinishReason.LINE, id="without blanks at the end"),
    pytest.param("x = 1", "\ny = 2", "", "", FinishReason.LINE, id="nothing to add"),
    pytest.param("x = ", "1", "", "1", MAX, id="cut by the budget"),
    pytest.param("x = ", "1\r\ny", "", "1", FinishReason.LINE, id="CRLF"),
]


@pytest.mark.parametrize(("prefix", "text", "suffix", "kept", "reason"), LINE_CASES)
def test_a_line_ends_with_its_line(
    prefix: str, text: str, suffix: str, kept: str, reason: FinishReason
) -> None:
    """Scope LINE."""
    assert stop(prefix, text, suffix, LINE) == (kept, reason)


def test_a_repeated_rest_of_line_is_a_suffix() -> None:
    """Its own reason, so that statistics tell the rules apart."""
    assert stop("f(", "a)", ")", LINE) == ("a", FinishReason.SUFFIX)


BODY = """
    total = 0
    for x in xs:
        if x:
            total += x
        else:
            total -= x
    return total"""

# By name: the prefix, what is kept of the text, what is cut off.
BLOCK_CASES = {
    "a function": ("def f(xs):", BODY, "\n\n\ndef g():"),
    "a body": ("def f():\n    ", "x = 1\n    return x", "\n\nf()"),
    "a body from the first column on": ("def f():\n", "    x = 1\n    return x", "\nf()"),
    "deeper lines in a body": ("def f():\n    ", "if a:\n        b\n    return 1", "\ng()"),
    "one method": ("class A:\n    ", "def a():\n        pass", "\n\n    def b():\n        pass"),
    "all branches": (
        "    if a:",
        "\n        b()\n    elif c:\n        d()\n    else:\n        e()",
        "\n    f()",
    ),
    "one branch": ("    if a:\n        ", "b()", "\n    else:\n        c()"),
    "try": ("try:", "\n    a()\nexcept E:\n    b()\nfinally:\n    c()", "\nd()"),
    "no keyword but its begin": ("if a:", "\n    b()", "\nelsewhere()"),
    "a keyword as a name": ("for a in b:", "\n    c()", "\ndone = True"),
    "a call": ("    x = foo(", "\n        a,\n    )", "\n    y"),
    "a signature": ("def f(\n    a,\n    ", "b,\n) -> int:\n    return a", "\n\nx"),
    "tabs": ("\tif a:", "\n\t\tb()\n\t\tc()", "\n\td()"),
    "no block at all": ("x = 1\n", "\n\n\ny = 2\nz = 3", ""),
    "C": ("int f() {", "\n    a();\n}", "\nint g()"),
    "C, a body": ("int f() {\n    ", "a();\n}", "\nint g()"),
    "C, the brace below": ("int f()\n", "{\n    a();\n}", "\n\nint g()\n"),
    "C, all braces below": (
        "  if (a)",
        "\n  {\n    b();\n  }\n  else\n  {\n    c();\n  }",
        "\n  d();",
    ),
    "a branch that closes and opens": (
        "  if (a) {\n    ",
        "b();\n  } else {\n    c();\n  }",
        "\n  d();\n}",
    ),
    "several closers": ("  {\n    ", "b();\n  });", "\n  c();"),
    "not the outer closer": ("  if (a) {", "\n    b();\n  }", "\n}\n"),
    "cases": (
        "switch (x) {\n  case 1:",
        "\n    a();\n  case 2:\n    b();\n  default:\n    c();",
        "\n}\nd();",
    ),
    "Ruby": ("def f\n  ", "a\nend", "\n\ndef g"),
    "shell": ("for a in b; do", "\n  c\ndone", "\nd"),
    "HTML": ("<ul>", "\n  <li/>\n</ul>", "\n<p>"),
    "HTML, in a tag": ("<ul>\n  ", "<li/>\n</ul>", "\n<p>"),
    "SQL": ("SELECT a,", "\n       b\nFROM t\nWHERE c", "\n\nDROP t"),
    "YAML, a key": ("  web:", "\n    image: x\n    port: 1", "\n  db:\n"),
    "YAML, an item": ("- name: x", "\n  run: y", "\n- name: z"),
}


@pytest.mark.parametrize("name", BLOCK_CASES)
def test_a_block_ends_by_its_indentation(name: str) -> None:
    """In the languages that people write, whole or character by character."""
    prefix, kept, cut_off = BLOCK_CASES[name]
    text = kept + cut_off
    expected = (kept, FinishReason.BLOCK if cut_off else MAX)
    assert stop(prefix, text) == expected
    assert stop(prefix, text, sizes=[1] * len(text)) == expected


FOLLOWING_CLOSER_CASES = [
    pytest.param("{\n    ", "a();\n}\nb", "\n}", "a();", id="it follows"),
    pytest.param("{", "\n    a();\n}\nb", "\n}", "\n    a();", id="level with the cursor's line"),
    pytest.param(
        "{\n  {\n    ", "a();\n  }\n  b();", "\n}", "a();\n  }", id="an outer one follows"
    ),
    pytest.param("  x {", "\n    a\n  }", "}", "\n    a\n  ", id="on the cursor's line"),
    pytest.param("def f\n  ", "a\nend\nb", "\nend\n", "a", id="a word"),
    pytest.param("<b>\n  ", "a\n</b>\nb", "\n</b>\n", "a", id="a tag"),
]


@pytest.mark.parametrize(("prefix", "text", "suffix", "kept"), FOLLOWING_CLOSER_CASES)
def test_a_closer_is_written_unless_it_follows(
    prefix: str, text: str, suffix: str, kept: str
) -> None:
    """At the same indentation, or deeper: editors put it there."""
    assert stop(prefix, text, suffix)[0] == kept
    assert stop(prefix, text, suffix, sizes=[1] * len(text))[0] == kept


FOLLOWING_LINE_CASES = [
    pytest.param("", "a = 1\nreturn a\n", "\nreturn a\n", "a = 1", id="a line"),
    pytest.param("", "a = 1\n\n\nreturn a", "\n\nreturn a", "a = 1", id="behind blank lines"),
    pytest.param("    ", "return a\nx", "\n    return a", "", id="at once, on a blank line"),
    pytest.param("    ", "a\n    return a", "return a", "a\n    ", id="of which the cursor is"),
    pytest.param("", "a\n}\nfoo\n", "\n}\nfoo\n", "a", id="a trivial line and the next"),
    pytest.param("", "return a \nx", "\nreturn a", "", id="with blanks behind it"),
]
NOT_FOLLOWING_CASES = [
    pytest.param("", "a\n}\nbar\n}", "\n}\nfoo\n", id="a trivial line alone"),
    pytest.param("", "a\n}\n", "\n}", id="a trivial line at the end"),
    pytest.param("", "a\n    return a", "\nreturn a", id="another indentation"),
    pytest.param("", "a\nreturn ab", "\nreturn a", id="a longer line"),
    pytest.param("return ", "a\nreturn b", "\nreturn a", id="only with the cursor's line"),
]


@pytest.mark.parametrize(("prefix", "text", "suffix", "kept"), FOLLOWING_LINE_CASES)
def test_a_text_ends_before_the_lines_that_follow(
    prefix: str, text: str, suffix: str, kept: str
) -> None:
    """In every scope: nobody wants them twice."""
    text += "\n"
    assert stop(prefix, text, suffix, MODEL) == (kept, FinishReason.SUFFIX)
    assert stop(prefix, text, suffix, MODEL, [1] * len(text)) == (kept, FinishReason.SUFFIX)


@pytest.mark.parametrize(("prefix", "text", "suffix"), NOT_FOLLOWING_CASES)
def test_lines_that_only_look_alike_stay(prefix: str, text: str, suffix: str) -> None:
    """A trivial line may come by chance; two in a row hardly do."""
    assert stop(prefix, text, suffix, MODEL) == (text, MAX)


REPETITIONS = [
    pytest.param("a\n" * 3, "a\na", id="one line"),
    pytest.param("x = 1\n\n" * 3, "x = 1\n\nx = 1", id="with blank lines"),
    pytest.param("a\nb\n" * 3, "a\nb\na\nb", id="two lines"),
    pytest.param("a\nb\nc\n" * 3, "a\nb\nc\na\nb\nc", id="three lines"),
    pytest.param("a\nb\nc\nd\n" * 3, "a\nb\nc\nd\na\nb\nc\nd", id="four lines"),
    pytest.param("a \na\na  \n", "a \na", id="blanks at the end aside"),
    pytest.param("begin\n" + "a\n" * 4, "begin\na\na", id="not at the begin"),
]


@pytest.mark.parametrize(("text", "kept"), REPETITIONS)
def test_a_third_copy_in_a_row_ends_a_text(text: str, kept: str) -> None:
    """A copy has one to four lines."""
    assert stop("", text, scope=MODEL) == (kept, FinishReason.REPETITION)
    assert stop("", text, scope=MODEL, sizes=[1] * 40) == (kept, FinishReason.REPETITION)


@pytest.mark.parametrize(
    "text",
    ["a\na\nb\na\n", "a\nb\na\nb\na\nc\n", "\n\n\n\n\nx\n", "a\nb\nc\nd\ne\n" * 3, "a\na\nab"],
)
def test_what_differs_goes_on(text: str) -> None:
    """And so do blank lines, and longer cycles."""
    assert stop("", text, scope=MODEL) == (text, MAX)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("a" + "_top" * 20, "a_top_top"),
        ("x = [" + "0, " * 40, "x = [0, 0, "),
        ("ab" * 40, "abab"),
        ("b \U0001f389" + "\U0001f389" * 30, "b \U0001f389\U0001f389"),
        ("x = " + "(" * 20, "x = (("),
        ("\ufffd" * 20, "\ufffd\ufffd"),
        ("|---" * 50, "|---|---"),
        ("# " + "=" * 200, "# =="),
        ("0" * 200, "00"),
    ],
)
def test_a_stutter_in_a_line_ends_a_text(text: str, kept: str) -> None:
    """Small models do that; what they say twice is kept."""
    assert stop("", text, scope=MODEL) == (kept, FinishReason.REPETITION)
    assert stop("", text, scope=MODEL, sizes=[1] * 100) == (kept, FinishReason.REPETITION)


@pytest.mark.parametrize("before", [400, 500, 511, 512, 600, 1020, 1500])
def test_a_stutter_is_found_anywhere_in_a_long_line(before: int) -> None:
    """Long lines are searched in blocks."""
    start = "".join(f"{n}," for n in range(1000))[:before]
    text = start + "_top" * 30 + " x" + "".join(f"{n}," for n in range(1000))
    kept, reason = stop("", text, scope=MODEL)
    assert reason is FinishReason.REPETITION
    assert kept == start + "_top_top"
    assert stop("", text, scope=MODEL, sizes=[3] * 2000) == (kept, reason)


@pytest.mark.parametrize(
    "text", ["# " + "-" * 80, "0, " * 9 + "1", "ab" * 20, "+---" * 20, "0" * 64, "(" * 9 + "1"]
)
def test_rules_and_short_rows_are_no_stutter(text: str) -> None:
    """Lines of dashes, a row of a matrix."""
    assert stop("", text, scope=MODEL) == (text, MAX)


def test_white_space_waits_for_what_follows() -> None:
    """It is shown with the next character, and only then."""
    stopper = StopRules("", "", MODEL)
    assert [stopper.feed(text) for text in ("a", " ", "\n", "  b")] == ["a", "", "", " \n  b"]


@pytest.mark.parametrize(("scope", "kept"), [(MODEL, "a \n\n"), (BLOCK, "a")])
def test_white_space_at_the_end_is_the_models_to_decide(scope: Scope, kept: str) -> None:
    """If it was trained to end a middle; else it is dropped."""
    assert stop("x = ", "a \n\n", "", scope) == (kept, MAX)


def test_text_is_let_out_as_soon_as_it_is_certain() -> None:
    """Not a token later: this is what a user sees of the speed."""
    stopper = StopRules("def f(", ")", LINE)
    shown = [stopper.feed(text) for text in ("a", ", b", ")", " -> ", "int:")]
    assert shown == ["a", ", b", "", "", ""]
    assert stopper.feed("\n") == ""
    assert stopper.reason is FinishReason.SUFFIX


@pytest.mark.parametrize(
    ("text", "done"),
    [("", False), ("x", False), ("\n", False), ("\n  x", False), ("x\n", True), ("\n x\n", True)],
)
def test_the_first_line_is_done_when_something_stands_on_it(text: str, done: bool) -> None:
    """Until then no time limit ends a text."""
    stopper = StopRules("", "", MODEL)
    stopper.feed(text)
    assert stopper.first_line_done is done


def test_feeding_on_after_the_end_is_a_bug_in_the_caller() -> None:
    """The reason is there to be looked at."""
    stopper = StopRules("", "", LINE)
    stopper.feed("a\n")
    with pytest.raises(AssertionError):
        stopper.feed("b")


@pytest.mark.parametrize(
    ("prefix", "text", "is_unfinished"),
    [
        ("def f():\n    ", '"""Say', True),
        ("def f():\n    ", '"""Say."""', False),
        ("def f():\n    ", "'''Say \"\"\" it.", True),
        ('def f():\n    """Say', ' it."""', False),
        ('def f():\n    """Say', " it.", False),  # nor is it what the user has opened
        ('"""A."""\n', '"""B', True),
    ],
)
def test_an_open_docstring_is_not_finished(prefix: str, text: str, *, is_unfinished: bool) -> None:
    """What follows the hole would become part of it."""
    rules = StopRules(prefix, "\n\n\nx = 1\n", BLOCK)
    rules.feed(text)
    assert rules.is_unfinished == is_unfinished
