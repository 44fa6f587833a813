"""The named packages that the corpus is made of, and their archives.

Invariant: no code of a package is run. Wheels, npm archives and Debian packages are only downloaded
and unpacked; each comes through its ecosystem's own client and that client's configuration.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from midfill.weights.errors import MidfillError

PACKAGES = Path(__file__).with_suffix(".toml")
FIELDS = {"version", "licence", "held_out", "most_bytes"}
TIMEOUT_S = 600.0

Ecosystem = Literal["python", "pypi", "npm", "debian"]


class CorpusError(MidfillError):
    """The corpus cannot be made from these sources, options or files."""


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A package in one version."""

    ecosystem: Ecosystem
    name: str
    version: str
    licence: str
    """An SPDX identifier; a package whose metadata say something else is left out."""
    most_bytes: int
    """Bytes of its text, at most, so that no package outweighs the others."""
    held_out: bool = False
    """Whether all of it is kept for evaluation."""

    @property
    def folder(self) -> str:
        """A name for the folder of its archive."""
        return f"{self.ecosystem}/{self.name.replace('/', '+')}-{self.version.replace(':', '+')}"


def read_sources(path: Path = PACKAGES) -> list[PackageSource]:
    """Python's own library first, then the packages of the list in its order.

    Raises:
        CorpusError: not TOML, an unknown ecosystem or field, or one that is missing.
    """
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CorpusError(f"{path} is not a list of packages in TOML: {error}") from error
    limits = tables.pop("most_bytes", {})
    unknown = set(tables) - set(get_args(Ecosystem))
    if unknown or set(limits) != set(get_args(Ecosystem)):
        raise CorpusError(
            f"{path.name} has the tables {sorted(tables)} and the limits {sorted(limits)}; "
            f"tables may be {', '.join(get_args(Ecosystem))}, and most_bytes needs all of these."
        )
    python = PackageSource(
        "python", "python", platform.python_version(), "PSF-2.0", limits["python"]
    )
    return [python] + [
        _source(ecosystem, name, row, limits[ecosystem])
        for ecosystem, packages in tables.items()
        for name, row in packages.items()
    ]


def download(source: PackageSource, downloads: Path) -> Path | None:
    """The archive of a package below ``downloads``; fetched unless it is there already.

    None for Python's own library, which has no archive.

    Raises:
        CorpusError: the client is not installed, failed, or left no archive.
    """
    if source.ecosystem == "python":
        return None
    folder = downloads / source.folder
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as temporary:
            _run(_command(source, Path(temporary)), Path(temporary), source)
            Path(temporary).rename(folder)
            Path(temporary).mkdir()  # for the context manager to remove
    archives = sorted(folder.iterdir())
    if len(archives) != 1:
        raise CorpusError(
            f"{folder} has {len(archives)} files instead of one archive; remove it and try again."
        )
    return archives[0]


def _source(ecosystem: str, name: str, row: dict[str, Any], limit: int) -> PackageSource:
    if not {"version", "licence"} <= set(row) <= FIELDS:
        raise CorpusError(
            f"{ecosystem}.{name} has the fields {sorted(row)}; it needs version and licence, "
            "and may have held_out and most_bytes."
        )
    assert ecosystem in get_args(Ecosystem), ecosystem
    return PackageSource(
        ecosystem,  # type: ignore[arg-type]  # it is one of the literals, see the assertion
        name,
        row["version"],
        row["licence"],
        row.get("most_bytes", limit),
        row.get("held_out", False),
    )


def _command(source: PackageSource, folder: Path) -> list[str]:
    pinned = f"{source.name}=={source.version}"
    match source.ecosystem:
        case "pypi":
            pip = [sys.executable, "-P", "-m", "pip", "download", "--disable-pip-version-check"]
            wheels = ["--no-deps", "--only-binary=:all:", "--no-input", f"--dest={folder}"]
            return [*pip, *wheels, pinned]
        case "npm":
            name = f"{source.name}@{source.version}"
            return ["npm", "pack", "--silent", "--ignore-scripts", name]
        case _:
            return ["apt-get", "download", f"{source.name}={source.version}"]


def _run(command: list[str], folder: Path, source: PackageSource) -> None:
    program = shutil.which(command[0])
    if program is None:
        raise CorpusError(
            f"{command[0]}, which downloads {source.name}, is not installed; "
            f"install it, or leave {source.ecosystem} out with --without."
        )
    done = subprocess.run(  # noqa: S603
        [program, *command[1:]],
        cwd=folder,
        env=os.environ | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        said = re.split(r"\n+", (done.stderr or done.stdout).strip())[-1]
        raise CorpusError(
            f"{command[0]} could not download {source.name} {source.version}: {said} "
            "Check the network, or give the package another version."
        )
