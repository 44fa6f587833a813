"""What a keystroke costs: 200 characters are typed at one spot, and each asks for a completion.

The prompt's tokens that must be computed are counted (``prefilled_tokens``); those that healing
cuts off and generates again are no prompt tokens. ``--log-cli-level=INFO`` shows the numbers.
"""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest
from repository import TEST_DATA
from sentencepiece import SentencePieceProcessor
from tiny_models import TINY_ARCHITECTURE, write_gguf, write_llama_folder
from tiny_tokenizers import (
    code_llama_sentencepiece,
    qwen_vocabulary,
    tiny_byte_level_vocabulary,
)

from midfill.engine import (
    CompletionRequest,
    CompletionStats,
    EngineConfig,
    Order,
    Priority,
)
from midfill.engine.runtime import open_runtime
from midfill.weights import registry, shipped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midfill.engine import Engine

logger = logging.getLogger(__name__)

DATA = TEST_DATA / "typing"
CONTEXT = 8192
WHOLE_FILE, CUT_FILE = 8000, 1024
"""Prompt budgets. The file takes the tiny tokenizers 2,200 and 2,400 tokens; what is before the
cursor, which is all that it is shown, takes the real one 690."""
NEW_WINDOW = 64
"""More tokens than this are a window that moved, not a keystroke."""


@dataclass(frozen=True)
class Session:
    """What was typed, and between what."""

    before: str
    after: str
    typed: str

    def requests(self, budget: int) -> Iterable[CompletionRequest]:
        """One for each character, as the language server sends it."""
        for end in range(1, len(self.typed) + 1):
            yield CompletionRequest(
                self.before + self.typed[:end],
                self.after,
                path="warehouse.py",
                document="warehouse.py",
                priority=Priority.TYPING,
                max_tokens=1,
                max_prompt_tokens=budget,
            )


@pytest.fixture
def session() -> Session:
    """200 characters of a method that is added to a class in the middle of a file."""
    before, after = (DATA / "warehouse.txt").read_text(encoding="utf-8").split("<cursor>\n")
    typed = (DATA / "typed.txt").read_text(encoding="utf-8")
    assert len(typed) == 200
    return Session(before, after, typed)


@pytest.fixture
def midfill_model(tmp_path: Path) -> Path:
    """Random weights behind a byte-level tokenizer with our own infilling markers."""
    path = tmp_path / "midfill.gguf"
    architecture = replace(TINY_ARCHITECTURE, vocab_size=1200, max_position_embeddings=CONTEXT)
    write_gguf(path, architecture=architecture, vocabulary=tiny_byte_level_vocabulary())
    return path


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    """Random weights behind Qwen's rules and markers, which were trained prefix-first only."""
    path = tmp_path / "qwen.gguf"
    architecture = replace(TINY_ARCHITECTURE, vocab_size=1200, max_position_embeddings=CONTEXT)
    write_gguf(path, architecture=architecture, vocabulary=qwen_vocabulary())
    return path


@pytest.fixture
def code_llama(tmp_path: Path) -> Path:
    """Random weights behind a SentencePiece tokenizer with Code Llama's markers."""
    path = tmp_path / "code-llama"
    serialized = code_llama_sentencepiece()
    pieces = SentencePieceProcessor(model_proto=serialized).get_piece_size()
    write_llama_folder(path, vocab_size=pieces, max_position_embeddings=CONTEXT)
    (path / "tokenizer.model").write_bytes(serialized)
    return path


def complete(engine: Engine, request: CompletionRequest) -> CompletionStats:
    """What it cost."""
    *_, last = engine.infill(request)
    assert last.stats is not None
    return last.stats


def replay(
    model: Path,
    requests: Iterable[CompletionRequest],
    orders: tuple[Order, ...] = (),
    adapter: str | None = None,
) -> list[CompletionStats]:
    """What each request costs on an engine that starts empty; in these trained orders, if given."""
    config = EngineConfig(str(model), adapter, context_length=CONTEXT)
    with closing(open_runtime(config)) as engine:
        prompter = engine.machine.prompter
        prompter.dialect = replace(prompter.dialect, orders=orders or prompter.dialect.orders)
        return [complete(engine, request) for request in requests]


def assert_cheap(stats: list[CompletionStats], windows: int, at_median: int = 4) -> None:
    """Few tokens a keystroke (median), and no more windows computed than this."""
    prefilled = sorted(each.prefilled_tokens for each in stats)
    p95 = prefilled[len(prefilled) * 95 // 100]
    logger.info(
        "prefilled a keystroke: median %g, p95 %d, max %d; in all %d, the first prompt %d",
        median(prefilled),
        p95,
        prefilled[-1],
        sum(prefilled),
        stats[0].prompt_tokens,
    )
    assert median(prefilled) <= at_median
    assert p95 <= 4
    assert sum(tokens > NEW_WINDOW for tokens in prefilled) <= windows


@pytest.mark.real_model
@pytest.mark.parametrize(("budget", "windows"), [(WHOLE_FILE, 1), (256, 3)])
def test_a_keystroke_costs_the_real_model_at_most_4_tokens(
    real_model_path: Path, session: Session, budget: int, windows: int
) -> None:
    """It reads from left to right, so that typing only appends."""
    stats = replay(real_model_path, session.requests(budget))
    assert_cheap(stats, windows)


@pytest.mark.parametrize(("budget", "windows"), [(WHOLE_FILE, 1), (CUT_FILE, 2)])
@pytest.mark.parametrize("kind", ["midfill_model", "code_llama"])
def test_a_keystroke_costs_a_model_that_infills_at_most_4_tokens(
    kind: str, session: Session, budget: int, windows: int, request: pytest.FixtureRequest
) -> None:
    """With the suffix first, typing only appends, and ``auto`` finds that out by itself."""
    stats = replay(request.getfixturevalue(kind), session.requests(budget))
    assert_cheap(stats, windows)
    assert {each.order for each in stats} == {Order.SPM}


@pytest.mark.parametrize(("budget", "windows"), [(WHOLE_FILE, 1), (CUT_FILE, 2)])
def test_a_keystroke_costs_a_model_trained_prefix_first_only_at_most_2_tokens(
    qwen: Path, session: Session, budget: int, windows: int
) -> None:
    """What is typed begins the middle, so that it only appends; else each would read the suffix."""
    stats = replay(qwen, session.requests(budget))
    assert_cheap(stats, windows, at_median=2)
    assert {each.order for each in stats} == {Order.ANCHORED}


@pytest.mark.real_model
def test_a_keystroke_costs_our_own_model_at_most_2_tokens_prefix_first(
    real_model_path: Path, session: Session
) -> None:
    """Were it trained in that order only."""
    requests, adapter = session.requests(2048), shipped.folder(registry.entry("midfill-135m"))
    stats = replay(real_model_path, requests, (Order.PSM,), str(adapter))
    assert_cheap(stats, windows=1, at_median=2)
    assert {each.order for each in stats} == {Order.ANCHORED}


def test_typing_leaves_a_warm_psm_prompt(code_llama: Path, session: Session) -> None:
    """It is cheaper for one keystroke, as the prefix is cached, and dearer for all that follow."""
    typing = list(session.requests(WHOLE_FILE))[:20]
    asked = replace(typing[0], priority=Priority.INVOKED)
    first, *others = replay(code_llama, [asked, *typing])
    assert first.order is Order.PSM
    assert {each.order for each in others} == {Order.SPM}
    assert max(each.prefilled_tokens for each in others[1:]) <= 4


def test_a_second_question_at_the_same_spot_stays_in_its_order(
    code_llama: Path, session: Session
) -> None:
    """Nobody types, so only the new tokens count: a few behind the cached prefix."""
    asked = [
        replace(request, priority=Priority.INVOKED)
        for request in list(session.requests(WHOLE_FILE))[:20]
    ]
    stats = replay(code_llama, [asked[0], asked[-1]])
    assert [each.order for each in stats] == [Order.PSM, Order.PSM]
    assert stats[1].prefilled_tokens < stats[0].prefilled_tokens


def test_more_spots_than_cache_slots_take_turns(code_llama: Path, session: Session) -> None:
    """Two rounds over five spots that share their start: slots are copied into each other."""
    spots = [
        CompletionRequest(session.before[:end], session.after, order=Order.PSM, max_tokens=1)
        for end in (400, 600, 800, 1000, 1200)
    ]
    for each in replay(code_llama, spots * 2)[1:]:
        assert 0 < each.cached_tokens < each.prompt_tokens
