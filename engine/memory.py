"""How long a context memory has room for beside a model, before any of it is read."""

from __future__ import annotations

import os
import re
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midfill.engine.model.loader import Placement
    from midfill.weights.architecture import Checkpoint

BITS = {"fp32": 32.0, "bf16": 16.0, "int8": 8.5, "int4": 5.0}
"""Bits of a weight in each format; a GGUF's own blocks may have fewer."""


def most_tokens(checkpoint: Checkpoint, placement: Placement) -> int | None:
    """Tokens of one slot that there is room for, at least 0; None where nobody can tell."""
    free = free_bytes()
    if free is None or placement.device.type != "cpu":
        return None
    a = checkpoint.architecture
    values = 2 * a.num_hidden_layers * a.num_key_value_heads * a.head_dim
    left = free - weight_bytes(checkpoint, placement.formats)
    return max(0, left // (values * placement.dtype.itemsize))


def weight_bytes(checkpoint: Checkpoint, formats: str) -> int:
    """Bytes that the weights take in memory, by the format asked for; an estimate from below."""
    weights = sum(prod(source.shape) for source in checkpoint.tensors.values())
    size = int(weights * BITS.get(formats, BITS["int8"]) / 8)
    stored = sum(file.stat().st_size for file in checkpoint.files)
    return min(size, stored) if formats == "auto" and stored else size


def free_bytes() -> int | None:
    """Memory that can be had without swapping (Linux), else all that there is; None: unknown."""
    about = Path("/proc/meminfo")
    if about.exists():
        found = re.search(r"^MemAvailable:\s*(\d+) kB$", about.read_text("ascii"), re.MULTILINE)
        if found:
            return int(found[1]) << 10
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None
