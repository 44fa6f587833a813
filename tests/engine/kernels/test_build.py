"""The compiled kernels: built once, found again, and a reason where they cannot be had."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

from midfill.engine.kernels import bindings
from midfill.engine.kernels import build as kernel_build
from midfill.engine.kernels.build import KernelsUnavailableError, build, cache_folder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_folder()


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that writes its arguments to ``calls`` and compiles nothing."""
    script = tmp_path / "compiler"
    script.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo "compiler ${VERSION:-1}" && exit\n'
        'echo "$@" >> "$(dirname "$0")/calls"\n'
        'while [ "$1" != -o ]; do shift; done; echo library > "$2"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    return script


def calls(compiler: Path) -> int:
    """How often it has compiled."""
    file = compiler.with_name("calls")
    return len(file.read_text().split("\n")) - 1 if file.exists() else 0


def test_a_library_is_built_once_and_then_found(compiler: Path, cache: Path) -> None:
    """And nothing but the library is left in the cache, which is the user's alone."""
    first, second = build(), build()
    assert first == second
    assert calls(compiler) == 1
    assert list(cache.iterdir()) == [first]
    assert [path.stat().st_mode & 0o777 for path in (cache, first)] == [0o700, 0o700]


def test_another_compiler_version_builds_anew(
    compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update may know the processor better."""
    first = build()
    monkeypatch.setenv("VERSION", "2")
    assert build() != first
    assert calls(compiler) == 2


def test_another_processor_builds_anew(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder may be shared by machines."""
    first = build()
    monkeypatch.setattr(kernel_build, "_processor_features", lambda: "flags: other")
    assert build() != first


def test_other_sources_build_anew(
    compiler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an update of midfill."""
    first = build()
    (tmp_path / "new.c").write_text("int new;", encoding="utf-8")
    monkeypatch.setattr(kernel_build, "SOURCES", tmp_path)
    assert build() != first


@pytest.mark.parametrize("content", [b"", b"librar", b"librarx\n", b"library\n\0"])
def test_a_damaged_library_is_built_again(
    content: bytes, compiler: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Loading it would kill the process, at every start until somebody deletes it."""
    library = build()
    library.write_bytes(content)
    assert build().read_bytes() == b"library\n"
    assert calls(compiler) == 2
    assert "damaged" in caplog.text


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o702])
def test_a_library_that_others_could_have_written_is_built_again(
    mode: int, compiler: Path, cache: Path
) -> None:
    """Its code would run as this user; the folder is closed to others, too."""
    build().chmod(mode)
    cache.chmod(mode)
    assert build().stat().st_mode & 0o777 == 0o700
    assert calls(compiler) == 2
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_link_is_no_library(compiler: Path, tmp_path: Path) -> None:
    """Though what it leads to is right."""
    library = build()
    elsewhere = library.rename(tmp_path / "elsewhere")
    library.symlink_to(elsewhere)
    assert not build().is_symlink()
    assert calls(compiler) == 2


def test_a_library_of_somebody_else_is_not_loaded(
    compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one built into a folder that is theirs."""
    build()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(KernelsUnavailableError, match="not a folder of this user's own"):
        build()


def test_without_a_compiler_what_is_built_is_used(
    compiler: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been removed since."""
    library = build()
    monkeypatch.setenv("CC", "no-such-compiler")
    assert build() == library


def test_no_compiler_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do."""
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(KernelsUnavailableError, match=r"'no-such-compiler'.*install one, or name"):
        build()


def test_a_failing_compiler_is_quoted(compiler: Path, cache: Path) -> None:
    """And leaves nothing behind."""
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit\necho "bad flag" >&2; exit 1\n', encoding="utf-8"
    )
    with pytest.raises(KernelsUnavailableError, match="failed on the kernels: bad flag"):
        build()
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_a_reason(compiler: Path, cache: Path) -> None:
    """A file stands where its folder should be."""
    cache.parent.mkdir(parents=True)
    cache.write_text("", encoding="utf-8")
    with pytest.raises(KernelsUnavailableError, match="cannot be kept"):
        build()


def test_a_compiler_that_hangs_is_a_reason(compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it forever."""
    compiler.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    monkeypatch.setattr(kernel_build, "COMPILE_TIMEOUT_S", 0.05)
    with pytest.raises(KernelsUnavailableError, match="timed out"):
        build()


def test_a_library_that_does_not_load_is_a_reason(compiler: Path) -> None:
    """What the stand-in wrote is none."""
    with pytest.raises(KernelsUnavailableError, match="cannot be loaded"):
        bindings.load_library(build())


def test_building_is_logged(compiler: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It takes some seconds."""
    with caplog.at_level(logging.INFO):
        build()
    assert f"compiling the kernels with {compiler}" in caplog.text


def test_the_cache_is_in_the_users_cache_folder(tmp_path: Path) -> None:
    """Where the platform has it."""
    expected = os.path.join("midfill", "kernels")
    assert str(cache_folder()).endswith(expected)
