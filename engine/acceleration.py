"""The choice between a model in PyTorch alone and one with native kernels, and its reason."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from midfill.engine.kernel_build import KernelsUnavailableError
from midfill.engine.kernel_calls import load
from midfill.engine.native import NativeModel
from midfill.engine.native_weights import build_native_weights

if TYPE_CHECKING:
    from midfill.engine.loader import Placement
    from midfill.engine.model import Decoder, LlamaModel
    from midfill.weights.architecture import Checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accelerated:
    """A model to decode with, the format of its weights, and why it is this one."""

    model: Decoder
    dtype_name: str
    reason: str


def accelerate(
    model: LlamaModel, checkpoint: Checkpoint, placement: Placement, threads: int
) -> Accelerated:
    """The model with kernels for this processor, or as it is where there are none.

    Args:
        model: As loaded.
        checkpoint: Where from: blocks are read again, without PyTorch's rounding.
        placement: What was asked for and chosen.
        threads: Of the kernels.
    """
    if placement.device.type != "cpu":
        return Accelerated(model, placement.dtype_name, placement.reason)
    try:
        library = load()
    except KernelsUnavailableError as error:
        log.warning("decoding without native kernels: %s", error)
        reason = f"{placement.reason}; without native kernels: {error}"
        return Accelerated(model, placement.dtype_name, reason)
    weights = build_native_weights(model, checkpoint.tensors, placement.formats)
    native = NativeModel(model, weights, threads, library)
    why = "asked for"
    if placement.formats == "auto":
        why = "the file's own blocks where it has such, else int8: fewer bytes to read"
    reason = f"{placement.device_reason}; {native.format}: {why}; native kernels"
    return Accelerated(native, native.format, reason)


def use_threads(model: Decoder, threads: int) -> None:
    """Set PyTorch's threads for the calling thread, which will run this model.

    Beside native kernels it gets one: what is left to it between tokens is small, and its OpenMP
    team would spin on the kernels' cores. Measured on two busy cores, the sampler takes 0.2 ms a
    token with one thread and 12 ms with two. Long passes set their own number.
    """
    torch.set_num_threads(1 if isinstance(model, NativeModel) else threads)
