"""What is read from an archive, and the licence found in it."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest
from made_up_packages import code, write_npm, write_wheel

from midfill.recipes.corpus.packages import read_library, read_package
from midfill.recipes.corpus.sources import CorpusError, PackageSource

if TYPE_CHECKING:
    from pathlib import Path

PYPI = PackageSource("pypi", "shop", "1.0", "MIT", 1000)
NPM = PackageSource("npm", "shop", "1.0", "MIT", 1000)
DEBIAN = PackageSource("debian", "shop-dev", "1.0", "MIT", 1000)
MIT = "Permission is hereby granted, free of charge, to any person obtaining a copy. "
MIT += "The above copyright notice and this permission notice shall be included."


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        (
            "License-Expression: Apache-2.0\nClassifier: License :: OSI Approved :: MIT License\n",
            "Apache-2.0",
        ),
        ("License-Expression: GPL-3.0-only\nLicense: MIT\n", None),
        ("Classifier: License :: OSI Approved :: MIT License\nLicense: GPL\n", "MIT"),
        ("License: BSD\n", "BSD-3-Clause"),
        (f"License: {MIT}\n", "MIT"),
        ("Name: shop\n", None),
    ],
)
def test_the_most_exact_field_of_a_wheel_decides(
    tmp_path: Path, metadata: str, licence: str | None
) -> None:
    """The expression, else the classifiers, else the field of old."""
    wheel = write_wheel(tmp_path / "shop.whl", metadata + "\n", {})
    assert read_package(PYPI, wheel).licence == licence


def test_a_wheel_without_such_fields_has_the_licence_of_its_files(tmp_path: Path) -> None:
    """All of them have to be permissive; those of vendored packages are not its own."""
    own, more = "shop-1.0.dist-info/LICENSE", "shop-1.0.dist-info/licenses/LICENSE.more"
    vendored = "shop/_vendor/a-1.dist-info/"
    files = {own: MIT, vendored + "METADATA": "License: GPL\n\n", vendored + "LICENSE": "GPL"}
    wheel = write_wheel(tmp_path / "one.whl", "Name: shop\n\n", files)
    assert read_package(PYPI, wheel).licence == "MIT"
    wheel = write_wheel(tmp_path / "two.whl", "Name: shop\n\n", files | {more: "Ask us first."})
    assert read_package(PYPI, wheel).licence is None


def test_a_wheel_gives_its_sources_and_its_description(tmp_path: Path) -> None:
    """Not the scripts for browsers that it bundles."""
    metadata = "Description-Content-Type: text/markdown\n\n# Shop\n"
    files = {"shop/a.py": "a", "shop/page.js": "b", "shop/data.bin": "c"}
    package = read_package(PYPI, write_wheel(tmp_path / "shop.whl", metadata, files))
    assert package.files == {"shop/a.py": b"a", "README.md": b"# Shop\n"}


def test_of_compiled_typescript_only_the_source_is_taken(tmp_path: Path) -> None:
    """Declarations alone are no source."""
    files = {"src/a.ts": "a", "lib/a.js": "b"}
    package = read_package(NPM, write_npm(tmp_path / "one.tgz", "MIT", files))
    assert (package.licence, package.files) == ("MIT", {"src/a.ts": b"a"})
    files = {"lib/a.js": "b", "lib/a.d.ts": "c"}
    package = read_package(NPM, write_npm(tmp_path / "two.tgz", "UNLICENSED", files))
    assert (package.licence, sorted(package.files)) == (None, ["lib/a.d.ts", "lib/a.js"])


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="packs and unpacks with dpkg-deb")
def test_a_debian_package_gives_its_sources_from_where_they_are_installed(tmp_path: Path) -> None:
    """Links and documentation are left out, and the licence is that of its copyright file."""
    root = tmp_path / "root"
    files = {
        "DEBIAN/control": "Package: shop-dev\nVersion: 1.0\nArchitecture: all\n"
        "Maintainer: A <a@example.com>\nDescription: made up\n",
        "usr/share/doc/shop-dev/copyright": "Files: *\nLicense: Expat\n\nFiles: b.go\nLicense: X\n",
        "usr/share/doc/shop-dev/notes.md": "notes",
        "usr/share/gocode/src/shop/a.go": "package shop\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    (root / "usr/share/gocode/src/shop/b.go").symlink_to("a.go")
    archive = tmp_path / "shop.deb"
    subprocess.run(["dpkg-deb", "-b", str(root), str(archive)], check=True, capture_output=True)
    package = read_package(DEBIAN, archive)
    assert package.licence == "MIT"
    assert package.files == {"shop/a.go": b"package shop\n"}
    assert package.excluded.has("shop/b.go")


def test_pythons_own_library_is_read_without_its_tests(tmp_path: Path) -> None:
    """And without what is installed into it."""
    for name in ("json/decoder.py", "test/test_json.py", "site-packages/shop.py", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert read_library(tmp_path).files == {"json/decoder.py": b""}


@pytest.mark.parametrize("source", [PYPI, NPM], ids=lambda source: source.ecosystem)
@pytest.mark.parametrize("kept", [9, 600], ids=["almost nothing", "the first part"])
def test_a_broken_archive_is_named(tmp_path: Path, source: PackageSource, kept: int) -> None:
    """With what to do, as a download that was cut off looks like one that is whole."""
    write = {
        "pypi": lambda path: write_wheel(path, "License: MIT\n\n", {"a.py": code("apple", 400)}),
        "npm": lambda path: write_npm(path, "MIT", {"a.js": code("apple", 400)}),
    }
    whole = write[source.ecosystem](tmp_path / "whole")
    assert read_package(source, whole).licence == "MIT"
    half = tmp_path / "half"
    half.write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(CorpusError, match=r"half is broken .*remove it and try again"):
        read_package(source, half)


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="unpacks with dpkg-deb")
def test_a_broken_debian_package_is_named(tmp_path: Path) -> None:
    """What is wrong with it, dpkg-deb says itself."""
    half = tmp_path / "half.deb"
    half.write_bytes(b"!<arch>\n")
    with pytest.raises(CorpusError, match=r"dpkg-deb cannot unpack .*half\.deb"):
        read_package(DEBIAN, half)


def test_a_wheel_without_metadata_is_refused(tmp_path: Path) -> None:
    """Nothing would tell its licence."""
    wheel = tmp_path / "shop.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("shop/a.py", "a")
    with pytest.raises(CorpusError, match=r"shop\.whl has no METADATA"):
        read_package(PYPI, wheel)
