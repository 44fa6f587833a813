"""The options that say which model is opened, and how: what the engine is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import FakeEngine, writing

from midfill import cli
from midfill.cli.options.model import MAX_PROMPT_TOKENS
from midfill.lsp_server.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.engine.api import EngineConfig

INFILL = ("infill", "--at", "1:1")


def opened(file: Path, *options: str) -> list[EngineConfig]:
    """What ``midfill infill`` opens with these options."""
    file.write_text("x = 1\n", encoding="utf-8")
    found = []

    def open_engine(config: EngineConfig, *_: object) -> FakeEngine:
        found.append(config)
        return FakeEngine(writing("y"))

    cli.main([*INFILL, str(file), *options], open_engine)
    return found


def test_without_options_it_is_the_language_servers_model(tmp_path: Path) -> None:
    """One default for both."""
    assert opened(tmp_path / "a.py") == [Settings().engine_config()]
    assert Settings().prompt.max_tokens < MAX_PROMPT_TOKENS


def test_each_option_reaches_the_engine(tmp_path: Path) -> None:
    """None is read and dropped."""
    options = "--model m --adapter a --dialect d --dtype int4 --device cpu --threads 3"
    (config,) = opened(tmp_path / "a.py", *options.split(), "--context-length", "9999")
    assert (config.model, config.adapter, config.dialect) == ("m", "a", "d")
    assert (config.dtype, config.device, config.threads) == ("int4", "cpu", 3)
    assert config.context_length == 9999


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--context-length", "1000000000000"),
        ("--context-length", "-1"),
        ("--threads", "100000"),
        ("--max-prompt-tokens", "3"),
    ],
)
def test_what_is_out_of_range_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    """Before anything is opened, with the value and the range."""
    assert opened(tmp_path / "a.py", option, value) == []
    assert value in capsys.readouterr().err


def test_unknown_words_are_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer lists those that there are."""
    with pytest.raises(SystemExit, match="2"):
        opened(tmp_path / "a.py", "--dtype", "int3")
    assert "int4" in capsys.readouterr().err
