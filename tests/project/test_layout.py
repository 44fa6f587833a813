"""The house keeps its shape: packages, file lengths, and words that no file may hold."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from repository import PACKAGES, ROOT
from source_tree import name_of, project_files, python_sources, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable

CODE = {".py", ".pyi", ".ts", ".js", ".mjs", ".lua", ".c", ".cc", ".cpp", ".h", ".sh"}
ABSOLUTE_PATH = re.compile(r"/(?<![\w.~-]/)[\w.-]+(?:/[\w.-]+)+")
MOST_FILES = 14
"""Python files of a folder: what one reader can hold in mind."""
ON_EVERY_MACHINE = ("/bin/", "/dev/", "/etc/", "/proc/", "/sys/", "/usr/")


def read_project() -> dict[str, Any]:
    """The tables of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_wheel_holds_every_package_on_disk() -> None:
    """Setuptools takes an explicit list, which is easily forgotten."""
    on_disk = {
        ".".join(("midfill", *path.parent.relative_to(ROOT).parts))
        for package in PACKAGES
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert set(read_project()["tool"]["setuptools"]["packages"]) == on_disk


def test_every_package_says_that_it_is_typed() -> None:
    """Without py.typed, type checkers ignore the annotations (PEP 561)."""
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").is_file()


def test_no_code_file_is_longer_than_400_lines() -> None:
    """A longer file has more than one job."""
    lengths = {
        name_of(path): text_of(path).count("\n") for path in project_files() if path.suffix in CODE
    }
    assert lengths, "git found no files"
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def crowded(names: Iterable[str]) -> dict[str, int]:
    """The folders with more Python files than ``MOST_FILES``, and how many they have."""
    counts = Counter(str(PurePosixPath(name).parent) for name in names if name.endswith(".py"))
    return {folder: count for folder, count in counts.items() if count > MOST_FILES}


def test_no_folder_is_crowded() -> None:
    """Packages and tests: a prefix that repeats becomes a room."""
    assert crowded(python_sources()) == {}


def test_a_crowded_folder_is_found() -> None:
    """Files below it are not its own, and other kinds do not count."""
    full = [f"tests/engine/test_{n}.py" for n in range(MOST_FILES)]
    others = ["tests/engine/data.json", "tests/engine/model/test_a.py", "tests/conftest.py"]
    assert crowded([*full, *others]) == {}
    assert crowded([*full, *others, "tests/engine/conftest.py"]) == {"tests/engine": 15}


def test_the_server_never_splits_lines_as_python_does() -> None:
    """It also splits at form feeds and U+2028, which no editor counts as line ends."""
    guilty = [p for p in (ROOT / "lsp_server").rglob("*.py") if ".splitlines(" in text_of(p)]
    assert guilty == []


def test_bare_package_names_are_banned() -> None:
    """A workspace folder named engine would win over a plain import engine."""
    lint = read_project()["tool"]["ruff"]["lint"]
    assert "TID" in lint["select"]
    assert set(lint["flake8-tidy-imports"]["banned-api"]) == set(PACKAGES)


def paths_of_this_machine(text: str) -> list[str]:
    """The absolute paths in a text that lead, for two steps at least, to something here."""
    found = ABSOLUTE_PATH.findall(text)
    own = [path for path in found if not path.startswith(ON_EVERY_MACHINE)]
    return [path for path in own if Path(*Path(path).parts[:3]).exists()]


def test_no_file_names_a_path_of_the_machine_it_was_written_on(tmp_path: Path) -> None:
    """Such a path works for one person; an invented one, which leads nowhere, is fine."""
    assert paths_of_this_machine(f"file://{tmp_path}/x and /no/such/path") == [f"{tmp_path}/x"]
    files = project_files()
    found = {str(path.relative_to(ROOT)): paths_of_this_machine(text_of(path)) for path in files}
    assert {name: paths for name, paths in found.items() if paths} == {}
