"""The files and the licence of a package, read from its archive without running anything."""

from __future__ import annotations

import email
import gzip
import io
import json
import re
import subprocess
import sysconfig
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from midfill.recipes.corpus import licences
from midfill.recipes.corpus.filters import language_of
from midfill.recipes.corpus.sources import CorpusError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

    from midfill.recipes.corpus.sources import PackageSource

LEFT_OUT_OF_PYTHON = (
    "site-packages/",
    "lib2to3/",
    "config-",
    "ensurepip/",
    "encodings/",
    "idlelib/",
    "turtledemo/",
    "pydoc_data/",
    "test/",
)
PYPI_LANGUAGES = {"python", "cython", "c", "cpp", "shell", "sql", "yaml", "toml", "prose"}
"""Scripts for browsers inside wheels are bundles as a rule."""
INSTALLED_BELOW = re.compile(
    r"^usr/(share/(gocode/src|cargo/registry/[^/]*|go-[\d.]+/src)|include|share|src)/"
)
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
)
"""What reading an archive raises that is not whole, or not what it should be."""


@dataclass(frozen=True, slots=True)
class Package:
    """What an archive holds."""

    licence: str | None
    """An SPDX identifier; None if it is not permissive, or cannot be told."""
    files: dict[str, bytes]
    """Contents by path in the package; only files whose language is known."""
    excluded: licences.Excluded = field(default_factory=licences.Excluded)
    """Paths under another licence than the package."""


def read_package(source: PackageSource, archive: Path | None) -> Package:
    """The package in an archive as ``download`` gives it.

    Raises:
        CorpusError: the archive is broken.
    """
    try:
        match source.ecosystem:
            case "python":
                return read_library(Path(sysconfig.get_paths()["stdlib"]))
            case "pypi":
                assert archive, source
                return _wheel(archive)
            case "npm":
                assert archive, source
                return _npm(archive)
            case _:
                assert archive, source
                return _debian(archive)
    except BROKEN as error:
        raise CorpusError(f"{archive} is broken ({error}); remove it and try again.") from error


def read_library(root: Path) -> Package:
    """Python's own library below a folder, without tests, demonstrations and tables."""
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    kept = [path for path in paths if not path.startswith(LEFT_OUT_OF_PYTHON)]
    return Package("PSF-2.0", {path: (root / path).read_bytes() for path in kept})


def _wheel(archive: Path) -> Package:
    files = {}
    metadata: Message | None = None
    texts = []
    with zipfile.ZipFile(archive) as wheel:
        for name in sorted(wheel.namelist()):
            if ".dist-info/" not in name:
                if language_of(name) in PYPI_LANGUAGES:
                    files[name] = wheel.read(name)
            elif not name.partition("/")[0].endswith(".dist-info"):
                continue  # metadata of a package that is vendored in this one
            elif name.endswith("/METADATA"):
                metadata = email.message_from_bytes(wheel.read(name))
            elif re.search(r"licen[sc]e|copying", name, re.IGNORECASE):
                texts.append(wheel.read(name).decode("utf-8", errors="replace"))
    if metadata is None:
        raise CorpusError(f"{archive} has no METADATA; remove it and try again.")
    files |= dict([_readme(metadata)])
    return Package(_wheel_licence(metadata, texts), files)


def _readme(metadata: Message) -> tuple[str, bytes]:
    markdown = "markdown" in (metadata["Description-Content-Type"] or "")
    body = metadata.get_payload(decode=True)
    text = body if isinstance(body, bytes) and body.strip() else metadata["Description"] or ""
    raw = text if isinstance(text, bytes) else str(text).encode()
    return "README.md" if markdown else "README.rst", raw


def _wheel_licence(metadata: Message, texts: list[str]) -> str | None:
    """The expression decides; else the classifiers; else the short field; else the texts."""
    if metadata["License-Expression"]:
        return licences.from_expression(metadata["License-Expression"])
    classifiers = [c for c in metadata.get_all("Classifier", []) if c.startswith("License :: ")]
    if any(c != "License :: OSI Approved" for c in classifiers):
        return licences.from_classifiers(classifiers)
    short = metadata["License"] or ""
    if short and len(short) < licences.LONGEST_NAME:
        return licences.from_expression(short)
    found = [licences.from_text(text) for text in [short, *texts] if text]
    return found[0] if found and all(found) else None


def _npm(archive: Path) -> Package:
    files = {}
    licence = None
    raw = gzip.decompress(archive.read_bytes())  # once: files are not read in the archive's order
    with tarfile.open(fileobj=io.BytesIO(raw)) as packed:
        for member in sorted(packed.getmembers(), key=lambda member: member.name):
            name = member.name.partition("/")[2]
            opened = packed.extractfile(member) if member.isfile() else None
            if opened is None:
                continue
            if name == "package.json":
                said = json.loads(opened.read()).get("license")
                licence = licences.from_expression(said) if isinstance(said, str) else None
            elif language_of(name):
                files[name] = opened.read()
    return Package(licence, _sources_only(files))


def _sources_only(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files without JavaScript where the package has its TypeScript too: that is compiled."""
    typescript = {
        path
        for path in files
        if language_of(path) == "typescript" and not re.search(r"\.d\.[mc]?ts$", path)
    }
    if not typescript:
        return files
    return {path: raw for path, raw in files.items() if language_of(path) != "javascript"}


def _debian(archive: Path) -> Package:
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        try:
            command = ["dpkg-deb", "-x", str(archive), temporary]
            subprocess.run(command, check=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError) as error:
            raise CorpusError(f"dpkg-deb cannot unpack {archive}: {error}") from error
        said = [path.read_text("utf-8", errors="replace") for path in _copyrights(root)]
        licence, excluded = licences.from_debian(said[0]) if said else (None, ())
        return Package(licence, dict(_installed(root)), licences.Excluded(excluded))


def _copyrights(root: Path) -> Iterator[Path]:
    found = sorted(root.glob("usr/share/doc/*/copyright"))
    return (path for path in found if not path.is_symlink())


def _installed(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink() or not path.is_file() or not language_of(name):
            continue
        if not name.startswith("usr/share/doc/"):
            yield INSTALLED_BELOW.sub("", name), path.read_bytes()
