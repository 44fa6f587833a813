"""What midfill installs: the pins, their hashes, and the licences that packages state."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from repository import ROOT

from midfill.recipes.corpus import licences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PINS, HASHES = ROOT / "constraints.txt", ROOT / "hashes.txt"
NOT_PERMISSIVE = {
    "certifi": "MPL-2.0",
    "hypothesis": "MPL-2.0",
    "pathspec": "MPL-2.0",
    "tqdm": "MPL-2.0 AND MIT",
}
"""Packages that may be used nevertheless: their copyleft ends at their own files."""


def pins(path: Path) -> dict[str, str]:
    """Versions by normalized name, of a file of requirements."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text("utf-8"), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def permissive(package: metadata.PackageMetadata) -> str | None:
    """The permissive licences that a package states, as an SPDX expression, or None."""
    stated = package.get("License", "")
    return (
        licences.from_expression(package.get("License-Expression", ""))
        or licences.from_expression(stated)
        or licences.from_classifiers(package.get_all("Classifier", []))
        or licences.from_text(stated)
    )


def licence(name: str, package: metadata.PackageMetadata) -> str | None:
    """The licence of a package that may be used, or None."""
    return permissive(package) or NOT_PERMISSIVE.get(canonicalize_name(name))


def needed() -> dict[str, set[str]]:
    """The pinned packages that a plain install has, midfill too, each with those that it names.

    Not pinned are the GPU libraries of some builds of PyTorch.
    """
    pinned = pins(PINS)
    found: dict[str, set[str]] = {}
    waiting = [("midfill", "")]
    while waiting:
        name, extra = waiting.pop()
        named = [(canonicalize_name(each.name), each) for each in _requirements(name, extra)]
        wanted = [(each, requirement) for each, requirement in named if each in pinned]
        new = {each for each, _ in wanted} - found.setdefault(name, set())
        found[name] |= new
        waiting += [(each, "") for each in new if each not in found]
        waiting += [(each, x) for each, needs in wanted if each in new for x in needs.extras]
    return found


def _requirements(name: str, extra: str) -> Iterator[Requirement]:
    for line in metadata.requires(name) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement
