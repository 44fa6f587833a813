"""A model opened and kept running: the engine's parts put together, behind one worker thread."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from midfill.engine import memory
from midfill.engine.api import EngineInfo, Order, Priority
from midfill.engine.backend import open_decoder, use_threads
from midfill.engine.errors import (
    CorruptModelError,
    EngineClosedError,
    InfillingNotSupportedError,
    InvalidRequestError,
    ModelNotAvailableError,
)
from midfill.engine.generation.best_of import BestOf
from midfill.engine.generation.generation import Generation
from midfill.engine.generation.machine import Machine
from midfill.engine.model.kv_cache import KVCache, Slot
from midfill.engine.model.loader import choose_placement
from midfill.engine.model.prefill import Prefiller
from midfill.engine.prompt.dialects import DIALECTS, choose_dialect, why_no_infilling
from midfill.engine.prompt.prompter import Prompter
from midfill.engine.scheduling.scheduler import Scheduler
from midfill.engine.tokens.byte_index import ByteIndex
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.weights.architecture import SentencePieceModel
from midfill.weights.checkpoint import open_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from midfill.engine.api import CompletionRequest, EngineConfig
    from midfill.engine.model.loader import Placement
    from midfill.engine.prompt.dialects import Dialect
    from midfill.engine.scheduling.scheduler import Job
    from midfill.engine.scheduling.stream import Stream
    from midfill.engine.tokens.tokenizer import Tokenizer
    from midfill.weights.architecture import Checkpoint

LONGEST_CONTEXT = 16384
"""Tokens of a slot where neither user nor model says less: Code Llama's fine-tuning length."""
SHORTEST_CONTEXT = 64
"""Tokens of a slot that leave room for a prompt and a completion."""

log = logging.getLogger(__name__)


class Runtime:
    """The Engine of ``engine.api`` on torch."""

    def __init__(self, machine: Machine, info: EngineInfo, threads: int) -> None:
        self._machine = machine
        self._info = info
        self._last_middle = list[int]()
        """Ids of the last completion: drafts of the next one come from it."""
        self._scheduler = Scheduler(
            self._answer,
            prepare=lambda: use_threads(machine.model, _thread_count(threads)),
        )

    @property
    def info(self) -> EngineInfo:
        """What was opened."""
        return self._info

    @property
    def machine(self) -> Machine:
        """The parts, for measurements; use them only while no request runs."""
        return self._machine

    def infill(self, request: CompletionRequest) -> Stream:
        """Queue a request and return its stream at once.

        Raises:
            InfillingNotSupportedError: the model was not trained on the order asked for.
            EngineClosedError: after close().
        """
        self._machine.prompter.orders(request.order)
        return self._scheduler.submit(request)

    def close(self) -> None:
        """End running requests (cancelled) and the worker thread."""
        self._scheduler.close()

    def _answer(self, job: Job) -> None:
        """Run a job; behind it the prompt is read that the next one should rather have.

        That is the whole one, if this one was cut to be in time, or one with a newer anchor.
        """
        kind = BestOf if job.request.tries > 1 else Generation
        answer = kind(self._machine, job, self._last_middle)
        if answer.prompt.is_short or answer.prompt.is_stale:
            order = Order.ANCHORED if answer.prompt.is_stale else job.request.order
            better = replace(
                job.request, order=order, read_ms=None, max_tokens=0, priority=Priority.PREWARM
            )
            with suppress(EngineClosedError):
                self._scheduler.submit(better)
        answer.run()
        self._last_middle = answer.middle_ids


def open_runtime(config: EngineConfig) -> Runtime:
    """What ``midfill.engine.open_engine`` opens, with the machine inside, for measurements."""
    return start_runtime(config, open_checkpoint(config.model, config.adapter))


def start_runtime(
    config: EngineConfig,
    checkpoint: Checkpoint,
    on_progress: Callable[[str, float], None] | None = None,
) -> Runtime:
    """Read an opened checkpoint into memory and start its thread."""
    report = on_progress or (lambda _phase, _share: None)
    placement = choose_placement(config.device, config.dtype)
    context_length = _context_length(config.context_length, checkpoint, placement)
    checkpoint = _stretched(checkpoint, context_length)
    tokenizer = open_tokenizer(checkpoint.tokenizer)
    _check_vocabulary(checkpoint, tokenizer)
    dialect = _dialect(checkpoint, tokenizer, config.dialect)
    prompter = Prompter(dialect, tokenizer, checkpoint.name)
    backend = open_decoder(
        checkpoint,
        placement,
        _thread_count(config.threads),
        lambda share: report("reading weights", share),
    )
    model = backend.model
    slots = [Slot(model.architecture, model.dtype, model.device) for _ in range(config.cache_slots)]
    machine = Machine(
        model=model,
        tokenizer=tokenizer,
        index=ByteIndex(tokenizer),
        prompter=prompter,
        cache=KVCache(slots),
        prefiller=Prefiller(model, config.prefill_chunk),
        context_length=context_length,
        draft_tokens=config.draft_tokens,
    )
    info = EngineInfo(
        model=checkpoint.name,
        dialect=dialect.name,
        parameters=model.parameters,
        context_length=context_length,
        dtype=backend.dtype_name,
        device=str(placement.device),
        device_reason=backend.reason,
        warning=why_no_infilling(tokenizer, dialect),
    )
    return Runtime(machine, info, config.threads)


def _dialect(checkpoint: Checkpoint, tokenizer: Tokenizer, asked: str | None) -> Dialect:
    dialect = choose_dialect(tokenizer, asked or checkpoint.dialect)
    if asked or checkpoint.dialect or dialect.markers or not _is_code_llama(checkpoint):
        return dialect
    raise InfillingNotSupportedError(
        f"model {checkpoint.name!r} is a Code Llama without infilling tokens (34B or a Python"
        " variant); use 7B, 13B or 70B (base) or 7B and 13B Instruct, or the dialect"
        f" {DIALECTS['left-to-right'].name!r} to complete from the prefix alone"
    )


def _is_code_llama(checkpoint: Checkpoint) -> bool:
    """By what its own files have in common: RoPE base and length of its fine-tuning, vocabulary.

    Mistral has the same base, and other lengths.
    """
    a = checkpoint.architecture
    is_long = (a.rope_theta, a.max_position_embeddings) == (1e6, 16384)
    return isinstance(checkpoint.tokenizer, SentencePieceModel) and is_long


def _context_length(asked: int, checkpoint: Checkpoint, placement: Placement) -> int:
    """The one asked for; for 0 the model's, or less where memory has no room for it."""
    if 0 < asked < SHORTEST_CONTEXT:
        raise InvalidRequestError(
            f"context_length is {asked}; it must be 0 (the model's) or at least {SHORTEST_CONTEXT}"
        )
    wanted = asked or min(checkpoint.architecture.max_position_embeddings, LONGEST_CONTEXT)
    room = memory.most_tokens(checkpoint, placement)
    if room is None or wanted <= room:
        return wanted
    weights = memory.weight_bytes(checkpoint, placement.formats) >> 20
    found = f"beside {weights} MiB of weights, memory has room for {room} tokens"
    if asked:
        raise InvalidRequestError(
            f"context_length is {asked}; {found}: ask for fewer, for dtype int4 or a smaller model"
        )
    if room < SHORTEST_CONTEXT:
        raise ModelNotAvailableError(
            f"model {checkpoint.name!r} does not fit: {found}; end other programs, ask for dtype"
            " int4, or take a smaller model"
        )
    log.warning("the context has %d tokens instead of %d: %s", room, wanted, found)
    return room


def _stretched(checkpoint: Checkpoint, context_length: int) -> Checkpoint:
    """A model whose rotary angles depend on the length of the context, for this one."""
    a = checkpoint.architecture
    if a.rope_scaling is None or a.rope_scaling.kind != "dynamic":
        return checkpoint
    longest = max(a.max_position_embeddings, context_length)
    return replace(checkpoint, architecture=replace(a, max_position_embeddings=longest))


def _check_vocabulary(checkpoint: Checkpoint, tokenizer: Tokenizer) -> None:
    rows = checkpoint.architecture.vocab_size
    if tokenizer.vocab_size > rows:
        raise CorruptModelError(
            f"model {checkpoint.name!r}: its tokenizer has {tokenizer.vocab_size} tokens, its"
            f" embedding only {rows} rows; the files do not belong together, fetch them anew"
        )


def _thread_count(threads: int) -> int:
    """The number asked for; for 0 what torch found, but no more than we may run on."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return threads or min(torch.get_num_threads(), allowed or 1)
