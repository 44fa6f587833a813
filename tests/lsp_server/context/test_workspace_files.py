"""What may be read as context: compared with git itself where git is the judge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midfill.lsp_server.context.workspace_files import WorkspaceFiles


def write(root: Path, files: dict[str, str]) -> None:
    """Text files below the root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_text_file_is_read(tmp_path: Path) -> None:
    """Without its byte-order mark, line ends as they are."""
    (tmp_path / "a.py").write_bytes(b"\xef\xbb\xbfx = '\xc3\xa9'\r\n")
    assert WorkspaceFiles([tmp_path]).read(tmp_path / "a.py") == "x = 'é'\r\n"


@pytest.mark.parametrize(
    "data",
    [b"a\0b", b"x" * 8191 + b"\0", b"caf\xe9", b"\xff\xfea\0", b"x" * 10_001],
    ids=["zero", "zero at the end of 8 KiB", "latin-1", "utf-16", "too large"],
)
def test_binary_and_large_files_are_left_out(tmp_path: Path, data: bytes) -> None:
    """As are texts in encodings that we would have to guess."""
    (tmp_path / "a.py").write_bytes(data)
    assert WorkspaceFiles([tmp_path], max_file_bytes=10_000).read(tmp_path / "a.py") is None


def test_what_is_no_regular_file_is_left_out(tmp_path: Path) -> None:
    """Reading a pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "folder.py").mkdir()
    files = WorkspaceFiles([tmp_path])
    assert [files.read(tmp_path / name) for name in ("pipe.py", "folder.py", "no.py")] == [None] * 3


def test_a_file_that_cannot_be_opened_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its permissions may say so, and those of an ignore file too."""
    write(tmp_path, {"a.py": "x", "b.py": "y", ".gitignore": "*"})
    files = WorkspaceFiles([tmp_path])

    def refuse(*_: object) -> bytes:
        raise PermissionError

    monkeypatch.setattr(type(tmp_path), "read_bytes", refuse)
    monkeypatch.setattr(type(tmp_path), "read_text", refuse)
    assert files.read(tmp_path / "a.py") is None
    assert files.allows(tmp_path / "a.py")


@pytest.mark.parametrize(
    "name",
    [
        ".env",
        ".env.local",
        "deep/server.pem",
        "id_rsa.pub",
        "id_ed25519",
        ".ssh/config",
        "node_modules/x/index.js",
        "a/__pycache__/b.py",
        "build/gen.py",
        "poetry.lock",
        "package-lock.json",
        "lib/jquery.min.js",
        ".git/config",
        "private/a.py",
    ],
)
def test_secrets_builds_and_what_the_user_excludes_are_left_out(tmp_path: Path, name: str) -> None:
    """Wherever they are in the workspace."""
    write(tmp_path, {name: "x"})
    files = WorkspaceFiles([tmp_path], exclude=["/private/"])
    assert not files.allows(tmp_path / name)
    assert files.read(tmp_path / name) is None


def test_an_exclusion_can_be_taken_back(tmp_path: Path) -> None:
    """The user's patterns come after the built-in ones."""
    files = WorkspaceFiles([tmp_path], exclude=["!.env.example", "!build/"])
    assert files.allows(tmp_path / ".env.example")
    assert files.allows(tmp_path / "build/x.py")
    assert not files.allows(tmp_path / ".env")


def test_files_outside_of_the_workspace_are_left_out(tmp_path: Path) -> None:
    """Also by way of links and dots."""
    root = tmp_path / "work"
    write(tmp_path, {"secret.py": "x", "work/a.py": "y", "other/b.py": "z"})
    (root / "link.py").symlink_to(tmp_path / "secret.py")
    (root / "folder").symlink_to(tmp_path / "other")
    files = WorkspaceFiles([root])
    for name in ("link.py", "folder/b.py", "../secret.py"):
        assert files.read(root / name) is None
    assert files.read(tmp_path / "secret.py") is None
    assert files.read(root / "a.py") == "y"


def test_a_link_inside_of_the_workspace_is_judged_by_both_names(tmp_path: Path) -> None:
    """Another name does not make a secret readable."""
    write(tmp_path, {".env": "KEY=1", "a.py": "x"})
    (tmp_path / "notes.txt").symlink_to(tmp_path / ".env")
    (tmp_path / "b.pem").symlink_to(tmp_path / "a.py")
    (tmp_path / "c.py").symlink_to(tmp_path / "a.py")
    files = WorkspaceFiles([tmp_path])
    assert files.read(tmp_path / "notes.txt") is None
    assert files.read(tmp_path / "b.pem") is None
    assert files.read(tmp_path / "c.py") == "x"


def test_a_workspace_that_is_itself_behind_a_link_is_readable(tmp_path: Path) -> None:
    """Editors give the path that the user opened."""
    write(tmp_path, {"real/a.py": "x", "real/.env": "y"})
    (tmp_path / "work").symlink_to(tmp_path / "real")
    files = WorkspaceFiles([tmp_path / "work"])
    assert files.read(tmp_path / "work/a.py") == "x"
    assert files.read(tmp_path / "work/.env") is None


IGNORE_RULES = (
    "*.log", "!keep.log", "/top", "sub/", "!sub/", "deep/*", "!deep/a.py", "a.py", "**/x", "x/**",
    "!x/**", "x", "*", "!*/", "# a.py", "\\#", "",
)  # fmt: skip
PATHS = (
    "a.py", "keep.log", "b.log", "top", "top/a.py", "sub/a.py", "sub/keep.log", "deep/a.py",
    "deep/b.py", "deep/sub/x", "sub/deep/a.py", "x/b.log", "x/deep/keep.log",
)  # fmt: skip


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(st.sampled_from(IGNORE_RULES), max_size=4), min_size=4, max_size=4))
def test_git_would_ignore_the_same_files(
    tmp_path_factory: pytest.TempPathFactory, rules: list[list[str]]
) -> None:
    """Nested ignore files, exceptions, folders, and the repository's own exclusions."""
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", root], check=True)
    holders = (".gitignore", "sub/.gitignore", "deep/.gitignore", ".git/info/exclude")
    write(root, {name: "\n".join(lines) for name, lines in zip(holders, rules, strict=True)})
    asked = subprocess.run(
        ["git", "-C", root, "check-ignore", "--no-index", "--stdin"],
        input="\n".join(PATHS),
        capture_output=True,
        text=True,
        check=False,
    )
    files = WorkspaceFiles([root])
    assert {p for p in PATHS if not files.allows(root / p)} == set(asked.stdout.split())


def test_ignore_files_above_the_workspace_count_up_to_the_top_of_the_repository(
    tmp_path: Path,
) -> None:
    """The user may have opened a folder of it."""
    write(tmp_path, {".gitignore": "above.py", "repo/.gitignore": "gen.py", "repo/.git/HEAD": ""})
    files = WorkspaceFiles([tmp_path / "repo/app"])
    assert not files.allows(tmp_path / "repo/app/gen.py")
    assert files.allows(tmp_path / "repo/app/above.py")


def test_a_changed_ignore_file_counts_after_a_refresh(tmp_path: Path) -> None:
    """A new one too; without a change nothing is judged again."""
    write(tmp_path, {"a.py": "x", "sub/b.py": "y"})
    files = WorkspaceFiles([tmp_path])
    assert files.allows(tmp_path / "a.py")
    assert files.allows(tmp_path / "sub/b.py")
    files.refresh()
    write(tmp_path, {"sub/.gitignore": "b.py\r\n"})
    assert files.allows(tmp_path / "sub/b.py")
    files.refresh()
    assert not files.allows(tmp_path / "sub/b.py")
    assert files.allows(tmp_path / "a.py")


def test_an_unchanged_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again when its time or size is another."""
    write(tmp_path, {"a.py": "one"})
    path, reads = tmp_path / "a.py", []
    read_bytes = type(path).read_bytes
    monkeypatch.setattr(type(path), "read_bytes", lambda p: reads.append(p) or read_bytes(p))
    files = WorkspaceFiles([tmp_path])
    assert [files.read(path) for _ in range(3)] == ["one"] * 3
    assert len(reads) == 1
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    assert files.read(path) == "two"
    path.write_text("three")
    os.utime(path, ns=(1, 1))
    assert files.read(path) == "three"
    assert len(reads) == 3


def test_the_cache_keeps_the_last_texts_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are bounded; what was used longest ago goes first."""
    write(tmp_path, {name: name * 40 for name in "abc"})
    reads: list[str] = []
    read_bytes = type(tmp_path).read_bytes
    monkeypatch.setattr(
        type(tmp_path), "read_bytes", lambda p: reads.append(p.name) or read_bytes(p)
    )
    files = WorkspaceFiles([tmp_path], max_cache_bytes=100)
    for name in "abaca":
        assert files.read(tmp_path / name) == name * 40
    assert "".join(reads) == "abc"
    files.read(tmp_path / "b")
    assert "".join(reads) == "abcb"


def test_very_many_files_do_not_fill_the_memory(tmp_path: Path) -> None:
    """Verdicts are forgotten at some point, and found again."""
    files = WorkspaceFiles([tmp_path])
    outside = tmp_path.parent
    assert not any(files.allows(outside / str(n)) for n in range(10_001))
    assert files.allows(tmp_path / "a.py")


def test_cousins_are_files_of_the_folders_around(tmp_path: Path) -> None:
    """Below, above, and beside, in that order; hidden folders are left out, the root is the end."""
    names = (
        *("pkg/sub/a.py", "pkg/sub/own.py", "pkg/sub/deep/b.py", "pkg/c.py", "pkg/other/d.py"),
        *("pkg/.hidden/e.py", "pkg/c.txt", "setup.py", "pkg/sub/deep/deeper/f.py"),
    )
    write(tmp_path, dict.fromkeys(names, ""))
    files = WorkspaceFiles([tmp_path])

    def cousins(name: str) -> list[str]:
        found = files.cousins(tmp_path / name, (".py",))
        return [path.relative_to(tmp_path).as_posix() for path in found]

    assert cousins("pkg/sub/own.py") == ["pkg/sub/deep/b.py", "pkg/c.py", "pkg/other/d.py"]
    assert cousins("setup.py") == ["pkg/c.py"]
    assert files.cousins(tmp_path.parent / "elsewhere/a.py", (".py",)) == []
    assert cousins("no/a.py") == ["setup.py", "pkg/c.py"]


def test_siblings_are_files_of_the_folder_with_similar_names_first(tmp_path: Path) -> None:
    """Files of the wanted kinds, without the file itself; a folder that is not there has none."""
    names = (
        "user.py",
        "user_views.py",
        "user_forms.py",
        "admin.py",
        "unit.py",
        "user.txt",
        "x.pyi",
    )
    write(tmp_path, dict.fromkeys(names, ""))
    files = WorkspaceFiles([tmp_path])
    found = [path.name for path in files.siblings(tmp_path / "user.py", (".py", ".pyi"))]
    assert found == ["user_forms.py", "user_views.py", "unit.py", "admin.py", "x.pyi"]
    assert files.siblings(tmp_path / "no/a.py", (".py",)) == []
