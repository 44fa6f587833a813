"""An opened engine: what it says of itself, what it refuses to open, and that its thread works."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_adapters import adapter_tensors, write_adapter
from tiny_engine import SHAPE, ScriptedModel, collect, complete, machine, tiny_checkpoint
from tiny_models import TINY_ARCHITECTURE, write_gguf
from tiny_tokenizers import (
    code_llama_tokenizer_data,
    tiny_byte_level_vocabulary,
    train_sentencepiece,
)

from midfill.engine import backend, open_engine
from midfill.engine.api import (
    CompletionRequest,
    EngineConfig,
    EngineInfo,
    FinishReason,
    Order,
    Priority,
)
from midfill.engine.errors import (
    CorruptModelError,
    EngineClosedError,
    InfillingNotSupportedError,
    InvalidRequestError,
    ModelNotFoundError,
)
from midfill.engine.generation.drafting import MOST_TOKENS
from midfill.engine.kernels.build import KernelsUnavailableError
from midfill.engine.runtime import LONGEST_CONTEXT, Runtime, open_runtime, start_runtime
from midfill.weights.architecture import RopeScaling, SentencePieceModel
from midfill.weights.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from midfill.weights.architecture import Checkpoint

    Open = Callable[..., Runtime]

CONFIG = EngineConfig("tiny", device="cpu", dtype="fp32", threads=1)
LLAMA = SentencePieceModel(train_sentencepiece(), 1, frozenset({2}))
"""A tokenizer without infilling tokens."""


@pytest.fixture
def start() -> Iterator[Open]:
    """Opens engines, and closes them behind the test."""
    opened: list[Runtime] = []

    def start(checkpoint: Checkpoint | None = None, **fields: object) -> Runtime:
        config = replace(CONFIG, **fields)  # type: ignore[arg-type]
        opened.append(start_runtime(config, checkpoint or tiny_checkpoint()))
        return opened[-1]

    yield start
    for runtime in opened:
        runtime.close()


def test_an_engine_says_what_was_opened(start: Open) -> None:
    """For logs and status lines."""
    info = start().info
    assert info == EngineInfo(
        model="tiny",
        dialect="midfill",
        parameters=info.parameters,
        context_length=2048,
        dtype="fp32",
        device="cpu",
        device_reason="cpu: asked for; fp32: asked for; native kernels",
    )
    assert info.parameters == sum(
        source.array.size for source in tiny_checkpoint().tensors.values()
    )


def test_a_request_is_answered_as_by_its_parts(start: Open) -> None:
    """In a thread of its own."""
    request = CompletionRequest("def f(x):\n    ", "\n\nf(1)\n", max_tokens=8)
    assert collect(start().infill(request)).ids == complete(machine(), request).ids


async def test_a_request_can_be_awaited(start: Open) -> None:
    """By a language server's loop."""
    request = CompletionRequest("def f(x):\n    ", max_tokens=8)
    runtime = start()
    awaited = [chunk async for chunk in runtime.infill(request)]
    assert [token for chunk in awaited for token in chunk.tokens] == [
        token for chunk in runtime.infill(request) for token in chunk.tokens
    ]


def test_the_second_request_finds_the_first_ones_prompt(start: Open) -> None:
    """Through the queue and the thread."""
    runtime = start()
    request = CompletionRequest("def f(x):\n    return x\n" * 5, max_tokens=2, order=Order.SPM)
    first, second = (collect(runtime.infill(request)).stats for _ in range(2))
    assert (first.cached_tokens, second.prefilled_tokens) == (0, 1)
    assert first.prompt_tokens == second.prompt_tokens == second.cached_tokens + 1


def test_a_second_completion_drafts_from_the_first_ones_tokens(start: Open) -> None:
    """The runtime hands them on, and they change no token."""
    request = CompletionRequest("def f(x):\n    ", "\n\nf(1)\n", max_tokens=24)
    plain = collect(start(draft_tokens=0).infill(request))
    runtime = start(draft_tokens=MOST_TOKENS)
    first, second = (collect(runtime.infill(request)) for _ in range(2))
    assert first.ids == second.ids == plain.ids
    assert first.stats.drafted_tokens == 0, "the text itself has nothing to draft from"
    assert 0 < second.stats.accepted_tokens <= second.stats.drafted_tokens


def test_what_was_left_out_of_a_prompt_is_read_behind_the_answer(start: Open) -> None:
    """The next request finds it; nothing is left out where nobody is in a hurry."""
    runtime = start(cache_slots=4)  # one for each request here
    text = "def f(x):\n    return x\n" * 200
    request = CompletionRequest(text, text, max_tokens=2, max_prompt_tokens=1024)
    collect(runtime.infill(replace(request, prefix="x = 1\n" * 40)))  # the rate is known from here
    hurried = replace(request, read_ms=1, priority=Priority.INVOKED)
    first = collect(runtime.infill(hurried)).stats
    assert first.is_short
    assert first.prompt_tokens <= 512
    behind = CompletionRequest("", max_tokens=0, priority=Priority.PREWARM)
    collect(runtime.infill(behind))  # after what was left out
    second = collect(runtime.infill(hurried)).stats
    assert not second.is_short
    assert (second.prompt_tokens > 512, second.prefilled_tokens) == (True, 1)
    assert not collect(runtime.infill(replace(request, prefix=text[:-9]))).stats.is_short


def test_a_program_may_end_with_its_engine_open(tmp_path: Path) -> None:
    """Its thread ends first; inside C++ it would end the process with a signal."""
    path = tmp_path / "own.gguf"
    write_gguf(path, architecture=SHAPE, vocabulary=tiny_byte_level_vocabulary())
    program = (
        "from midfill.engine import CompletionRequest, EngineConfig, open_engine\n"
        f"engine = open_engine(EngineConfig({str(path)!r}, device='cpu', threads=1))\n"
        "stream = engine.infill(CompletionRequest('x' * 2000, max_tokens=500))\n"
        "next(iter(stream))\n"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_engine_opens_from_a_file(tmp_path: Path) -> None:
    """By the public function, with progress from nothing to all."""
    path = tmp_path / "own.gguf"
    write_gguf(path, architecture=SHAPE, vocabulary=tiny_byte_level_vocabulary())
    progress: list[tuple[str, float]] = []
    engine = open_engine(
        replace(CONFIG, model=str(path)), lambda phase, share: progress.append((phase, share))
    )
    try:
        assert (engine.info.model, engine.info.dialect) == ("own", "midfill")
        assert collect(engine.infill(CompletionRequest("x", max_tokens=1))).ids
    finally:
        engine.close()
    assert progress[-1] == ("reading weights", 1.0)
    shares = [share for _, share in progress]
    assert shares == sorted(shares)
    opened = open_runtime(replace(CONFIG, model=str(path)))
    opened.close()
    assert opened.info == engine.info


@pytest.mark.parametrize("dtype", ["fp32", "int8"])
def test_a_file_that_is_cut_behind_its_opening_is_an_error(tmp_path: Path, dtype: str) -> None:
    """Its weights are still to be read; the process goes on."""
    file = tmp_path / "tiny.gguf"
    write_gguf(file)
    checkpoint = open_checkpoint(str(file))
    os.truncate(file, 64)
    with pytest.raises(CorruptModelError, match="changed while it was read"):
        start_runtime(replace(CONFIG, dtype=dtype), checkpoint)


def test_an_adapter_can_teach_a_model_to_infill(tmp_path: Path) -> None:
    """With its markers the engine speaks their dialect, and says which adapter it was."""
    write_gguf(tmp_path / "tiny.gguf", architecture=replace(TINY_ARCHITECTURE, vocab_size=267))
    markers = ("<fim_suffix>", "<fim_middle>", "<fim_end>", "<repo_name>", "<file_sep>")
    added = {marker: 262 + n for n, marker in enumerate(markers)}
    folder = write_adapter(
        tmp_path / "infill", adapter_tensors(TINY_ARCHITECTURE), added_tokens=added
    )
    engine = open_engine(replace(CONFIG, model=str(tmp_path / "tiny.gguf"), adapter=str(folder)))
    try:
        text = collect(engine.infill(CompletionRequest("a", "b", order=Order.SPM, max_tokens=2)))
    finally:
        engine.close()
    assert (engine.info.model, engine.info.dialect) == ("tiny+infill", "midfill")
    assert text.stats.order is Order.SPM


def test_a_model_that_is_not_there_is_not_found() -> None:
    """The error names it."""
    with pytest.raises(ModelNotFoundError, match="no-such-model"):
        open_engine(replace(CONFIG, model="no-such-model"))


def test_the_dialect_can_be_chosen(start: Open) -> None:
    """Else the checkpoint's counts, else what the vocabulary has markers for."""
    assert start(dialect="left-to-right").info.dialect == "left-to-right"
    registered = tiny_checkpoint(dialect="left-to-right")
    assert start(registered).info.dialect == "left-to-right"
    assert start(registered, dialect="midfill").info.dialect == "midfill"
    code_llama = tiny_checkpoint(tokenizer=code_llama_tokenizer_data())
    assert start(code_llama).info.dialect == "codellama"


def test_an_unknown_dialect_is_refused(start: Open) -> None:
    """With those that there are."""
    with pytest.raises(InfillingNotSupportedError, match=r"'esperanto'.*must be one of codellama"):
        start(dialect="esperanto")


def test_a_dialect_without_its_tokens_is_refused(start: Open) -> None:
    """Before the weights are read."""
    with pytest.raises(InfillingNotSupportedError, match=r"'tiny' has no token '▁<PRE>'"):
        start(dialect="codellama")


def test_a_code_llama_that_cannot_infill_is_refused(start: Open) -> None:
    """Known by its RoPE base and length, unless left-to-right was asked for."""
    shape = replace(SHAPE, max_position_embeddings=16384)
    python_variant = tiny_checkpoint(shape, LLAMA)
    with pytest.raises(InfillingNotSupportedError, match=r"'tiny'.*34B or a Python.*use 7B, 13B"):
        start(python_variant)
    assert start(python_variant, dialect="left-to-right").info.dialect == "left-to-right"


def test_other_models_with_the_same_rope_base_are_no_code_llama(start: Open) -> None:
    """Mistral's has it, with another length."""
    assert start(tiny_checkpoint(tokenizer=LLAMA)).info.dialect == "left-to-right"


def test_a_llama_2_completes_from_the_prefix(start: Open) -> None:
    """It never had infilling tokens, and nobody expects them."""
    llama_2 = tiny_checkpoint(replace(SHAPE, rope_theta=1e4), LLAMA)
    runtime = start(llama_2)
    assert runtime.info.dialect == "left-to-right"
    assert collect(runtime.infill(CompletionRequest("x = ", max_tokens=2))).ids


def test_an_order_that_the_model_lacks_is_refused_at_once(start: Open) -> None:
    """Where it is asked for, not in the stream."""
    with pytest.raises(InfillingNotSupportedError, match="'spm'"):
        start(dialect="left-to-right").infill(CompletionRequest("x", order=Order.SPM))


def test_files_that_do_not_belong_together_are_refused(start: Open) -> None:
    """More tokens than the embedding has rows."""
    with pytest.raises(CorruptModelError, match=r"1200 tokens.*only 1199 rows.*fetch them anew"):
        start(tiny_checkpoint(replace(SHAPE, vocab_size=1199)))


@pytest.mark.parametrize(
    ("asked", "model", "expected"),
    [(0, 2048, 2048), (0, 100_000, LONGEST_CONTEXT), (512, 2048, 512), (64, 2048, 64)],
)
def test_the_context_is_the_users_or_the_models(
    start: Open, asked: int, model: int, expected: int
) -> None:
    """The model's up to 16,384 tokens."""
    checkpoint = tiny_checkpoint(replace(SHAPE, max_position_embeddings=model))
    assert start(checkpoint, context_length=asked).info.context_length == expected


@pytest.mark.parametrize(("asked", "expected"), [(0, 2048), (100, 2048), (4096, 4096)])
def test_a_dynamic_rotary_base_is_that_of_the_context(
    start: Open, asked: int, expected: int
) -> None:
    """The longer one counts: a shorter context than the model's changes nothing."""
    dynamic = replace(SHAPE, rope_scaling=RopeScaling("dynamic", 2.0, original_context_length=2048))
    model = start(tiny_checkpoint(dynamic), context_length=asked).machine.model
    grown = replace(dynamic, max_position_embeddings=expected)
    assert model.architecture == grown
    assert start(context_length=4096).machine.model.architecture == SHAPE


@pytest.mark.parametrize("asked", [1, 63])
def test_a_context_too_short_for_a_prompt_is_refused(start: Open, asked: int) -> None:
    """With value and allowed range."""
    with pytest.raises(InvalidRequestError, match=rf"context_length is {asked};.*0.*at least 64"):
        start(context_length=asked)


def test_the_cache_has_the_slots_asked_for(start: Open) -> None:
    """And the prefill the chunk."""
    parts = start(cache_slots=5, prefill_chunk=7).machine
    assert (len(parts.cache.slots), parts.prefiller.chunk) == (5, 7)


class Gate:
    """Holds the engine's thread inside a forward pass until it is opened."""

    def __init__(self, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        model = ScriptedModel([], before_forward=self.wait)
        monkeypatch.setattr(runtime.machine.prefiller, "_model", model)
        monkeypatch.setattr(runtime.machine.model, "logits", model.logits)

    def wait(self, _number: int) -> None:
        """Pass only through an open gate."""
        self.reached.set()
        assert self.opened.wait(20)


def test_close_ends_what_runs_and_what_waits(start: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """As cancelled; then nothing more is taken."""
    runtime = start()
    gate = Gate(runtime, monkeypatch)
    running, waiting = (runtime.infill(CompletionRequest(text)) for text in "xy")
    assert gate.reached.wait(20)
    closing = threading.Thread(target=runtime.close)
    closing.start()
    assert collect(waiting).stats.finish_reason is FinishReason.CANCELLED
    gate.opened.set()
    assert collect(running).stats.finish_reason is FinishReason.CANCELLED
    closing.join(20)
    with pytest.raises(EngineClosedError):
        runtime.infill(CompletionRequest("z"))


def test_a_newer_request_of_a_document_supersedes_the_older(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it runs or waits, it is answered."""
    runtime = start()
    gate = Gate(runtime, monkeypatch)
    first = CompletionRequest("x", document="a.py", priority=Priority.TYPING)
    streams = [runtime.infill(first)]
    assert gate.reached.wait(20)
    streams += [runtime.infill(replace(first, prefix=text)) for text in ("xy", "xyz")]
    gate.opened.set()
    assert [collect(stream).stats.finish_reason for stream in streams] == [
        FinishReason.SUPERSEDED,
        FinishReason.SUPERSEDED,
        FinishReason.END_OF_MIDDLE,
    ]


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch computes everything, with all threads."""

    def unavailable() -> None:
        raise KernelsUnavailableError("no C compiler")

    monkeypatch.setattr(backend, "load", unavailable)


@pytest.mark.usefixtures("without_kernels")
@pytest.mark.parametrize(("threads", "cores", "expected"), [(3, 8, 3), (0, 1, 1), (0, 64, 4)])
def test_arithmetic_uses_the_cores_that_we_may_use(
    start: Open, monkeypatch: pytest.MonkeyPatch, threads: int, cores: int, expected: int
) -> None:
    """Those that torch found, or fewer in a container; or as many as asked for."""
    chosen: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)), raising=False)
    start(threads=threads).close()
    assert chosen == [expected]


@pytest.mark.usefixtures("without_kernels")
def test_where_cores_cannot_be_counted_by_process_all_are_taken(
    start: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On macOS and Windows."""
    chosen: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    start(threads=0).close()
    assert chosen == [2]
