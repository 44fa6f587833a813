"""Small engines in memory: a random model to compute with, and one that spells what a test says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from tiny_models import TINY_ARCHITECTURE, random_tensors
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill.engine.api import CompletionChunk, CompletionRequest, CompletionStats
from midfill.engine.generation.generation import Generation
from midfill.engine.generation.machine import Machine
from midfill.engine.model.kv_cache import KVCache, Slot
from midfill.engine.model.loader import Placement, load_model
from midfill.engine.model.prefill import Prefiller
from midfill.engine.prompt.dialects import DIALECTS
from midfill.engine.prompt.prompter import Prompter
from midfill.engine.scheduling.scheduler import Job
from midfill.engine.tokens.byte_index import ByteIndex
from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.weights.architecture import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from midfill.engine.model.decoder import TreePositions
    from midfill.engine.model.llama import LlamaModel
    from midfill.engine.scheduling.cancel import CancelFlag
    from midfill.engine.tokens.tokenizer import Tokenizer
    from midfill.weights.architecture import LlamaArchitecture, TokenizerData

CPU = torch.device("cpu")
FP32 = Placement(CPU, torch.float32, "fp32", "cpu: asked for; fp32: asked for")

SHAPE = replace(TINY_ARCHITECTURE, vocab_size=1216, rope_theta=1e6, max_position_embeddings=2048)
"""Grouped heads, RoPE base 1e6, an untied head, and more rows than either vocabulary has tokens."""


@dataclass(frozen=True)
class ArraySource:
    """A checkpoint's tensor that is already in memory."""

    array: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""
        return self.array.shape

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """A copy in that dtype."""
        return torch.tensor(self.array).to(dtype)

    def blocks(self) -> tuple[str, NDArray[np.uint8]] | None:
        """Nothing here is quantized."""
        return None


def tiny_checkpoint(
    architecture: LlamaArchitecture = SHAPE,
    tokenizer: TokenizerData | None = None,
    *,
    dialect: str | None = None,
    seed: int = 0,
) -> Checkpoint:
    """A random model named ``tiny``, with the tiny byte-level vocabulary unless told otherwise."""
    tensors = random_tensors(architecture, seed)
    return Checkpoint(
        name="tiny",
        path=Path("tiny"),
        architecture=architecture,
        tokenizer=tokenizer or tiny_byte_level_vocabulary(),
        tensors={name: ArraySource(array) for name, array in tensors.items()},
        dialect=dialect,
    )


def tiny_model(architecture: LlamaArchitecture = SHAPE, seed: int = 0) -> LlamaModel:
    """The model of ``tiny_checkpoint`` in fp32."""
    return load_model(tiny_checkpoint(architecture, seed=seed), FP32, lambda _share: None)


def new_slot(architecture: LlamaArchitecture = SHAPE) -> Slot:
    """An empty sequence in fp32."""
    return Slot(architecture, torch.float32, CPU)


class ScriptedModel:
    """Stands in for LlamaModel: behind any prompt it wants exactly the tokens of a script.

    Behind the script it wants ``end``. What it was run on stays in ``forwarded``.

    Args:
        script: Token ids.
        end: The token id that ends it.
        before_forward: Called with the number of the forward pass, from 0, before it.
    """

    def __init__(
        self,
        script: Sequence[int],
        end: int = 0,
        before_forward: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self.architecture = SHAPE
        self.dtype, self.device, self.parameters = torch.float32, CPU, 0
        self.forwarded: list[list[int]] = []
        self.before_forward = before_forward
        self._script, self._end = list(script), end

    def forward(
        self,
        ids: Sequence[int],
        slot: Slot,
        _cancel: CancelFlag | None = None,
        tree: TreePositions | None = None,
    ) -> torch.Tensor:
        """Hidden states of width 1: how many tokens of the script are spelled by then."""
        self.before_forward(len(self.forwarded))
        self.forwarded.append(list(ids))
        places = range(slot.length, slot.length + len(ids)) if not tree else tree.positions
        spelled = torch.tensor(list(places)) + 1 - slot.prompt_length
        slot.reserve(slot.length + len(ids))
        slot.append(ids)
        return spelled.unsqueeze(1).float()

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """10 for the token that the script wants next, 0 for all others."""
        logits = torch.zeros(len(hidden), self.architecture.vocab_size)
        for row, spelled in enumerate(hidden[:, 0].int().tolist()):
            wanted = self._script[spelled] if 0 <= spelled < len(self._script) else self._end
            logits[row, wanted] = 10.0
        return logits


def machine(
    model: LlamaModel | ScriptedModel | None = None,
    tokenizer: Tokenizer | None = None,
    *,
    dialect: str = "midfill",
    slots: int = 3,
    chunk: int = 8,
    context_length: int = 512,
    draft_tokens: int = 0,
) -> Machine:
    """The parts of an engine around a model, by default a random one."""
    tokenizer = tokenizer or _tiny_tokenizer()
    whole = cast("LlamaModel", model or tiny_model())
    return Machine(
        model=whole,
        tokenizer=tokenizer,
        index=_index_of(tokenizer),
        prompter=Prompter(DIALECTS[dialect], tokenizer, "tiny"),
        cache=KVCache([new_slot() for _ in range(slots)]),
        prefiller=Prefiller(whole, chunk),
        context_length=context_length,
        draft_tokens=draft_tokens,
    )


@cache
def _tiny_tokenizer() -> Tokenizer:
    return open_tokenizer(tiny_byte_level_vocabulary())


_index_of = lru_cache(maxsize=8)(ByteIndex)
"""The index of a tokenizer's tokens; like the tokenizer it never changes."""


@dataclass(frozen=True)
class Completed:
    """A stream that has ended."""

    chunks: tuple[CompletionChunk, ...]

    @property
    def text(self) -> str:
        """All chunks' text."""
        return "".join(chunk.text for chunk in self.chunks)

    @property
    def ids(self) -> list[int]:
        """All generated tokens."""
        return [token.id for chunk in self.chunks for token in chunk.tokens]

    @property
    def stats(self) -> CompletionStats:
        """The stats of the last chunk; no other has any."""
        *before, last = (chunk.stats for chunk in self.chunks)
        assert last is not None
        assert not any(before)
        return last


def complete(
    parts: Machine,
    request: CompletionRequest,
    job: Job | None = None,
    last_middle: Sequence[int] = (),
) -> Completed:
    """Answer one request in this thread, after a completion with these ids."""
    job = job or Job(request.priority, 0, request)
    Generation(parts, job, last_middle).run()
    return collect(job.stream)


def collect(stream: Iterable[CompletionChunk]) -> Completed:
    """All that a stream gives."""
    return Completed(tuple(stream))
