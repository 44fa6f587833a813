"""Workspaces as somebody would make them who wants to freeze, blind or rob who opens them."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

SECRET_NAMES = (".env", "id_rsa", "server.pem", "secrets.json", "x.tfstate", ".netrc")
OUTSIDE = "def CANARY_OUTSIDE(main, value, store):\n    return main(value, store)\n"
HIDDEN = "value = store = main = 'CANARY_HIDDEN'\n"
GOOD = "def main(store):\n    value = store.get()\n    return value\n"
ROOTS = ("work", "#x", "%23x", "a b", "é", "a%2520b", "c++", "[x]", "-n", "w" * 200)
FOLDERS = ("", "src", "a/b/c", "*", "[a]", "é/ü")
PATTERN_PARTS = ("*", "**", "/", "a", "[a-z]", "[!a]", "[z-a]", "[", "\\", "?", "!", "main", "b/")
DOCUMENTS = {
    "python": (".py", "import store\nfrom ..outside.canary import main\nfrom {up} import *\n"),
    "javascript": (".js", "import {{main}} from './store'\nrequire('{updir}outside/canary')\n"),
    "c": (".h", '#include "store.h"\n#include "{updir}outside/canary.h"\n'),
    "rust": (".rs", "mod store;\nuse super::super::super::outside::canary;\n"),
    "go": (".go", 'import (\n "m/../../outside"\n "m/store"\n)\n'),
    "java": (".java", "import store.*;\nimport outside.canary;\n"),
}


@dataclass(frozen=True)
class HostileWorkspace:
    """What an editor opens of it."""

    root: Path
    outside: Path
    documents: tuple[tuple[Path, str, str], ...]
    """Path, language and text."""
    attacks: tuple[str, ...]
    """What was made, for messages."""


def make(random: Random, place: Path) -> HostileWorkspace:
    """Draw a workspace and write it into a folder; the same seed gives the same."""
    root, outside = place / random.choice(ROOTS), place / "outside"
    folder = root / random.choice(FOLDERS)
    folder.mkdir(parents=True)
    _write_outside(outside)
    language = random.choice(tuple(DOCUMENTS))
    suffix, imports = DOCUMENTS[language]
    (folder / f"store{suffix}").write_text(GOOD)
    for name in random.sample(SECRET_NAMES, 3):
        (folder / name).write_text(HIDDEN)
    attacks = random.sample(ATTACKS, random.randint(3, 8))
    for attack in attacks:
        with suppress(OSError):  # two of them may want the same name
            attack(random, folder, outside)
    head = imports.format(up="." * random.randint(1, 40), updir="../" * random.randint(1, 9))
    text = head + "".join(_line(random) for _ in range(random.choice((0, 3, 30)))) + GOOD
    documents = [(folder / f"main{suffix}", language, text + "value = ")]
    if random.random() < 0.5:
        documents.append((folder / f"other{suffix}", language, GOOD * random.choice((1, 500))))
    if random.random() < 0.3:
        documents.append((folder / SECRET_NAMES[0], "plaintext", HIDDEN))
    names = tuple(attack.__name__ for attack in attacks)
    return HostileWorkspace(root, outside, tuple(documents), names)


def _write_outside(outside: Path) -> None:
    (outside / "canary").mkdir(parents=True)
    (outside / "git").mkdir()
    for suffix, _ in DOCUMENTS.values():
        (outside / f"canary{suffix}").write_text(OUTSIDE)
        (outside / f"store{suffix}").write_text(OUTSIDE)
    (outside / "canary" / "__init__.py").write_text(OUTSIDE)
    (outside / "git" / "exclude").write_text("*.md\n")


def _line(random: Random) -> str:
    """An import line that no compiler would like."""
    name = random.choice(
        ("x" * 300, "a." * 200 + "b", "..", "store", "é" * 99, "a\0b", "/etc", "~")
    )
    return random.choice(("import {}\n", "from {} import main\n", "require('./{}')\n")).format(name)


def _write(path: Path, text: str) -> None:
    """Write a file; if there is a pipe, raise OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK)
    with open(descriptor, "w", encoding="latin-1", errors="replace") as file:
        file.write(text)


def _pattern(random: Random) -> str:
    return "".join(random.choice(PATTERN_PARTS) for _ in range(random.randint(1, 12)))


def ignore_patterns(random: Random, folder: Path, outside: Path) -> None:
    """Any patterns; some never end in an engine that backtracks."""
    worst = ("*a" * 40 + "b", "**/a/" * 8, "?*" * 200 + "0", "\xff", "")
    lines = [_pattern(random) for _ in range(random.choice((3, 50)))] + [random.choice(worst)]
    name = random.choice((".gitignore", ".midfillignore"))
    _write(folder / name, "\n".join(lines))
    (folder / ("a" * 200 + ".py")).write_text(GOOD)


def huge_ignore_file(random: Random, folder: Path, outside: Path) -> None:
    """More patterns than anybody writes."""
    size = random.choice((10_000, 100_000, 3_000_000))
    _write(folder / ".gitignore", f"{_pattern(random)}\n" * (size // 10))


def ignore_file_that_is_none(random: Random, folder: Path, outside: Path) -> None:
    """A folder, a pipe, a link that ends nowhere, or outside."""
    ignore = folder / ".gitignore"
    random.choice((ignore.mkdir, lambda: os.mkfifo(ignore), lambda: ignore.symlink_to(ignore)))()


def git_configuration(random: Random, folder: Path, outside: Path) -> None:
    """One that names files elsewhere, programs, itself."""
    git = folder / ".git"
    (git / "info").mkdir(parents=True)
    value = random.choice(("../../outside/git/exclude", "~/x", "/dev/zero", '"', "\\", "x" * 5000))
    lines = ("[core]", f"excludesFile = {value}", "fsmonitor = touch ran", "[include]", "path = .")
    (git / "config").write_text("\n".join(random.sample(lines, 5)))
    (git / "info" / "exclude").write_text(_pattern(random))


def git_pointer(random: Random, folder: Path, outside: Path) -> None:
    """A ``.git`` file that leads elsewhere."""
    target = random.choice((str(outside / "git"), ".", "\0", "x" * 300, "/dev", "../" * 50))
    (folder / ".git").write_text(f"gitdir: {target}\n")


def links_outside(random: Random, folder: Path, outside: Path) -> None:
    """Files and folders that are not where they seem."""
    for number in range(3):
        for suffix, _ in DOCUMENTS.values():
            (folder / f"near{number}{suffix}").symlink_to(outside / f"canary{suffix}")
    (folder / "linked").symlink_to(outside)
    (folder / "up").symlink_to("../..")


def links_in_circles(random: Random, folder: Path, outside: Path) -> None:
    """Links to themselves and to each other."""
    (folder / "self.py").symlink_to("self.py")
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    (folder / "here").symlink_to(".")


def deep_folders(random: Random, folder: Path, outside: Path) -> None:
    """Deeper than most programs go."""
    deep = folder.joinpath(*["d"] * random.choice((50, 400)))
    with suppress(OSError):
        deep.mkdir(parents=True)
        (deep / "main.py").write_text(GOOD)


def pipes(random: Random, folder: Path, outside: Path) -> None:
    """Named like sources; who reads them waits for ever."""
    for suffix, _ in DOCUMENTS.values():
        os.mkfifo(folder / f"pipe{suffix}")
    os.mkfifo(folder / "go.mod")
    os.mkfifo(folder / "Cargo.toml")


def strange_names(random: Random, folder: Path, outside: Path) -> None:
    """Line ends, escapes, bytes that are no text."""
    for name in (b"a\nb.py", b"\x1b[2J.py", b"caf\xe9.py", b" .py", b"-rf.py", b"\xed\xa0\x80.js"):
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(GOOD.encode())


def long_names(random: Random, folder: Path, outside: Path) -> None:
    """As long as the file system has them."""
    for letter in "abc":
        (folder / (letter * 250 + ".py")).write_text(GOOD)


def broken_bytes(random: Random, folder: Path, outside: Path) -> None:
    """Sources that are no UTF-8, or hold zeros, or only a byte-order mark."""
    for number, data in enumerate(
        (b"\xff\xfe", b"a\0" * 99, b"\xef\xbb\xbf", random.randbytes(999))
    ):
        (folder / f"broken{number}.py").write_bytes(data + GOOD.encode())


def large_files(random: Random, folder: Path, outside: Path) -> None:
    """A line of 200 kB, a file of 5 MB, one of a terabyte of nothing."""
    (folder / "line.py").write_text("main(store)+" * 17_000)
    (folder / "long.py").write_text(GOOD * 80_000)
    with (folder / "sparse.py").open("wb") as file, suppress(OSError):
        file.truncate(1 << 40)


def many_files(random: Random, folder: Path, outside: Path) -> None:
    """More neighbours than anybody has."""
    for number in range(random.choice((100, 3000))):
        (folder / f"n{number}.py").touch()


def many_folders(random: Random, folder: Path, outside: Path) -> None:
    """With a source in each."""
    for number in range(300):
        (folder / f"f{number}").mkdir()
        (folder / f"f{number}" / "main.py").write_text(GOOD)


def modules_that_run(random: Random, folder: Path, outside: Path) -> None:
    """Named like what the server imports."""
    code = f"open({str(outside / 'canary.py')!r}).read()\n"
    for name in ("json", "engine", "lsp_server", "torch", "sitecustomize", "usercustomize"):
        (folder / f"{name}.py").write_text(code)


def no_permission(random: Random, folder: Path, outside: Path) -> None:
    """Files and folders that nobody may read (root may)."""
    (folder / "closed.py").write_text(GOOD)
    (folder / "closed.py").chmod(0)
    (folder / "shut").mkdir(mode=0)


def code_that_backtracks(random: Random, folder: Path, outside: Path) -> None:
    """Texts on which careless regular expressions never end."""
    for name, text in (
        ("export.js", "import " * 9000),
        ("use.rs", "use crate::" + "a::{" * 9000),
        ("include.h", "#" + " " * 50_000 + "include"),
        ("define.h", "a" * 9000 + " " + "*& " * 9000),
        ("paren.py", "from a import (" * 4000),
        ("secret.py", 'password = "' + "a" * 50_000),
    ):
        (folder / name).write_text(text)


ATTACKS: tuple[Callable[[Random, Path, Path], None], ...] = (
    *(ignore_patterns, huge_ignore_file, ignore_file_that_is_none, git_configuration, git_pointer),
    *(links_outside, links_in_circles, deep_folders, pipes, strange_names, long_names),
    *(broken_bytes, large_files, many_files, many_folders, modules_that_run, no_permission),
    code_that_backtracks,
)


def remove(place: Path) -> None:
    """All of it, however deep."""
    shutil.rmtree(place, ignore_errors=True)
