"""The house keeps its shape: packages, file lengths, and words that no file may hold."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from repository import PACKAGES, ROOT

CODE = {".py", ".pyi", ".ts", ".js", ".mjs", ".lua", ".c", ".cc", ".cpp", ".h", ".sh"}
ABSOLUTE_PATH = re.compile(r"(?<![\w.~-])/[\w.-]+(?:/[\w.-]+)+")
ON_EVERY_MACHINE = ("/bin/", "/dev/", "/etc/", "/proc/", "/sys/", "/usr/")


def read_project() -> dict[str, Any]:
    """The tables of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def project_files() -> list[Path]:
    """Every file that git tracks or would track, and that is there."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    """The text of any file; what is not UTF-8 in it is replaced."""
    return path.read_bytes().decode("utf-8", errors="replace")


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
        str(path.relative_to(ROOT)): text_of(path).count("\n")
        for path in project_files()
        if path.suffix in CODE
    }
    assert lengths, "git found no files"
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_the_architecture_fits_into_250_lines() -> None:
    """Nobody reads a longer one."""
    assert text_of(ROOT / "ARCHITECTURE.md").count("\n") <= 250


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
