"""What an import may bring in, and that the contracts on imports really bite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import PACKAGES, ROOT

import midfill.engine

UPWARD = {
    "weights/bad.py": "import midfill.engine.api",
    "weights/formats/bad.py": "from midfill.recipes.sandbox import worker",
    "engine/bad.py": "import midfill.lsp_server.settings",
    "lsp_server/bad.py": "from midfill import cli",
    "recipes/bad.py": "def f():\n    import midfill.cli",
}
"""For each floor, what it may not import."""
FORBIDDEN = {
    "The engine's boundary imports no heavy library": ("weights/errors.py", "import numpy"),
    "The server reaches models only through": ("lsp_server/bad.py", "def f():\n    import torch"),
    "Engine and weights know no protocol": ("engine/bad.py", "import pygls"),
}
CASES = [(name, *case) for name, case in FORBIDDEN.items()]
CASES += [("Arrows point down", path, statement) for path, statement in UPWARD.items()]


def modules_after(statement: str, folder: Path) -> set[str]:
    """The modules that a fresh interpreter has loaded after the statement."""
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["midfill.engine", "midfill.engine.api", "midfill.engine.errors"]
)
def test_the_boundary_leaves_out_torch_and_numpy(module: str, tmp_path: Path) -> None:
    """What the server imports at its start must cost nothing."""
    loaded = modules_after(f"import {module}", tmp_path)
    assert module in loaded
    assert loaded.isdisjoint({"torch", "numpy", "tokenizers", "gguf", "pygls"})


def test_the_server_is_up_before_torch(tmp_path: Path) -> None:
    """Initialize is answered while torch still loads."""
    loaded = modules_after("import midfill.lsp_server.server", tmp_path)
    assert loaded.isdisjoint({"torch", "numpy", "tokenizers", "gguf", "rich"})


def test_the_command_line_imports_nothing_heavy(tmp_path: Path) -> None:
    """Midfill --help answers at once."""
    loaded = modules_after("import midfill.cli as c; c.build_parser()", tmp_path)
    assert loaded.isdisjoint(
        {"torch", "numpy", "tokenizers", "gguf", "rich", "pygls", "lsprotocol"}
    )


def test_the_language_server_waits_for_no_other_command(tmp_path: Path) -> None:
    """An editor waits for its first answer."""
    parse = "c.build_parser(only='lsp').parse_args(['lsp'])"
    loaded = modules_after(f"import midfill.cli as c; {parse}", tmp_path)
    others = ("infill", "models", "evaluate", "tune", "bench")
    assert "midfill.cli.lsp" in loaded
    assert loaded.isdisjoint(f"midfill.cli.{name}" for name in others)


def test_the_engine_shows_exactly_its_boundary() -> None:
    """A new name here is a decision, not an accident."""
    assert sorted(midfill.engine.__all__) == [
        "CompletionChunk",
        "CompletionRequest",
        "CompletionStats",
        "CompletionStream",
        "ContextPiece",
        "Engine",
        "EngineConfig",
        "EngineInfo",
        "FinishReason",
        "GeneratedToken",
        "Order",
        "Priority",
        "Sampling",
        "Scope",
        "open_engine",
    ]
    for name in midfill.engine.__all__:
        assert getattr(midfill.engine, name).__module__.startswith("midfill.engine")


@pytest.mark.parametrize(("contract", "path", "statement"), CASES)
def test_a_forbidden_import_breaks_its_contract(
    contract: str, path: str, statement: str, tmp_path: Path
) -> None:
    """Contracts that cannot fail would look the same as contracts that hold."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / "midfill" / package)
    shutil.copy(ROOT / ".importlinter", tmp_path)
    with (tmp_path / "midfill" / path).open("a", encoding="utf-8") as file:
        file.write(f"\n{statement}\n")
    linter = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", linter], cwd=tmp_path, capture_output=True, text=True
    )
    broken = [line for line in done.stdout.split("\n") if " BROKEN" in line]
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(broken) == 1
    assert broken[0].startswith(contract)


def test_no_contract_has_exceptions() -> None:
    """An exception means that a file lives in the wrong place."""
    contracts = (ROOT / ".importlinter").read_text(encoding="utf-8")
    assert "ignore_imports" not in contracts
    assert "exclude_type_checking_imports" not in contracts
