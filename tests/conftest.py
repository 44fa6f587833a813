"""What every test gets: a home of its own, no network for model hubs, the real model's path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xdist.remote import Producer

HOME_VARIABLES = ("HOME", "USERPROFILE", "LOCALAPPDATA", "APPDATA")
XDG_VARIABLES = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")

# Time is not tested, and machines are busy. In make attack everything is tried more often.
MOST_EXAMPLES = 2_000 if os.environ.get("MIDFILL_ATTACK") else 100
settings.register_profile("midfill", deadline=None, max_examples=MOST_EXAMPLES)
settings.load_profile("midfill")

# Read by huggingface_hub when it is imported, which is before any fixture runs.
os.environ["HF_HUB_OFFLINE"] = "1"

# As the engine sets it, and read when torch is imported: threads that spin while they wait make
# tests ten times slower where another process needs a core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Read then, too: the workers share the cores already.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

LOADED_ONCE = "tests/reference/"
"""Its files share models that take half a minute to load."""
ALONE = "tests/attack/"
"""Its tests share nothing."""


class ByModels(LoadFileScheduling):
    """Files as they come, each to the next free worker; those that share models to one."""

    def _split_scope(self, nodeid: str) -> str:
        """What must run in one worker."""
        if nodeid.startswith(ALONE):
            return nodeid
        return LOADED_ONCE if nodeid.startswith(LOADED_ONCE) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModels:
    """The scheduler of ``pytest --numprocesses``."""
    return ByModels(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest in one piece begins first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LOADED_ONCE))


@pytest.fixture(scope="session", autouse=True)
def _no_user_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test sees the files of the user who runs it, not even through a process it starts."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in (*HOME_VARIABLES, *XDG_VARIABLES):
            patch.setenv(name, str(home))
        patch.setenv("MIDFILL_HOME", str(home / "midfill"))
        yield


@pytest.fixture(autouse=True)
def midfill_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The (not yet existing) model store of this test."""
    home = tmp_path / "midfill-home"
    monkeypatch.setenv("MIDFILL_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def real_model_path() -> Path:
    """The base model's file, which ``make test`` has pulled."""
    path = os.environ.get("MIDFILL_TEST_MODEL")
    if not path:
        pytest.fail("MIDFILL_TEST_MODEL is not set: run make test, or deselect real_model")
    return Path(path)
