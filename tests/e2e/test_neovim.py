"""The plug-in in a real Neovim: what a user sees, accepts and finds in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neovim import counted, editing, saved

if TYPE_CHECKING:
    from pathlib import Path

FUNCTION = "def add(a, b):~    return a + b"
SHOWN = FUNCTION.replace("~", "\n")


# -- what is seen and accepted


def test_tab_accepts_what_is_seen(tmp_path: Path) -> None:
    """All of it, into the file on disk."""
    with editing(tmp_path, f"# do:fill {FUNCTION}\n") as it:
        it.keys("<CR>")
        it.see(SHOWN)
        assert it.lines[1:] == [""]
        it.keys("<Tab>")
        it.see_none()
        assert it.cursor == (3, 16)
        assert saved(it, tmp_path) == f"# do:fill {FUNCTION}\n{SHOWN}\n".encode()


def test_without_a_suggestion_tab_is_tab(tmp_path: Path) -> None:
    """And so are the other keys what they were."""
    with editing(tmp_path, "# do:fill \n") as it:
        it.keys("<CR><Tab>x<Tab>")
        it.until(lambda: it.lines[-1] == "\tx\t")


def test_words_are_accepted_one_by_one(tmp_path: Path) -> None:
    """The rest stays on the screen, and nobody is asked for it."""
    with editing(tmp_path, f"# do:fill {FUNCTION}\n") as it:
        it.keys("<CR>")
        it.see(SHOWN)
        before = counted(it, "requests")
        for rest in (" add(a, b):\n    return a + b", "(a, b):\n    return a + b"):
            it.keys("<M-Right>")
            it.see(rest)
        assert it.lines[-1] == "def add"
        assert counted(it, "requests") == before
        assert counted(it, "accepted") == 1
        assert counted(it, "acceptedCharacters") == 7


def test_lines_are_accepted_one_by_one(tmp_path: Path) -> None:
    """The last one ends the suggestion."""
    with editing(tmp_path, f"# do:fill {FUNCTION}\n") as it:
        it.keys("<CR>")
        it.see(SHOWN)
        it.keys("<M-Down>")
        it.see("\n    return a + b")
        it.keys("<M-Down>")
        it.see_none()
        assert it.lines[-2:] == ["def add(a, b):", "    return a + b"]


def test_accepting_is_one_step_to_undo(tmp_path: Path) -> None:
    """What was typed before stays."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        it.keys("<Tab>")
        it.until(lambda: it.lines[-1] == "x = 1")
        it.keys("<Esc>u")
        it.until(lambda: it.lines[-1] == "x")


def test_a_dismissed_suggestion_stays_away_until_something_changes(tmp_path: Path) -> None:
    """The server is told."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        it.keys("<C-]>")
        it.see_none()
        assert counted(it, "dismissed") == 1
        assert it.lines[-1] == "x"
        it.keys("y")
        it.see(" = 1")


def test_leaving_insert_mode_hides_it(tmp_path: Path) -> None:
    """And coming back shows it again."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        it.keys("<Esc>")
        it.see_none()
        it.keys("A")
        it.see(" = 1")


# -- typing through, streaming, candidates


def test_typing_what_is_shown_never_blinks(tmp_path: Path) -> None:
    """After every key the rest is there at once, and the server is not asked."""
    with editing(tmp_path, f"# do:fill {FUNCTION}\n") as it:
        it.keys("<CR>")
        it.see(SHOWN)
        before = counted(it, "requests")
        for typed in range(1, len("def add(") + 1):
            it.type(SHOWN[typed - 1])
            assert it.ghost == SHOWN[typed:]
            assert it.ghosts()[0][0] == (1, typed)
        it.keys("<BS>")
        it.see(SHOWN[len("def add") :])
        assert counted(it, "requests") == before


def test_typing_something_else_asks_again(tmp_path: Path) -> None:
    """The old text goes."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        it.type("y")
        it.until(lambda: it.ghosts() == [((1, 2), " = 1")])


def test_a_streamed_suggestion_grows(tmp_path: Path) -> None:
    """Each state starts with the one before, and it can be accepted before it is whole."""
    with editing(tmp_path, f"# do:slowly {FUNCTION}\n") as it:
        it.keys("<CR>")
        it.see(SHOWN)
        states = it.shown
        assert len(states) >= 2
        assert all(SHOWN.startswith(state) for state in states)
        assert states == sorted(states, key=len)


def test_typing_goes_on_with_what_is_still_streamed(tmp_path: Path) -> None:
    """The generation is joined, not started again."""
    with editing(tmp_path, f"# do:slowly {FUNCTION}\n") as it:
        it.keys("<CR>")
        it.until(lambda: len(it.ghost) >= 6)
        it.type("def")
        assert it.ghost
        it.see(SHOWN[3:])
        assert counted(it, "joined") >= 1
        assert it.lines[-1] == "def"


def test_candidates_are_cycled_through(tmp_path: Path) -> None:
    """Forwards, backwards and around; the one that is shown is accepted."""
    with editing(tmp_path, "# do:any  = 1| = 22| = 333\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        it.keys("<M-]>")
        it.until(lambda: it.ghost not in ("", " = 1"))
        second = it.ghost
        it.keys("<M-[>")
        it.see(" = 1")
        it.keys("<M-[>")
        it.until(lambda: it.ghost not in ("", " = 1", second))
        third = it.ghost
        assert {second, third} == {" = 22", " = 333"}
        it.keys("<Tab>")
        it.until(lambda: it.lines[-1] == "x" + third)


def test_the_user_can_ask(tmp_path: Path) -> None:
    """Where the editor has not."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        it.keys("<C-]>")
        it.see_none()
        it.keys("<M-\\>")
        it.see(" = 1")


# -- texts of all kinds


def test_documents_with_crlf_get_crlf(tmp_path: Path) -> None:
    """On disk; on the screen a line end is a line end."""
    with editing(tmp_path, f"# do:fill {FUNCTION}\r\n") as it:
        assert it.eval("&fileformat") == "dos"
        it.keys("<CR>")
        it.see(SHOWN)
        it.keys("<Tab>")
        it.until(lambda: len(it.lines) == 3)
        text = f"# do:fill {FUNCTION}\n{SHOWN}\n".replace("\n", "\r\n")
        assert saved(it, tmp_path) == text.encode()


def test_multi_byte_text_is_counted_in_bytes_here_and_in_units_there(tmp_path: Path) -> None:
    """Before, in and after the suggestion."""
    with editing(tmp_path, "# do:fill é😀 = ß, \n") as it:
        it.keys("<CR>ü = '😀äö'<Esc>2hi")
        it.see("é😀 = ß, ")
        it.type("é😀")
        assert it.ghost == " = ß, "
        it.keys("<Tab>")
        it.until(lambda: it.lines[-1] == "ü = '😀é😀 = ß, äö'")
        assert counted(it, "acceptedCharacters") == len(" = ß, ")


def test_the_rest_of_the_line_stays_behind_the_cursor(tmp_path: Path) -> None:
    """A suggestion in the middle of a line."""
    with editing(tmp_path, "# do:fill x, y\n") as it:
        it.keys("<CR>f()<Left>")
        it.see("x, y")
        assert it.ghosts()[0][0] == (1, 2)
        it.keys("<Tab>")
        it.until(lambda: it.lines[-1] == "f(x, y)")
        assert it.cursor == (2, 6)
