"""What of a model's text is shown, and that a growing text only ever grows on the screen."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.stopping.surroundings import Surroundings
from midfill.lsp_server.request.display import Display
from midfill.lsp_server.text.lines import line_end_of, with_line_ends, with_newlines

TEXT = st.text(alphabet="ab(} \t\n\f", max_size=12)


@given(text=TEXT, line_start=st.text(alphabet="a( \t", max_size=4), suffix=TEXT)
def test_what_was_shown_is_never_taken_back(text: str, line_start: str, suffix: str) -> None:
    """Each state starts with the one before; the finished text with all of them."""
    display = Display(line_start, suffix)
    states = [display.settled(text[:end]) for end in range(len(text) + 1)]
    for earlier, later in zip(states, [*states[1:], display.finished(text)], strict=True):
        assert later.startswith(earlier)


@given(text=st.text(max_size=20), line_start=st.text(max_size=5), suffix=st.text(max_size=20))
def test_any_text_only_grows(text: str, line_start: str, suffix: str) -> None:
    """The same for all of Unicode, with what the suffix starts with put in front."""
    display = Display(line_start, text[:5] + suffix)
    shown = [display.settled(text[:end]) for end in range(len(text) + 1)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(shown))
    assert display.finished(text).startswith(shown[-1])


@given(text=TEXT, line_start=TEXT, suffix=TEXT)
def test_what_is_shown_is_a_start_of_the_text(text: str, line_start: str, suffix: str) -> None:
    """Nothing is added, nothing is taken from the middle."""
    display = Display(line_start, suffix)
    assert text.startswith(display.finished(text))
    assert text.startswith(display.settled(text))


@given(prefix=TEXT, suffix=TEXT)
def test_the_server_and_the_engine_mean_the_same_by_a_whole_line(prefix: str, suffix: str) -> None:
    """Where the engine ends its text with a line end, the line below is compared as a whole."""
    is_whole_line = Surroundings.of(prefix, suffix).is_whole_line
    assert Display(prefix, suffix).is_whole_line == is_whole_line


@pytest.mark.parametrize("text", ["", " ", "\n", "\n    \n", "\t"])
def test_blanks_are_not_worth_showing(text: str) -> None:
    """Nobody wants to press Tab for them."""
    assert Display("x = ", "\n").finished(text) == ""


@pytest.mark.parametrize(
    ("line_start", "text", "suffix"),
    [
        ("foo(x", ")", ")\n"),
        ("foo(x", ")", "):\n    pass\n"),
        ("    ", "return x", "return x\n"),
        ("    x = 1", "\n    return x", "\n    return x\n"),
        ("    x = 1", "\n    return x\n", "\n\n    return x\n    # end\n"),
        ("    ", "a = 1\n    b = 2", "\n    a = 1  \n    b = 2\n    c = 3"),
        ("return ", "x", "\nreturn x\n"),
        ("    x = 1", " \n    return x", "\n    return x\n"),
        ("y = ", "x  ", "x + 1\n"),
        ("", "    if a:\n", "    if a:\n    n = 2\n"),
    ],
)
def test_what_already_follows_is_not_shown(line_start: str, text: str, suffix: str) -> None:
    """The commonest complaint about completions: doubled brackets and doubled lines."""
    assert Display(line_start, suffix).finished(text) == ""


@pytest.mark.parametrize(
    ("line_start", "text", "suffix"),
    [
        ("    ", "}", "\n}\n"),
        ("    ", "a = 1\n    c = 3", "\n    a = 1\n    b = 2\n"),
        ("    x = 1", "\n    return xs", "\n    return x\n"),
        ("", "return", "\n    return\n"),
        ("", "    n = 2\n", "    if a:\n    n = 2\n"),  # a line of its own before others
        ("", "    return x\n", "    return x.y\n"),
    ],
)
def test_what_differs_from_what_follows_is_shown(line_start: str, text: str, suffix: str) -> None:
    """Indentation counts: the inner brace is missing though the outer one is there."""
    assert Display(line_start, suffix).finished(text) == text


@pytest.mark.parametrize(
    ("text", "suffix", "shown"),
    [
        ("x\n", "\nnext", "x"),
        ("x\n  \n\t\n", "", "x"),
        ("x  ", "\nnext", "x  "),
        ("x\n\ny\n", "  \nnext", "x\n\ny"),
        ("import a\n", "x = 1\n", "import a\n"),
        ("a,\n    ", "b)\n", "a,\n    "),
    ],
)
def test_blank_lines_at_the_end_go_unless_code_follows(text: str, suffix: str, shown: str) -> None:
    """In front of code on the same line they are what keeps the two apart."""
    assert Display("", suffix).finished(text) == shown


def test_a_text_that_may_turn_out_to_be_there_is_held_back() -> None:
    """It shows as soon as it differs."""
    display = Display("    ", "\n    return x\n")
    states = [display.settled(text) for text in ("ret", "return", "return x", "return x + 1")]
    assert states == ["", "", "", "return x + 1"]


@pytest.mark.parametrize(
    ("text", "line_end"),
    [
        ("", "\n"),
        ("one line", "\n"),
        ("a\nb\r\n", "\n"),
        ("a\r\nb\r\nc\n", "\r\n"),
        ("a\rb\rc\r\n", "\r"),
        ("a\f\u2028b\r\n", "\r\n"),
    ],
)
def test_the_commonest_line_end_is_the_documents(text: str, line_end: str) -> None:
    """Mixed files get more of what they have most."""
    assert line_end_of(text) == line_end


@given(text=st.text(alphabet="ab \n\f\u2028", max_size=20))
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_ends_come_back_as_they_went(text: str, line_end: str) -> None:
    """There and back again is where we were; other separators are characters."""
    assert with_newlines(with_line_ends(text, line_end)) == text


@given(text=TEXT, line_start=st.text(alphabet="a( \t", max_size=4), suffix=TEXT)
def test_what_was_shown_of_code_is_never_taken_back(
    text: str, line_start: str, suffix: str
) -> None:
    """Nor where it is parsed, and where nobody asked for it."""
    display = Display(line_start, suffix, "python", is_asked=False)
    states = [display.settled(text[:end]) for end in range(len(text) + 1)]
    for earlier, later in pairwise(states):
        assert later.startswith(earlier)
    if finished := display.finished(text):
        assert finished.startswith(states[-1])


def test_what_breaks_the_file_is_not_shown() -> None:
    """What does not, is as long as it can be."""
    display = Display("print(os.", ")\n", "python")
    assert display.finished("path.join(os.path.join(") == "path.join"
    assert display.settled("path.join(os.path.join(") == "path.join"
    assert Display("print(os.", ")\n").finished("path.join(") == "path.join("


@pytest.mark.parametrize(
    ("prefix", "suffix", "text", "shown"),
    [
        ("x = se", "lf.buffer.pop()\n", "lf.nextchar", ""),
        ("x = se", "lf.buffer.pop()\n", "lf.a + self", "lf.a + se"),
        ("console.log(first", "Name + lastName);\n", "Name);", ""),
        ("x = self", ".buffer.pop()\n", ".y + self", ".y + self"),
        ("x = ", "buffer\n", "a + ", "a + "),
    ],
)
def test_a_word_around_the_cursor_is_left_whole(
    prefix: str, suffix: str, text: str, shown: str
) -> None:
    """Unless somebody asks."""
    assert Display(prefix, suffix, is_asked=False).finished(text) == shown
    assert Display(prefix, suffix).finished(text) == text


def test_nothing_inside_a_word_is_shown_before_its_end() -> None:
    """Only a finished text can tell whether it ends with the rest of the word."""
    display = Display("x = se", "lf.buffer.pop()\n", is_asked=False)
    assert display.settled("lf.a + self") == ""


def test_blanks_behind_what_follows_are_no_reason_to_show_it() -> None:
    """Nor while the text grows."""
    assert Display("y = ", "x + 1\n").settled("x  ") == ""


@pytest.mark.parametrize("rest", ["X = 1", "_x = 1", "# x", ""])
def test_a_line_without_indentation_is_no_whole_line(rest: str) -> None:
    """The cursor may as well be inside it."""
    assert not Display("", f"{rest}\n").is_whole_line


def test_a_suggestion_that_began_before_a_word_is_typed_through() -> None:
    """Its first letter makes one word with what follows, until more is typed."""
    display = Display("f(n", "value)\n", is_asked=False)
    assert display.finished("ame, ", "n") == "ame, "
    assert display.settled("ame, ", "n") == "ame, "
    assert display.finished("ame, ") == ""
