"""A real Neovim without a screen, driven over its own RPC, with our plug-in."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neovim_rpc import Rpc
from repository import ROOT, SCRIPTED_SERVER

from midfill.lsp_server.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLUGIN = ROOT / "editor-client" / "neovim"
SCRIPT = (*SCRIPTED_SERVER, "lsp")
"""A server that fills in what the document says."""
LIMIT_S = 30.0
"""Before a wait counts as failed; the machine may be busy."""
LOAD_LIMIT_S = 100.0

_INIT = """
vim.opt.runtimepath:prepend(vim.env.MIDFILL_PLUGIN)
vim.o.swapfile, vim.o.undofile, vim.o.shadafile = false, false, 'NONE'
vim.g.shown = {}
vim.api.nvim_create_autocmd('User', { pattern = 'MidfillShown', callback = function(event)
  vim.g.shown = vim.list_extend(vim.g.shown, { event.data.text })
end })
vim.cmd('filetype plugin indent off')
vim.cmd('filetype on')
"""


def program() -> str:
    """The Neovim of this environment, or the one on the path."""
    here = str(Path(sys.executable).parent)
    found = shutil.which("nvim", path=here) or shutil.which("nvim")
    assert found is not None, "there is no nvim: run make setup"
    return found


class Neovim:
    """One editor.

    Args:
        rpc: The connection.
        process: The editor's process.
    """

    def __init__(self, rpc: Rpc, process: subprocess.Popen[bytes]) -> None:
        self.rpc = rpc
        self.process = process

    def lua(self, code: str, *arguments: object) -> Any:
        """The value of a Lua chunk."""
        return self.rpc.call("exec_lua", code, arguments)

    def eval(self, expression: str) -> Any:
        """The value of a Vim expression."""
        return self.rpc.call("eval", expression)

    def command(self, command: str) -> None:
        """Run an Ex command."""
        self.rpc.call("command", command)

    def keys(self, keys: str) -> None:
        """Type keys, in Vim's notation."""
        self.rpc.call("input", keys)

    def type(self, text: str) -> None:
        """Type a text, one character after another, as a person does: each is handled first."""
        for character in text:
            self.keys("<lt>" if character == "<" else character)
            self.eval("1")

    def until(
        self,
        condition: Callable[[], Any],
        what: str = "it did not happen",
        limit_s: float = LIMIT_S,
    ) -> Any:
        """The condition's value, once it is true."""
        end = time.monotonic() + limit_s
        while not (value := condition()):
            assert time.monotonic() < end, f"{what}: {self.report()}"
            time.sleep(0.005)
        return value

    def report(self) -> str:
        """What a failed test wants to know."""
        messages = self.eval("execute('messages')")
        return f"lines {self.lines}, ghost {self.ghost!r}, messages {messages!r}"

    @property
    def lines(self) -> list[str]:
        """The lines of the current buffer."""
        return list(self.rpc.call("buf_get_lines", 0, 0, -1, False))

    @property
    def cursor(self) -> tuple[int, int]:
        """Line, from 1, and byte, from 0."""
        line, column = self.rpc.call("win_get_cursor", 0)
        return line, column

    @property
    def ghost(self) -> str:
        """The text that is drawn at the cursor; empty if there is none."""
        return "".join(text for _, text in self.ghosts())

    def ghosts(self) -> list[tuple[tuple[int, int], str]]:
        """All drawn texts, with their line and byte, from 0."""
        space = self.rpc.call("create_namespace", "midfill")
        marks = self.rpc.call("buf_get_extmarks", 0, space, 0, -1, {"details": True})
        return [((row, col), _text(details)) for _, row, col, details in marks]

    @property
    def shown(self) -> list[str]:
        """Every state of a suggestion that was drawn so far."""
        return list(self.eval("g:shown"))

    def groups(self) -> list[str]:
        """The groups of all automatic commands for the current buffer."""
        groups: list[str] = self.lua("""
            return vim.tbl_map(function(command)
              return command.group_name or ''
            end, vim.api.nvim_get_autocmds({ buffer = 0 }))""")
        return groups

    def see(self, text: str) -> None:
        """Wait until this is the ghost text."""
        self.until(lambda: self.ghost == text, f"no ghost {text!r}")

    def see_none(self) -> None:
        """Wait until there is no ghost text."""
        self.until(lambda: not self.ghosts(), "the ghost stays")

    def status(self) -> str:
        """What the server does."""
        state: str = self.lua("return require('midfill.server').status.state")
        return state

    def ready(self) -> None:
        """Wait until the model is loaded; a real one compiles its kernels first."""
        self.until(lambda: self.status() == "ready", "the model does not load", LOAD_LIMIT_S)

    def setup(self, options: str) -> None:
        """Start the plug-in, with these options in Lua."""
        self.lua(f"require('midfill').setup({options})")

    def server(self) -> int:
        """The process of the language server."""
        return int(
            self.until(
                lambda: self.lua("""
                    local found = vim.api.nvim_get_proc_children(vim.fn.getpid())
                    return found[1] or false"""),
                "there is no server",
            )
        )

    def quit(self) -> int:
        """Leave as a user does; the exit code."""
        with contextlib.suppress(OSError):
            self.command("qall!")
        return self.process.wait(LIMIT_S)

    def kill(self) -> None:
        """End at once, without a chance to clean up."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(LIMIT_S)


def has_ended(process: int) -> bool:
    """Whether a process ends in time."""
    end = time.monotonic() + LIMIT_S
    while is_alive(process) and time.monotonic() < end:
        time.sleep(0.01)
    return not is_alive(process)


def _text(details: dict[str, Any]) -> str:
    lines = [details.get("virt_text", []), *details.get("virt_lines", [])]
    return "\n".join("".join(chunk[0] for chunk in line) for line in lines)


@contextlib.contextmanager
def neovim(folder: Path, file: Path | None = None) -> Iterator[Neovim]:
    """An editor with this file open; its home, and all it writes, is in the folder."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    init, socket = home / "init.lua", home / "s"
    init.write_text(_INIT, encoding="utf-8")
    names = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
    own = {"HOME": str(home), "MIDFILL_PLUGIN": str(PLUGIN)} | dict.fromkeys(names, str(home))
    command = [program(), "--headless", "--listen", str(socket), "-u", str(init), "-i", "NONE"]
    process = subprocess.Popen(
        command if file is None else [*command, str(file)],
        cwd=folder,
        env=os.environ | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        rpc = _attached(process, socket)
        with contextlib.closing(rpc):
            yield Neovim(rpc, process)
    finally:
        process.kill()
        process.wait(LIMIT_S)


def _attached(process: subprocess.Popen[bytes], socket: Path) -> Rpc:
    end = time.monotonic() + LIMIT_S
    while True:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            return Rpc(socket, LIMIT_S)
        assert process.poll() is None, f"nvim ended with {process.returncode}"
        assert time.monotonic() < end, "nvim does not listen"
        time.sleep(0.01)


@contextlib.contextmanager
def editing(
    folder: Path, text: str, options: str = "", server: tuple[str, ...] = SCRIPT
) -> Iterator[Neovim]:
    """An editor in insert mode at the end of a file, with a server that is ready."""
    file = folder / "code.py"
    file.write_bytes(text.encode())
    with neovim(folder, file) as it:
        command = (*server, "--log-file", str(folder / "lsp.log"))
        words = ", ".join(f"'{word}'" for word in command)
        it.setup(f"{{ cmd = {{ {words} }}, {options} }}")
        it.ready()
        it.keys("GA")
        yield it


def saved(it: Neovim, folder: Path) -> bytes:
    """The file on disk once the editor has written it."""
    it.keys("<Esc>:w<CR>")
    it.until(lambda: not it.eval("&modified"))
    return (folder / "code.py").read_bytes()


def counted(it: Neovim, name: str) -> int:
    """A counter of ``midfill/stats``."""
    return int(
        it.lua(
            """
            local client = require('midfill.server').client()
            return client:request_sync('midfill/stats', {}, 5000).result[...]
            """,
            name,
        )
    )
