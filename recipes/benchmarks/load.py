"""How long a model takes to open, and what its process holds in memory then and at work.

Each measurement is a process of its own: ``python -m midfill.recipes.benchmarks.load '{...}'``
with the fields of an EngineConfig prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from midfill.engine.errors import ModelNotAvailableError
from midfill.recipes.reports.machine import resident

if TYPE_CHECKING:
    import torch

    from midfill.engine.api import EngineConfig
    from midfill.engine.generation.machine import Machine
    from midfill.engine.model.kv_cache import Slot

_PROMPT, _DECODED = 2048, 32
"""Tokens of the work whose memory is measured."""


@dataclass(frozen=True, slots=True)
class Load:
    """One opening of a model."""

    import_seconds: float
    """Seconds to import torch and the engine."""
    open_seconds: float
    """Seconds from then until it can complete."""
    loaded_mib: float | None
    """MiB resident then; None where the system does not tell."""
    peak_mib: float | None
    """MiB at most until a prompt was read and a completion written; None likewise."""


def measure_load(config: EngineConfig) -> Load:
    """Open a model in a process of its own.

    Raises:
        ModelNotAvailableError: it could not be opened.
    """
    command = [sys.executable, "-P", "-m", __name__, json.dumps(asdict(config))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise ModelNotAvailableError(f"{config.model} cannot be opened: {done.stderr.strip()}")
    return Load(**json.loads(done.stdout))


def fill(machine: Machine, slot: Slot, tokens: int) -> torch.Tensor:
    """Prefill a slot up to so many tokens, keeping what it has; logits of the last one."""
    slot.cut(min(slot.length, tokens - 1))
    vocabulary = machine.tokenizer.vocab_size
    ids = [(7919 * i + 13) % vocabulary for i in range(slot.length, tokens)]
    hidden = machine.prefiller.run(ids, slot)
    assert hidden is not None, "nobody interrupts a benchmark"
    return machine.model.logits(hidden)[0]


def main(fields: str) -> int:
    """Open the model, work with it, and print what that took."""
    began = time.perf_counter()
    import torch

    from midfill.engine.api import EngineConfig
    from midfill.engine.backend import use_threads
    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.runtime import open_runtime

    imported = time.perf_counter()
    config = EngineConfig(**json.loads(fields))
    runtime = open_runtime(config)
    opened = time.perf_counter()
    machine = runtime.machine
    loaded = resident(os.getpid())
    runtime.close()
    use_threads(machine.model, config.threads or torch.get_num_threads())
    slot = Slot(machine.model.architecture, machine.model.dtype, machine.model.device)
    logits = fill(machine, slot, _PROMPT)
    for _ in range(_DECODED):
        token = int(logits.argmax())
        logits = machine.model.logits(machine.model.forward([token], slot))[0]
    peak = resident(os.getpid())
    load = Load(
        imported - began,
        opened - imported,
        loaded.now if loaded else None,
        peak.peak if peak else None,
    )
    sys.stdout.write(json.dumps(asdict(load)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
