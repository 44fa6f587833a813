"""Ignore files: where they are, and what happens with bad ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from midfill.lsp_server.context.git_ignore import LARGEST_IGNORE_FILE, MOST_PATTERNS, MOST_PROBLEMS
from midfill.lsp_server.context.look import Skipped
from midfill.lsp_server.context.workspace_files import WorkspaceFiles
from midfill.lsp_server.text.git_patterns import Patterns


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository."""
    subprocess.run(["git", "init", "-q", tmp_path / "repo"], check=True)
    return tmp_path / "repo"


def write(path: Path, text: str) -> None:
    """A text file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    "text", ["a\n" * LARGEST_IGNORE_FILE, "\n".join(map(str, range(MOST_PATTERNS + 1)))]
)
def test_what_a_huge_ignore_file_may_hide_is_hidden(
    top: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Below it; that is logged once, and said at each explanation."""
    write(top / "sub/.gitignore", text)
    skipped = Skipped()
    files = WorkspaceFiles([top], skipped=skipped)
    assert not files.allows(top / "sub/x.py")
    assert not files.allows(top / "sub/deep/x.py")
    assert files.allows(top / "x.py")
    (first,) = skipped.all
    assert first.what == str(top / "sub/.gitignore")
    assert "counts as ignored" in first.why
    skipped.clear()
    files.refresh()
    assert skipped.all == (first,)
    assert len(caplog.records) == 1


def test_of_a_huge_ignore_file_nothing_is_read(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size says enough."""
    write(top / ".gitignore", "#" * (LARGEST_IGNORE_FILE + 1))
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("it was read"))
    assert not WorkspaceFiles([top]).allows(top / "x.py")


def test_comments_and_blank_lines_are_no_patterns(top: Path) -> None:
    """However many there are."""
    write(top / ".gitignore", "# x\n\n" * MOST_PATTERNS + "x.py\n")
    files = WorkspaceFiles([top])
    assert not files.allows(top / "x.py")
    assert files.allows(top / "y.py")


def test_a_bad_pattern_costs_itself_only(top: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one before and the one behind it count."""
    write(top / ".gitignore", "a.py\n[a\nb.py\n")
    skipped = Skipped()
    files = WorkspaceFiles([top], skipped=skipped)
    allowed = [name for name in ("a.py", "b.py", "c.py") if files.allows(top / name)]
    assert allowed == ["c.py"]
    assert "[a" in skipped.all[0].what
    assert len(caplog.records) == 1


def test_only_some_bad_patterns_of_a_file_are_named(top: Path) -> None:
    """A file may have thousands."""
    write(top / ".gitignore", "\n".join(f"[a{n}" for n in range(1000)))
    skipped = Skipped()
    WorkspaceFiles([top], skipped=skipped).allows(top / "a.py")
    assert len(skipped.all) == MOST_PROBLEMS


CONFIGS = [
    ("{home}/.config/git/ignore", "", None),
    ("{home}/mine", "[core]\n\texcludesFile = ~/mine\n", ".gitconfig"),
    ("{home}/mine", '[Core] ExcludesFile = "{home}/mine" ; why\n', ".config/git/config"),
    ("{home}/b", "[core]\nexcludesfile = x\n[core]\nexcludesfile = ~/b\n", ".gitconfig"),
    ("{home}/my files", '[core]\nexcludesfile = "~/my\\\n files" # why\n', ".gitconfig"),
]


@pytest.mark.parametrize(("ignore_file", "config", "config_file"), CONFIGS)
def test_the_users_own_ignore_file_counts(
    top: Path, monkeypatch: pytest.MonkeyPatch, ignore_file: str, config: str, config_file: str
) -> None:
    """Where git's configuration says, as git itself reads it."""
    home = top.parent / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    write(Path(ignore_file.format(home=home)), "private.py\n")
    if config_file:
        write(home / config_file, config.format(home=home))
    told = subprocess.run(["git", "check-ignore", "-q", "private.py"], cwd=top, check=False)
    assert told.returncode == 0
    files = WorkspaceFiles([top])
    assert not files.allows(top / "private.py")
    assert files.allows(top / "public.py")
    write(top / ".git/info/exclude", "!private.py\n")
    files.refresh()
    assert files.allows(top / "private.py")


CORE = "[core]\nexcludesFile = "
INCLUDES = [
    ("[include]\npath = other\n", f"{CORE}~/mine\n"),
    ("[include]\npath = ~/other\n" + CORE + "~/theirs\n", f"{CORE}~/mine\n"),  # the last wins
    (CORE + "~/theirs\n[include]\npath = other\n", f"{CORE}~/mine\n"),
    ('[include "x"]\npath = other\n', f"{CORE}~/mine\n"),
    ('[core "x"]\nexcludesFile = ~/mine\n', ""),
    ("[include]\npath = .gitconfig\npath = none\npath = other\n", f"{CORE}~/mine\n"),
    ("[include]\npath = other\n", "[include]\npath = deeper/third\n"),
    *(
        (f'[includeIf "{condition}"]\npath = other\n', f"{CORE}~/mine\n")
        for condition in (
            *("gitdir:{top}/.git", "gitdir:{top}/", "gitdir:repo/", "gitdir:repo/.git"),
            *("gitdir:rep?/*", "gitdir:REPO/", "gitdir/i:REPO/", "gitdir:~/../repo/", "gitdir:~/"),
            *("gitdir:./.git", "gitdir:../repo/", "gitdir:", "gitdir:*", "gitdir:[", "unknown:x"),
            *("onbranch:a/b", "onbranch:a/", "onbranch:*", "onbranch:**", "onbranch:b", "onbranch"),
        )
    ),
]


@pytest.mark.parametrize(("config", "other"), INCLUDES)
def test_what_a_configuration_includes_counts_as_to_git(
    top: Path, monkeypatch: pytest.MonkeyPatch, config: str, other: str
) -> None:
    """The user's, with conditions on the repository and its branch."""
    home = top.parent / "home"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    write(top / ".git/HEAD", "ref: refs/heads/a/b\n")
    write(home / "mine", "mine.py\n")
    write(home / "theirs", "theirs.py\n")
    if "path = .gitconfig" not in config:
        write(home / "deeper/third", f"{CORE}~/theirs\n[include]\npath = ../last\n")
    write(home / "last", f"{CORE}~/mine\n")
    write(home / "other", other)
    write(home / ".gitconfig", config.format(top=top))
    check_ignore(top, ["mine.py", "theirs.py", "x.py"])


def check_ignore(top: Path, names: list[str]) -> None:
    """Both, git and we, ignore the same of these; or git refuses the configuration."""
    command = ["git", "check-ignore", "--no-index", *names]
    told = subprocess.run(command, cwd=top, check=False, capture_output=True, text=True)
    if told.returncode > 1:
        assert "exceeded maximum include depth" in told.stderr
        return
    files = WorkspaceFiles([top])
    assert [name for name in names if not files.allows(top / name)] == told.stdout.split()


def test_the_repositorys_own_file_may_include(top: Path) -> None:
    """Relative to itself."""
    with (top / ".git/config").open("a") as config:
        config.write("[include]\npath = more\n")
    write(top / ".git/more", f"{CORE}{top}/mine\n")
    write(top / "mine", "mine.py\n")
    check_ignore(top, ["mine.py", "x.py"])


def test_files_that_include_each_other_come_to_an_end(top: Path) -> None:
    """Only so much of them is read, where git refuses them."""
    write(top / ".git/config", "[include]\npath = config\n" * 50 + f"{CORE}{top}/mine\n")
    write(top / "mine", "mine.py\n")
    assert not WorkspaceFiles([top]).allows(top / "mine.py")


@pytest.mark.parametrize("value", ["= true", "= Yes", "= 1", "", "= false", "= no", "=", "= 0"])
def test_case_counts_unless_the_repository_says_otherwise(top: Path, value: str) -> None:
    """As git reads a truth value; a change counts after a refresh."""
    write(top / ".gitignore", "MINE.py\n*.LOG\n")
    files = WorkspaceFiles([top])
    assert files.allows(top / "mine.py")
    with (top / ".git/config").open("a") as config:
        config.write(f"[core]\nignoreCase {value}\n")
    files.refresh()
    assert files.allows(top / "mine.py") is (value in ("= false", "= no", "=", "= 0"))
    check_ignore(top, ["mine.py", "MINE.py", "Mine.PY", "x.log", "x.Log", "x.py"])


def test_the_repositorys_configuration_wins(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from another work tree of it; a change counts after a refresh."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(top.parent / "config"))
    files = WorkspaceFiles([top])
    assert files.allows(top / "mine.py")
    write(top / "list", "mine.py\n")
    subprocess.run(["git", "config", "core.excludesFile", top / "list"], cwd=top, check=True)
    files.refresh()
    assert not files.allows(top / "mine.py")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    commit = ["git", *author, "commit", "-q", "--allow-empty", "-m", "x"]
    subprocess.run(commit, cwd=top, check=True)
    tree = top.parent / "tree"
    subprocess.run(["git", "worktree", "add", "-q", tree], cwd=top, check=True)
    write(top / ".git/info/exclude", "theirs.py\n")
    files = WorkspaceFiles([tree])
    assert [files.allows(tree / name) for name in ("mine.py", "theirs.py", "x.py")] == [
        False,
        False,
        True,
    ]


def test_own_ignore_files_hide_more_and_take_nothing_back(top: Path) -> None:
    """They are nested, as those of git are."""
    write(top / ".gitignore", "git.py\n")
    write(top / ".midfillignore", "private/\n!git.py\n*.sql\n")
    write(top / "data/.midfillignore", "!open.sql\n")
    files = WorkspaceFiles([top])
    hidden = ("git.py", "private/a.py", "x.sql", "data/x.sql")
    assert not any(files.allows(top / name) for name in hidden)
    assert files.allows(top / "data/open.sql")
    assert files.hidden(top / "x.sql") == "ignored by .midfillignore"


def test_git_itself_is_never_started(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository's configuration can name programs."""
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    assert WorkspaceFiles([top]).allows(top / "a.py")


def test_many_patterns_with_wildcards_count_as_a_huge_file(top: Path) -> None:
    """Each of them would have to be compared with each name."""
    write(top / ".gitignore", "\n".join("*[a-z]" * 10 + str(n) for n in range(2000)))
    assert not WorkspaceFiles([top]).allows(top / "X.py")


def test_a_folder_is_judged_once(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files are in it."""
    asked: list[bytes] = []
    verdict = Patterns.verdict

    def count(patterns: Patterns, path: bytes, *, is_folder: bool) -> bool | None:
        asked.append(path)
        return verdict(patterns, path, is_folder=is_folder)

    monkeypatch.setattr(Patterns, "verdict", count)
    files = WorkspaceFiles([top])
    assert all(files.allows(top / f"a/b/c/{n}.py") for n in range(20))
    assert asked.count(b"a/b") == asked.count(b"a")
    assert 0 < asked.count(b"a/b") < 10
