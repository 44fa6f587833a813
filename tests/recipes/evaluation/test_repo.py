"""Points that need other files, with and without context, through the command."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes import FakeEngine, FakeStream
from tiny_models import TINY_ARCHITECTURE, write_gguf
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill import cli
from midfill.recipes.evaluation.repo import similarity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPES = "def area_of(width, height):\n    return width * height\n"
MAIN = (
    "import os\n\nfrom shapes import area_of\n\n\n"
    "def report(width):\n    size = area_of(width, 2)\n    return size + len(os.sep)\n"
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two files, of which one uses a name of the other."""
    root = tmp_path / "repo"
    root.mkdir()
    (root / "shapes.py").write_text(SHAPES, encoding="utf-8")
    (root / "main.py").write_text(MAIN, encoding="utf-8")
    (root / "broken.py").write_text("from shapes import (\n", encoding="utf-8")
    hidden = root / ".venv"
    hidden.mkdir()
    (hidden / "main.py").write_text(MAIN, encoding="utf-8")
    return root


def run(
    root: Path | list[Path], out: Path, script: Callable[[FakeStream], object], *options: str
) -> tuple[FakeEngine, dict[str, Any]]:
    """The engine that was used, and the report."""
    model = out.with_name("model.gguf")
    model.write_text("weights", encoding="utf-8")
    engine = FakeEngine(script)
    roots = root if isinstance(root, list) else [root]
    words = ["eval", "repo", *map(str, roots), "--model", str(model), "--out", str(out), *options]
    assert cli.main(words, lambda *_: engine) == 0
    return engine, json.loads(out.read_text(encoding="utf-8"))


def right_with_context(stream: FakeStream) -> None:
    """What stood there, if the other file is shown."""
    line = "size = area_of(width, 2)"
    begun = stream.request.prefix.rpartition("\n")[2].strip()
    text = line[len(begun) :].lstrip() if not begun else line[line.index("area_of") :]
    stream.write(text if stream.request.context else "pass").finish()


def test_context_is_the_only_difference(repository: Path, tmp_path: Path) -> None:
    """And never the file with the answer."""
    engine, report = run(repository, tmp_path / "r.json", right_with_context)
    assert len(engine.requests) == 4
    for shown, alone in zip(engine.requests[::2], engine.requests[1::2], strict=True):
        assert "shapes.py" in [piece.path for piece in shown.context]
        assert "main.py" not in [piece.path for piece in shown.context]
        assert alone.context == ()
        assert (shown.prefix, shown.suffix) == (alone.prefix, alone.suffix)
        assert "from shapes import area_of" in alone.prefix
    assert [kind["kind"] for kind in report["kinds"]] == ["line", "span", "all"]
    for kind in report["kinds"]:
        assert kind["cells"]["with context"]["exact"]["rate"] == 1.0
        assert kind["cells"]["without context"]["exact"]["rate"] == 0.0
        assert kind["gain"]["exact"] == [1.0, 1.0]
        assert kind["paired"]["only_first"] == kind["cells"]["with context"]["exact"]["trials"]


def test_a_rerun_asks_nothing_again(repository: Path, tmp_path: Path) -> None:
    """Until a file changes."""
    out = tmp_path / "r.json"
    run(repository, out, right_with_context)
    assert run(repository, out, right_with_context)[0].requests == []
    (repository / "main.py").write_text(MAIN + "\n", encoding="utf-8")
    assert len(run(repository, out, right_with_context)[0].requests) == 4


def test_several_repositories_are_one_table_and_a_row_each(
    repository: Path, tmp_path: Path
) -> None:
    """Each file sees its own repository only."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "shapes.py").write_text(SHAPES, encoding="utf-8")
    (other / "view.py").write_text(MAIN, encoding="utf-8")
    engine, report = run([repository, other], tmp_path / "r.json", right_with_context)
    assert {request.repo_name for request in engine.requests} == {"repo", "other"}
    assert [row["repository"] for row in report["repositories"]] == ["repo", "other"]
    assert report["points"] == 4
    (last,) = [kind for kind in report["kinds"] if kind["kind"] == "all"]
    assert last["cells"]["with context"]["exact"]["count"] == 4


def test_a_real_engine_says_how_probable_the_middle_is(repository: Path, tmp_path: Path) -> None:
    """In bits for each byte, in both cells, and the gain with its interval."""
    out, model = tmp_path / "r.json", tmp_path / "random.gguf"
    architecture = replace(TINY_ARCHITECTURE, vocab_size=1200, max_position_embeddings=1024)
    write_gguf(model, architecture=architecture, vocabulary=tiny_byte_level_vocabulary())
    words = ["eval", "repo", str(repository), "--model", str(model), "--out", str(out)]
    assert cli.main(words) == 0
    (_, _, both) = json.loads(out.read_text(encoding="utf-8"))["kinds"]
    bits = [both["cells"][cell]["bits_per_byte"] for cell in ("with context", "without context")]
    assert all(value > 0 for value in bits)
    assert both["gain"]["bits_per_byte"] == pytest.approx([bits[0] - bits[1]] * 2)
    assert both["relative_exact"] == [1.0, 1.0]


def test_a_folder_without_points_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the model is opened."""
    assert cli.main(["eval", "repo", str(tmp_path)], lambda *_: pytest.fail("opened")) == 2
    assert "has no line that calls" in capsys.readouterr().err


def test_similarity_is_1_for_the_same_and_0_for_nothing_in_common() -> None:
    """Blanks at the ends do not count."""
    assert similarity(" abcd\n", "abcd") == 1.0
    assert similarity("abcd", "abxd") == 0.75
    assert similarity("ab", "xy") == 0.0
