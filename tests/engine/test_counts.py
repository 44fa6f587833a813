"""What completions cost in counts, against the bounds of ``tests/data/counts.toml``."""

from __future__ import annotations

import gc
import sys
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from repository import TEST_DATA
from tiny_models import TINY_ARCHITECTURE, write_gguf
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill.engine import (
    CompletionRequest,
    CompletionStats,
    EngineConfig,
    Priority,
    backend,
    open_engine,
)
from midfill.engine.kernels.build import KernelsUnavailableError
from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.llama import LlamaModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from midfill.engine import Engine

CONTEXT, KEYS, TOKENS, ROUNDS = 4096, 40, 8, 20
BOUNDS = tomllib.loads((TEST_DATA / "counts.toml").read_text("utf-8"))


@dataclass
class Counts:
    """What happened since the engine was opened."""

    passes: int = 0
    moved_slots: int = 0


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    """Counts forward passes in PyTorch, and slots whose buffers were allocated anew."""
    counted = Counts()
    forward, reserve = LlamaModel.forward, Slot.reserve

    def counting_forward(self: LlamaModel, *args: object, **kwargs: object) -> object:
        counted.passes += 1
        return forward(self, *args, **kwargs)

    def counting_reserve(self: Slot, tokens: int) -> None:
        before = self.keys_values
        reserve(self, tokens)
        counted.moved_slots += self.keys_values is not before

    def without_kernels() -> None:
        raise KernelsUnavailableError("not here: no count may depend on a compiler")

    monkeypatch.setattr(backend, "load", without_kernels)
    monkeypatch.setattr(LlamaModel, "forward", counting_forward)
    monkeypatch.setattr(Slot, "reserve", counting_reserve)
    return counted


@pytest.fixture
def engine(tmp_path: Path, counts: Counts) -> Iterator[Engine]:
    """Random weights in PyTorch, behind a tokenizer with infilling markers."""
    path = tmp_path / "tiny.gguf"
    architecture = replace(TINY_ARCHITECTURE, vocab_size=1200, max_position_embeddings=CONTEXT)
    write_gguf(path, architecture=architecture, vocabulary=tiny_byte_level_vocabulary())
    opened = open_engine(
        EngineConfig(str(path), context_length=CONTEXT, device="cpu", dtype="fp32", threads=1)
    )
    yield opened
    opened.close()


def requests() -> list[CompletionRequest]:
    """One for each character typed."""
    folder = TEST_DATA / "typing"
    before, after = (folder / "warehouse.txt").read_text("utf-8").split("<cursor>\n")
    typed = (folder / "typed.txt").read_text("utf-8")
    return [
        CompletionRequest(
            before + typed[:end],
            after,
            path="warehouse.py",
            document="warehouse.py",
            priority=Priority.TYPING,
            max_tokens=TOKENS,
        )
        for end in range(1, KEYS + 1)
    ]


def complete(engine: Engine, request: CompletionRequest) -> CompletionStats:
    """What it cost."""
    *_, last = engine.infill(request)
    assert last.stats is not None
    return last.stats


def assert_within(counted: dict[str, float], bounds: dict[str, float]) -> None:
    """Nothing is over its bound, and every bound is looked at."""
    assert counted.keys() == bounds.keys()
    over = {name: (value, bounds[name]) for name, value in counted.items() if value > bounds[name]}
    assert over == {}


def test_typing_costs_no_more_than_it_did(engine: Engine, counts: Counts) -> None:
    """The prompt is computed where something was typed, and new text token by token at most."""
    first, *others = requests()
    assert complete(engine, first).prefilled_tokens > 500
    before = counts.passes
    assert before > 0
    stats = [complete(engine, request) for request in others]
    typing = {
        "prefilled_tokens_a_key": sum(each.prefilled_tokens for each in stats) / len(stats),
        "passes_a_completion": (counts.passes - before) / len(stats),
    }
    assert_within(typing, BOUNDS["typing"])


def test_a_completion_leaves_nothing_behind(engine: Engine, counts: Counts) -> None:
    """Once everything is warm: no buffer is allocated anew, no object of Python's stays."""
    request = requests()[0]
    for _ in range(10):
        complete(engine, request)
    passes, moved, tokens = counts.passes, counts.moved_slots, 0
    gc.collect()
    blocks = sys.getallocatedblocks()
    for _ in range(ROUNDS):
        tokens += complete(engine, request).generated_tokens
    gc.collect()
    kept = (sys.getallocatedblocks() - blocks) / ROUNDS
    steady = {
        "moved_slots": counts.moved_slots - moved,
        "kept_blocks_a_completion": kept,
        "passes_a_token": (counts.passes - passes) / tokens,
    }
    assert_within(steady, BOUNDS["steady_state"])
