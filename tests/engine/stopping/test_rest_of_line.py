"""The rest of the cursor's line: left out where it is repeated, and only there."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from midfill.engine.stopping.rest_of_line import RestOfLine

# By name: prefix, text, suffix, and what is kept of the text.
REPEATED = {
    "a bracket": ("def f(", "a, b) -> int:", ")", "a, b"),
    "but not those of its own": ("foo(", "a, bar(b))", ")", "a, bar(b)"),
    "the first of two marks": ("x = foo(", "a)", ");", "a"),
    "one bracket of two that are open": ("foo(bar(", "a))", ")", "a)"),
    "one that the next line needs": ("foo(\n    bar(", "x))", ")\n)\n", "x"),
    "two brackets": ("f(x[", "0])", "])", "0"),
    "a quote": ('x = "', 'hello"', '"', "hello"),
    "a quote, other quotes before it": ('print("', 'hello", end="")', '")', 'hello", end="'),
    "a quote, then more": ('print("', 'hello") + foo(', '")', "hello"),
    "a quote behind an escaped one": ("x = '", "it\\'s'", "'", "it\\'s"),
    "a bracket below an apostrophe": ("# don't\nfoo(", "a, b) # c", ")", "a, b"),
    "words": ("for ", "x in items:", " in items:", "x"),
    "words and blanks": ("for ", "x in items:  ", " in items: ", "x"),
    "a mark": ("x = 1", " + 2;", ";", " + 2"),
    "a mark and words": ("foo(", "a, b)", ", b)", "a"),
    "a whole line": ("if a:\n    ", "x = 1\n    return x", "return x\n", "x = 1\n    "),
    "nothing else": ("x = ", "y", "y", ""),
    "the rest of a word": ("se", "lf.pop()", "lf.pop()", ""),
    "a rest within a string": ('re.split(r"[', "\\w']+\", text)", ']+", text)', "\\w'"),
    "a pair within a string": ("pattern = '(", "\\d+)'", ")'", "\\d+"),
    "a string's end behind words": ('print("a', ' b") # c', ' c")', " b"),
    "a bracket that a string's would close": ('re.split(r"[', "\\w\\d]+", ']+", text)', "\\w\\d"),
    "a bracket in a string": ('sql = "VALUES (', "?, ?)", ')"', "?, ?"),
    "a bracket and words": ("foo(", "a) -> int:", ") -> int:", "a"),
}
UNTOUCHED = {
    "no rest": ("foo(", "a)", "\n)"),
    "a blank rest": ("foo(", "a)", "  \n)"),
    "brackets that come out even": ("foo(a", ") + bar(b", ")"),
    "quotes that come out even": ('x = "', '" + y + "', '"'),
    "what it closes it opened": ("foo(", "(x)", ")"),
    "a bracket that nothing else closes": ("foo(\n    bar(", "x)", ")\n"),
    "a quote that nothing else closes": ('print("a', 'b"', ")"),
    "a bracket in a string": ("print(", '":)"', ")"),
    "the same letter twice in a word": ("s", "e", "e"),
    "a word that ends alike": ("foo(", "max", "x"),
    "a pair of its own in a string": ('sql = "VALUES (', "f(?)", ')"'),
    "a bracket that no string opens": ('print("a', "b)", ')")'),
    "a line of another indentation": ("if a:\n", "        return x", "    return x\n"),
    "text far from any bracket": ("foo(\n", "x" * 30_000, ")"),
}


@pytest.mark.parametrize("name", REPEATED)
def test_what_follows_is_not_written_twice(name: str) -> None:
    """Where the text repeats it, or closes what it is there to close."""
    prefix, text, suffix, kept = REPEATED[name]
    assert text[: RestOfLine(prefix, suffix).kept(text)] == kept


@pytest.mark.parametrize("name", UNTOUCHED)
def test_what_only_looks_like_the_rest_stays(name: str) -> None:
    """A model that sees the suffix may well mean it."""
    prefix, text, suffix = UNTOUCHED[name]
    assert RestOfLine(prefix, suffix).kept(text) == len(text)


def unmatched(code: str) -> int:
    """Closing brackets that nothing opened."""
    stack, count = [], 0
    for character in code:
        if character in "([{":
            stack.append(character)
        elif character in ")]}":
            if stack and stack[-1] + character in ("()", "[]", "{}"):
                stack.pop()
            else:
                count += 1
    return count


brackets = st.text("ab()[]{}, \n", max_size=12)


@given(prefix=brackets, rest=st.sampled_from([")", "])", "}", " )", "),"]), text=brackets)
@settings(deadline=None, max_examples=300)
def test_the_rest_closes_what_it_closed_before(prefix: str, rest: str, text: str) -> None:
    """Accepted, a completion leaves no more brackets without a partner than there were."""
    kept = text[: RestOfLine(prefix, rest).kept(text)]
    assert unmatched(prefix + kept + rest) <= unmatched(prefix + rest)


@given(words=st.lists(st.sampled_from(["x", " ", "in", "items", ":", "\n"]), max_size=10))
@settings(deadline=None)
def test_words_that_follow_are_not_at_the_end(words: list[str]) -> None:
    """Unless the model wrote them twice."""
    text, rest = "".join(words), " in items:"
    kept = text[: RestOfLine("for ", rest).kept(text)]
    assert not kept.rstrip().endswith(rest) or text.count(rest) > 1


marks = st.lists(
    st.sampled_from(["a", " in x", "i", "(", ")", "]", '"', "\\", " ", "\n"]), max_size=10
).map("".join)


@given(prefix=marks, suffix=marks, text=marks, more=marks, data=st.data())
@settings(deadline=None, max_examples=300)
@example("foo(", " )", "a )", "", None)
def test_what_is_sure_stays_whatever_comes(
    prefix: str, suffix: str, text: str, more: str, data: st.DataObject | None
) -> None:
    """The text may go on, and may be cut anywhere behind what had settled."""
    rest = RestOfLine(prefix, suffix)
    settled = data.draw(st.integers(0, len(text.rstrip()))) if data else len(text)
    sure = rest.sure(text, settled)
    whole = text + more
    end = data.draw(st.integers(settled, len(whole))) if data else len(whole)
    assert sure <= rest.kept(whole[:end])
