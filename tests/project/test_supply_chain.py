"""Everything that is installed is pinned, hashed and free to use, and the SBOM names it."""

from __future__ import annotations

import re
from email.message import Message
from importlib import metadata

import pytest
from dependencies import HASHES, NOT_PERMISSIVE, PINS, licence, needed, permissive, pins
from packaging.utils import canonicalize_name
from wheel_sbom import FIRST_ZIP_DATE, sbom

from midfill.recipes.corpus.licences import from_expression
from midfill.weights import registry

TORCH = "torch"
"""Its builds for CPUs and GPUs have one version and many hashes, of several indexes."""


def installed() -> dict[str, metadata.PackageMetadata]:
    """The metadata of the packages here that are pinned, by normalized name."""
    known = pins(PINS)
    found = {canonicalize_name(each.name): each.metadata for each in metadata.distributions()}
    return {name: found[name] for name in sorted(known.keys() & found.keys())}


def test_every_pin_but_torch_has_hashes_of_its_files() -> None:
    """The versions are the same: ``make hashes`` was not forgotten."""
    expected = pins(PINS)
    assert expected.pop(TORCH)
    assert pins(HASHES) == expected
    rows = re.split(r"^(?=\w)", HASHES.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert len(rows) == len(expected)
    assert [row for row in rows if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", row)] == []


def test_every_package_has_a_licence_that_is_allowed() -> None:
    """Installed for users or for developers."""
    packages = installed()
    assert len(packages) > 80
    assert {n: p.get("License") for n, p in packages.items() if licence(n, p) is None} == {}


def test_exceptions_are_needed() -> None:
    """Each names a package that is pinned and states no permissive licence."""
    packages = installed()
    assert [name for name in NOT_PERMISSIVE if permissive(packages[name]) is not None] == []


@pytest.mark.parametrize("stated", ["GPL-3.0-only", "AGPL-3.0", "MIT AND GPL-2.0-only", "", "Mine"])
def test_a_licence_that_is_not_allowed_is_found(stated: str) -> None:
    """Wherever the metadata state it."""
    for field in ("License-Expression", "License"):
        package = Message()
        package[field] = stated
        assert licence("some-package", package) is None  # type: ignore[arg-type]
    package = Message()
    package["Classifier"] = "License :: OSI Approved :: GNU General Public License v3 (GPLv3)"
    assert licence("some-package", package) is None  # type: ignore[arg-type]


def test_every_model_has_a_permissive_licence() -> None:
    """Those that midfill knows by name: others are the user's own."""
    models = registry.entries()
    assert models
    assert {each.name: each.licence for each in models if not from_expression(each.licence)} == {}


def test_the_sbom_names_what_a_plain_install_has() -> None:
    """With version, licence and identifier; the models with their hashes."""
    document = sbom(FIRST_ZIP_DATE)
    parts = {each["name"]: each for each in document["components"]}
    models = {each.name for each in registry.entries()}
    packages = needed().keys() - {"midfill"}
    assert {"numpy", "pygls", "torch", "typing-extensions"} <= packages
    assert "pytest" not in packages
    assert parts.keys() == packages | models
    assert all(each["licenses"] for each in parts.values())
    known = pins(PINS)
    for name in packages:
        assert parts[name]["version"] == known[name]
        assert parts[name]["purl"] == f"pkg:pypi/{name}@{known[name]}"
    for each in registry.entries():
        assert parts[each.name]["hashes"] == [{"alg": "SHA-256", "content": each.sha256}]


def test_the_sbom_depends_on_nothing_but_the_pins_and_the_moment() -> None:
    """No random serial number, no time of day: two builds are equal."""
    assert sbom(FIRST_ZIP_DATE) == sbom(FIRST_ZIP_DATE)
    changed = sbom(FIRST_ZIP_DATE + 60)
    assert changed["metadata"]["timestamp"] != sbom(FIRST_ZIP_DATE)["metadata"]["timestamp"]
