"""The transformer and what surrounds it.

The public boundary, ``api`` and ``open_engine``, imports no torch.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from midfill.engine.api import (
    CompletionChunk,
    CompletionRequest,
    CompletionStats,
    CompletionStream,
    ContextPiece,
    Engine,
    EngineConfig,
    EngineInfo,
    FinishReason,
    GeneratedToken,
    Order,
    Priority,
    Sampling,
    Scope,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
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


def open_engine(
    config: EngineConfig, on_progress: Callable[[str, float], None] | None = None
) -> Engine:
    """Load a model and start its worker thread; imports torch, and so takes seconds.

    Args:
        config: What to open.
        on_progress: Called with a phase ("reading weights") and the share done, 0 to 1.

    Raises:
        ModelNotAvailableError: it cannot be used here; the subclass and message say why.
        InfillingNotSupportedError: the dialect asked for needs tokens that the model lacks.
    """
    from midfill.weights.checkpoint import open_checkpoint

    # What is wrong with it is said before torch loads.
    checkpoint = open_checkpoint(config.model, config.adapter)
    # libgomp's threads spin while they wait; where another process needs a core, as an editor does,
    # that made decoding ten times slower (docs/results.md). Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from midfill.engine.runtime import start_runtime

    return start_runtime(config, checkpoint, on_progress)
