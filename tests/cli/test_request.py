"""The options of ``midfill infill`` as settings, repository and request."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fakes import FakeEngine, writing

from midfill import cli
from midfill.cli.request import find_root
from midfill.engine.api import CompletionRequest
from midfill.engine.errors import InvalidRequestError


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository as far as we look: src/pkg/a.py, which imports src/pkg/b.py."""
    package = tmp_path / "repo" / "src" / "pkg"
    package.mkdir(parents=True)
    (tmp_path / "repo" / ".git").mkdir()
    (package / "a.py").write_text("from pkg.b import triple\n\nx = \n", encoding="utf-8")
    (package / "b.py").write_text("def triple(n):\n    return 3 * n\n", encoding="utf-8")
    return tmp_path / "repo"


def request_for(*arguments: object) -> CompletionRequest:
    """What the engine is asked by ``midfill infill`` with these arguments."""
    engine = FakeEngine(writing("y"))
    assert cli.main(["infill", *map(str, arguments)], lambda *_: engine) == 0
    (request,) = engine.requests
    return request


def test_the_repository_is_the_git_repository_of_the_file(repository: Path) -> None:
    """The nearest one above it."""
    assert find_root(repository / "src/pkg/a.py", None) == repository


def test_a_file_outside_of_any_repository_stands_alone(tmp_path: Path) -> None:
    """Nobody asked to read its neighbours."""
    assert find_root(tmp_path / "a.py", None) is None
    assert find_root(None, None) is None


def test_a_named_repository_wins(repository: Path) -> None:
    """A monorepo's part, say."""
    assert find_root(repository / "src/pkg/a.py", str(repository / "src")) == repository / "src"


def test_a_repository_must_be_a_folder_with_the_file_in_it(repository: Path) -> None:
    """A typing error should not silently leave out the context."""
    with pytest.raises(InvalidRequestError, match="is no folder"):
        find_root(repository / "src/pkg/a.py", str(repository / "sorce"))
    (repository / "docs").mkdir()
    with pytest.raises(InvalidRequestError, match="is not in --repo"):
        find_root(repository / "src/pkg/a.py", str(repository / "docs"))


def test_no_other_file_shows_the_marker(repository: Path) -> None:
    """The model would copy it into the hole."""
    (repository / "src/pkg/a.py").write_text("from pkg.b import triple\n\nx = HOLE\n")
    (repository / "src/pkg/b.py").write_text("def triple(n):\n    return 3 * n  # HOLE\n")
    request = request_for(repository / "src/pkg/a.py", "--marker", "HOLE")
    texts = [piece.text for piece in request.context]
    assert any("return 3 * n" in text for text in texts)
    assert not any("HOLE" in text for text in texts)


def test_the_model_is_told_where_the_file_is(repository: Path) -> None:
    """Its path in the repository, and the repository's name."""
    request = request_for(repository / "src/pkg/a.py", "--at", "3:5")
    assert (request.repo_name, request.path) == ("repo", "src/pkg/a.py")


def test_the_model_sees_what_the_file_imports(repository: Path) -> None:
    """Unless the user wants it to see this file only."""
    (piece,) = request_for(repository / "src/pkg/a.py", "--at", "3:5").context
    assert piece.path == "src/pkg/b.py"
    assert "def triple(n):" in piece.text
    assert request_for(repository / "src/pkg/a.py", "--at", "3:5", "--no-context").context == ()


def test_standard_input_has_no_neighbours(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows where it came from, even if --repo says what it belongs to."""
    text = io.TextIOWrapper(io.BytesIO(b"from pkg.b import triple\n"))
    monkeypatch.setattr("sys.stdin", text)
    request = request_for("-", "--at", "2:1", "--repo", repository, "--language", "python")
    assert (request.context, request.path) == ((), None)


def test_the_line_comment_is_the_languages(tmp_path: Path) -> None:
    """By the file's name, or by --language."""
    file = tmp_path / "a.swift"
    file.write_text("\n", encoding="utf-8")
    assert request_for(file, "--at", "1:1").line_comment == "//"
    assert request_for(file, "--at", "1:1", "--language", "lua").line_comment == "--"


def test_a_command_line_reads_more_than_ghost_text(tmp_path: Path) -> None:
    """Nobody types meanwhile; --max-prompt-tokens says how much, with its half for other files."""
    file = tmp_path / "a.py"
    file.write_text("x = 1\n" * 20_000, encoding="utf-8")
    request = request_for(file, "--at", "10000:1")
    assert request.max_prompt_tokens == 4096
    assert len(request.prefix) > 2 * CompletionRequest(prefix="").max_prompt_tokens
    longer = request_for(file, "--at", "10000:1", "--max-prompt-tokens", 16_000)
    assert longer.max_prompt_tokens == 16_000
    assert len(longer.prefix) > 3 * len(request.prefix)
