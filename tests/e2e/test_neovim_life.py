"""The plug-in in a real Neovim: where it is on, how its server lives, and what users are told."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from neovim import PLUGIN, SCRIPT, counted, editing, has_ended, neovim, saved
from repository import SCRIPTED_SERVER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neovim import Neovim


# -- where and whether


@pytest.mark.parametrize("where", ["global", "buffer", "filetype"])
def test_it_can_be_turned_off_and_on(tmp_path: Path, where: str) -> None:
    """Everywhere, in a buffer, in a kind of file; nothing of ours is left there."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        it.command(f"Midfill disable {where}")
        assert it.ghosts() == []
        assert not [group for group in it.groups() if group.startswith("midfill")]
        assert it.eval("maparg('<M-Right>', 'i')") == ""
        assert it.lua("return require('midfill').statusline()") == "midfill: off here"
        it.type("yz")
        assert it.ghosts() == []
        it.command(f"Midfill toggle {where}")
        it.see(" = 1")


def test_the_users_own_keys_stay(tmp_path: Path) -> None:
    """Only free ones are taken."""
    file = tmp_path / "a.py"
    file.write_text("# do:fill  = 1\n")
    with neovim(tmp_path, file) as it:
        it.command("inoremap <M-Right> mine")
        it.setup(f"{{ cmd = {{ '{sys.executable}', '{SCRIPTED_SERVER[1]}', 'lsp' }} }}")
        it.ready()
        assert it.eval("maparg('<M-Right>', 'i')") == "mine"
        assert "midfill" in it.lua("return vim.fn.maparg('<Tab>', 'i', false, true).desc")
        it.lua("require('midfill').teardown()")
        assert it.eval("maparg('<M-Right>', 'i')") == "mine"
        assert "snippet" in it.lua("return vim.fn.maparg('<Tab>', 'i', false, true).desc")
        assert it.eval("exists(':Midfill')") == 0


def test_settings_reach_the_server(tmp_path: Path) -> None:
    """As its own names."""
    with editing(tmp_path, "# do:fill  = 1\n", "settings = { prefetch = false }") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        assert counted(it, "shown") == 1
        assert counted(it, "prefetches") == 0


def test_what_follows_is_there_when_a_suggestion_is_accepted(tmp_path: Path) -> None:
    """Prepared while it was on the screen."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        it.until(lambda: counted(it, "prefetches") == 1)
        it.keys("<Tab>")
        it.until(lambda: counted(it, "prefetched") == 1)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("{ colour = 1 }", "colour"),
        ("{ cmd = 'x' }", "cmd"),
        ("{ keys = { accept = 1 } }", "accept"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(tmp_path: Path, options: str, named: str) -> None:
    """Not silence."""
    with neovim(tmp_path) as it:
        message = it.lua(f"return select(2, pcall(require('midfill').setup, {options}))")
        assert named in message


# -- the server's life


def test_a_killed_server_comes_back(tmp_path: Path) -> None:
    """With the buffers that it served."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        first = it.server()
        os.kill(first, 9)
        it.until(lambda: it.status() == "loading")
        assert it.ghosts() == []
        it.ready()
        assert it.server() != first
        it.type("y")
        it.see(" = 1")


def test_a_server_that_always_ends_is_given_up(tmp_path: Path) -> None:
    """With a word about what to do; restarting by hand tries again."""
    file = tmp_path / "a.py"
    file.write_text("x\n")
    with neovim(tmp_path, file) as it:
        it.setup("{ cmd = { 'false' }, restarts = 1 }")
        it.until(lambda: it.status() == "error")
        assert "too often" in it.lua("return require('midfill.server').status.message")
        it.command("Midfill restart")
        it.until(lambda: it.status() != "error")


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    """In the health check too."""
    file = tmp_path / "a.py"
    file.write_text("x\n")
    with neovim(tmp_path, file) as it:
        it.setup("{ cmd = { 'midfill-is-not-here', 'lsp' } }")
        assert it.status() == "error"
        it.command("checkhealth midfill")
        assert any("is not an executable" in line for line in it.lines)
        assert any("pip install midfill" in line for line in it.lines)


def test_a_healthy_one_is_said_too(tmp_path: Path) -> None:
    """Program, version, server."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<Esc>")
        it.command("checkhealth midfill")
        text = "\n".join(it.lines)
        assert "process for client" in text
        assert "ERROR" not in text


def test_restarting_by_hand_starts_another_server(tmp_path: Path) -> None:
    """And the old one is gone."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        first = it.server()
        it.command("Midfill restart")
        assert has_ended(first)
        it.until(lambda: it.status() == "ready" and it.server() != first)


def test_setting_up_again_takes_the_new_options(tmp_path: Path) -> None:
    """With another server; the old one is gone."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        first = it.server()
        words = ", ".join(f"'{word}'" for word in SCRIPT)
        it.setup(f"{{ cmd = {{ {words} }}, settings = {{ enabled = false }} }}")
        assert has_ended(first)
        it.keys("<CR>x")
        it.until(lambda: it.lines[-1] == "x")
        assert counted(it, "requests") == 0
        assert it.ghosts() == []
        it.setup(f"{{ cmd = {{ {words} }} }}")
        it.ready()
        it.keys("y")
        it.see(" = 1")


@pytest.mark.parametrize("end", ["quit", "kill"])
def test_no_server_outlives_the_editor(tmp_path: Path, end: str) -> None:
    """However it ends."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        server = it.server()
        it.quit() if end == "quit" else it.kill()
        assert has_ended(server)


def test_a_suggestion_is_explained_in_a_window(tmp_path: Path) -> None:
    """And counters are shown in one."""
    with editing(tmp_path, "# do:fill  = 1\n") as it:
        it.keys("<CR>x")
        it.see(" = 1")
        it.keys("<Esc>")
        it.command("Midfill explain")
        it.until(lambda: any(line.startswith("where ") for line in it.lines))
        it.command("close")
        it.command("Midfill stats")
        it.until(lambda: any(line.startswith("requests ") for line in it.lines))


# -- the real thing, and Neovim without the plug-in


@pytest.mark.real_model
def test_the_real_model_writes_in_a_real_editor(tmp_path: Path, real_model_path: Path) -> None:
    """What is seen is what is in the file after Tab."""
    command = (sys.executable, "-P", "-m", "midfill.cli", "lsp")
    text = "def is_even(number):\n    return number % 2 == 0\n\n\ndef is_odd(number):\n    return"
    with editing(tmp_path, text, server=(*command, "--model", str(real_model_path))) as it:
        it.type(" ")
        it.until(lambda: it.ghost and it.status() == "ready")
        seen = it.ghost
        it.keys("<Tab>")
        it.until(lambda: "\n".join(it.lines) == f"{text} {seen}")
        assert saved(it, tmp_path).decode() == f"{text} {seen}\n"


def test_neovims_own_list_inserts_the_whole_completion(tmp_path: Path) -> None:
    """Blanks, line ends and all, and the acceptance is counted."""
    file = tmp_path / "code.py"
    file.write_text("# do:fill t(1, 2)~    x\n")
    with neovim(tmp_path, file) as it:
        it.lua(
            """
            vim.o.completeopt = 'menuone,noinsert'
            vim.g.ready = false
            local id = vim.lsp.start({ name = 'list', cmd = ..., handlers = {
              ['midfill/status'] = function(_, status) vim.g.ready = status.state == 'ready' end,
            } })
            vim.lsp.completion.enable(true, id, 0)
            function _G.accepted()
              local client = vim.lsp.get_client_by_id(id)
              return client:request_sync('midfill/stats', {}, 5000).result.accepted
            end
            """,
            list(SCRIPT),
        )
        it.until(lambda: it.eval("g:ready"))
        it.keys("Goprin<C-x><C-o>")
        it.until(lambda: it.eval("pumvisible()"))
        it.keys("<C-y>")
        it.until(lambda: it.lines[1:] == ["print(1, 2)", "    x"])
        it.until(lambda: it.lua("return accepted()") == 1)


# -- without a server


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neovim]:
    """An editor with the plug-in on its path, and nothing started."""
    with neovim(tmp_path_factory.mktemp("bare")) as it:
        yield it


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("def add(a)", "def"),
        (" add(a)", " add"),
        ("(a)", "("),
        ("): x", "):"),
        ("\n    return 1", "\n    return"),
        ("été = 1", "été"),
        ("_x2.y", "_x2"),
        ("  ", "  "),
        ("", ""),
    ],
)
def test_a_word_comes_with_the_blanks_before_it(bare: Neovim, text: str, word: str) -> None:
    """And is letters and digits, or other characters."""
    assert bare.lua("return require('midfill.text').word(...)", text) == word


@pytest.mark.parametrize(
    ("text", "line"), [("a b\n  c\nd", "a b"), ("\n  c\nd", "\n  c"), ("\n\nx", "\n"), ("a", "a")]
)
def test_a_line_ends_before_the_next_one(bare: Neovim, text: str, line: str) -> None:
    """At its end it is the next one, with the line end in front."""
    assert bare.lua("return require('midfill.text').line(...)", text) == line


def test_the_help_names_every_option_key_command_and_function(bare: Neovim) -> None:
    """With its default, where that is a key."""
    text = (PLUGIN / "doc" / "midfill.txt").read_text(encoding="utf-8")
    defaults = bare.lua("return require('midfill.config').options")
    names = [*defaults, *defaults["keys"]]
    assert [name for name in names if f"{name} = " not in text] == []
    assert [key for key in defaults["keys"].values() if f"    {key} " not in text] == []
    public = bare.lua("""
        return vim.tbl_filter(function(name)
          return not vim.list_contains({ 'attach', 'detach', 'refresh' }, name)
        end, vim.tbl_keys(require('midfill')))""")
    assert [name for name in public if f"{name}(" not in text] == []
    bare.setup("{}")
    offered = bare.lua("return vim.fn.getcompletion('Midfill ', 'cmdline')")
    assert offered
    assert [name for name in offered if not re.search(rf":Midfill \[?{name}\b", text)] == []
    assert bare.lua("return vim.fn.getcompletion('Midfill toggle b', 'cmdline')") == ["buffer"]


def test_a_command_that_is_not_known_is_an_error_that_names_all(bare: Neovim) -> None:
    """And changes nothing."""
    bare.setup("{}")
    said = bare.lua("""
        local said
        local notify = vim.notify
        vim.notify = function(text) said = text end
        vim.cmd('Midfill dance')
        vim.notify = notify
        return said""")
    assert "dance is not known; there are disable, enable" in said
