"""The choice between a model in PyTorch alone and one with native kernels, and its reason."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from midfill.engine.kernels.bindings import load
from midfill.engine.kernels.build import KernelsUnavailableError
from midfill.engine.kernels.model import NativeModel
from midfill.engine.kernels.weights import build_native_weights
from midfill.engine.model.loader import DTYPES, load_model
from midfill.weights.families import FAMILIES

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable

    from midfill.engine.model.decoder import Decoder
    from midfill.engine.model.loader import Placement
    from midfill.weights.architecture import Checkpoint, LlamaArchitecture

KERNEL_FAMILIES = frozenset(FAMILIES)
"""Families that the native kernels compute; others run in PyTorch."""
TILED_COLUMNS = 32
"""Columns of a tile in bf16; vectors take as many."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """A model to decode with, the format of its weights, and why it is this one."""

    model: Decoder
    dtype_name: str
    reason: str


def open_decoder(
    checkpoint: Checkpoint,
    placement: Placement,
    threads: int,
    on_progress: Callable[[float], None],
) -> Backend:
    """Read a model, with kernels for this processor, or in PyTorch alone where there are none.

    Args:
        checkpoint: Where from.
        placement: What was asked for and chosen.
        threads: How many the kernels have.
        on_progress: Called with the share done, 0 to 1, after each layer.
    """
    library = None
    reason, family = placement.reason, checkpoint.architecture.family
    if placement.device.type == "cpu" and family not in KERNEL_FAMILIES:
        reason = f"{reason}; without native kernels: there are none for {family}"
    elif placement.device.type == "cpu":
        try:
            library = load()
        except KernelsUnavailableError as error:
            log.warning("decoding without native kernels: %s", error)
            reason = f"{reason}; without native kernels: {error}"
    if library is None:
        model = load_model(checkpoint, placement, on_progress)
        return Backend(model, placement.dtype_name, reason)
    return _with_kernels(library, checkpoint, placement, threads, on_progress)


def _with_kernels(
    library: ctypes.CDLL,
    checkpoint: Checkpoint,
    placement: Placement,
    threads: int,
    on_progress: Callable[[float], None],
) -> Backend:
    formats, model = placement.formats, None
    reads_prompts = kernels_read_prompts(library, formats, checkpoint.architecture)
    if formats in DTYPES or not reads_prompts:
        model = load_model(checkpoint, placement, on_progress)
        on_progress = lambda _share: None  # noqa: E731  # all is read
    weights = build_native_weights(checkpoint, formats, model, on_progress)
    native = NativeModel(
        checkpoint.architecture,
        placement.dtype,
        weights,
        threads,
        library,
        long_passes=None if reads_prompts else model,
    )
    why = "asked for"
    if formats == "auto":
        why = "the file's own blocks where it has such, else int8: fewer bytes to read"
    reason = f"{placement.device_reason}; {native.format}: {why}; native kernels"
    return Backend(native, native.format, reason)


def kernels_read_prompts(
    library: ctypes.CDLL, formats: str, architecture: LlamaArchitecture
) -> bool:
    """Whether long passes are fast in the kernels; else they are PyTorch's.

    Quantized ones need vectors for products of bytes, bf16 vectors of pairs or tiles, whole ones.
    """
    a = architecture
    inputs = (a.hidden_size, a.intermediate_size, a.num_attention_heads * a.head_dim)
    if formats == "bf16":
        is_whole = all(size % TILED_COLUMNS == 0 for size in inputs)
        return is_whole and bool(library.has_bf16_products())
    return formats not in DTYPES and bool(library.has_fast_panels())


def use_threads(model: Decoder, threads: int) -> None:
    """Set PyTorch's threads for the calling thread, which will run this model.

    Beside native kernels it gets one: what is left to it between tokens is small, and its OpenMP
    team would spin on the kernels' cores. Measured on two busy cores, the sampler takes 0.2 ms a
    token with one thread and 12 ms with two. Long passes set their own number.
    """
    torch.set_num_threads(1 if isinstance(model, NativeModel) else threads)
