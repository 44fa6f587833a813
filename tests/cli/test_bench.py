"""``midfill bench``: how its options become a recipe's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midfill.cli import main
from midfill.recipes.benchmarks import drafts, engine
from midfill.recipes.benchmarks.settings import DraftBenchSettings, EngineBenchSettings
from midfill.recipes.keystrokes import run, soak, startup
from midfill.recipes.keystrokes.settings import KeystrokeSettings, SoakSettings, StartupSettings
from midfill.recipes.reports.machine import cores
from midfill.recipes.reports.output import Output


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the recipes were asked to do; nothing is measured."""
    found: list[tuple[Any, ...]] = []
    for recipe in (engine, drafts, run, startup, soak):
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
    assert settings == EngineBenchSettings(
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
    """The smallest model, on all cores."""
    assert bench("engine") == 0
    (settings, _), *_ = asked
    assert settings == EngineBenchSettings("midfill-135m", threads=cores())


def test_holes_are_filled_as_asked(asked: list[tuple[Any, ...]]) -> None:
    """With drafts and without."""
    words = "drafts --dtype int4 --rounds 1 --holes 2 --lines 3 --max-tokens 9 --gguf g"
    assert bench(words) == 0
    (settings, output), *_ = asked
    assert settings == DraftBenchSettings(
        dtypes=("int4",), rounds=1, holes=2, lines=3, max_tokens=9, gguf=Path("g")
    )
    assert output == Output(None, None)


def test_sessions_are_replayed_as_asked(asked: list[tuple[Any, ...]]) -> None:
    """The server's settings go by its own names; a pace is a word or milliseconds."""
    words = "keystrokes --recording r.json --keys 9 --rounds 2 --pace 120 settled --threads 2"
    words += " --dtype bf16 --prompt-tokens 4096 --llama-server s --gguf g --plot p.svg"
    assert bench(words) == 0
    (settings, output), *_ = asked
    assert settings == KeystrokeSettings(
        model="midfill-135m",
        threads=2,
        recordings=(Path("r.json"),),
        keys=9,
        rounds=2,
        intervals_ms=(120.0, None),
        dtype="bf16",
        prompt_tokens=4096,
        llama_server=Path("s"),
        gguf=Path("g"),
    )
    assert settings.options == {
        "model": "midfill-135m",
        "threads": 2,
        "dtype": "bf16",
        "prompt": {"maxTokens": 4096},
    }
    assert output == Output(None, Path("p.svg"))


def test_starts_are_counted_as_asked(asked: list[tuple[Any, ...]]) -> None:
    """And the model is the command's."""
    assert bench("startup --runs 3") == 0
    assert asked == [(StartupSettings("midfill-135m", runs=3), Output(None, None))]


def test_an_hour_is_typed_unless_asked_otherwise(asked: list[tuple[Any, ...]]) -> None:
    """The pace is in milliseconds."""
    assert bench("soak --pace 50 --keys 7") == 0
    (settings, _), *_ = asked
    assert settings == SoakSettings("midfill-135m", minutes=60, interval_ms=50, keys=7)


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
