"""``midfill bench``: how its options become a recipe's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midfill.cli import main
from midfill.cli.bench import cores
from midfill.recipes.benchmarks import engine
from midfill.recipes.keystrokes import run, startup
from midfill.recipes.reports.journal import Output


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the recipes were asked to do; nothing is measured."""
    found: list[tuple[Any, ...]] = []
    for recipe in (engine, run, startup):
        monkeypatch.setattr(recipe, "run", lambda *values: found.append(values))
    return found


def bench(words: str) -> int:
    """What ``midfill bench WORDS`` returns."""
    return main(["bench", *words.split()])


def test_the_engine_is_measured_as_asked(asked: list[tuple[Any, ...]]) -> None:
    """All options."""
    words = "engine --model m --dtype int8 bf16 int8 --threads 3 --rounds 2 --prefill 64 128"
    words += " --decode --decode-tokens 8 --loads 0 --llama-bench b --gguf x y --out o.json"
    assert bench(words) == 0
    (settings, output), *_ = asked
    assert settings == engine.Settings(
        model="m",
        dtypes=("int8", "bf16"),
        threads=3,
        rounds=2,
        prefill=(64, 128),
        decode=(),
        decode_tokens=8,
        loads=0,
        llama_bench=Path("b"),
        ggufs=(Path("x"), Path("y")),
    )
    assert output == Output(Path("o.json"), None)


def test_the_defaults_are_the_recipes_own(asked: list[tuple[Any, ...]]) -> None:
    """But for the model and the threads, which the command knows."""
    assert bench("engine") == 0
    (settings, _), *_ = asked
    assert settings == engine.Settings("midfill-135m", threads=cores())


def test_sessions_are_replayed_as_asked(asked: list[tuple[Any, ...]]) -> None:
    """The server's settings go by its own names; a pace is a word or milliseconds."""
    words = "keystrokes --recording r.json --keys 9 --rounds 2 --pace 120 settled --threads 2"
    words += " --dtype bf16 --prompt-tokens 4096 --llama-server s --gguf g --plot p.svg"
    assert bench(words) == 0
    (settings, output), *_ = asked
    assert settings == run.Settings(
        recordings=(Path("r.json"),),
        keys=9,
        rounds=2,
        intervals_ms=(120.0, None),
        options={
            "model": "midfill-135m",
            "threads": 2,
            "dtype": "bf16",
            "prompt": {"maxTokens": 4096},
        },
        llama_server=Path("s"),
        gguf=Path("g"),
    )
    assert output == Output(None, Path("p.svg"))


def test_starts_are_counted_as_asked(asked: list[tuple[Any, ...]]) -> None:
    """And the model is the command's."""
    assert bench("startup --runs 3") == 0
    assert asked == [("midfill-135m", 3, Output(None, None))]


@pytest.mark.parametrize(
    "words", ["keystrokes --pace soon", "engine --rounds 0", "startup --runs x"]
)
def test_a_count_that_is_none_is_refused(
    words: str, asked: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything runs."""
    with pytest.raises(SystemExit, match="2"):
        bench(words)
    assert "is no whole number from 1" in capsys.readouterr().err
    assert asked == []
