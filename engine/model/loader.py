"""From a checkpoint on disk to a model in memory: dtype and device chosen, matrices fused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import torch

from midfill.engine.errors import CorruptModelError, InvalidRequestError
from midfill.engine.model.llama import LlamaModel, read_llama
from midfill.weights.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from midfill.weights.architecture import Checkpoint, TensorSource

MODELS = dict.fromkeys(FAMILIES, read_llama)
"""What reads the model of each family, by the name of its row in ``weights.families``."""
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
QUANTIZED = ("int8", "int4")
"""Formats of the native kernels' weights; around them a model runs as with ``auto``."""
DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and in what precision a model runs, and why."""

    device: torch.device
    dtype: torch.dtype
    dtype_name: str
    reason: str
    device_reason: str = ""
    formats: str = "auto"
    """What was asked for: auto, or a name from DTYPES or QUANTIZED."""


def choose_placement(device: str, dtype: str) -> Placement:
    """Resolve ``auto`` for this machine.

    Raises:
        InvalidRequestError: an unknown name, or a device that this machine lacks.
    """
    device_name, device_reason = _choose_device(device)
    dtype_name, dtype_reason = _choose_dtype(dtype, device_name)
    return Placement(
        torch.device(device_name),
        DTYPES[dtype_name],
        dtype_name,
        f"{device_reason}; {dtype_reason}",
        device_reason,
        dtype,
    )


def load_model(
    checkpoint: Checkpoint, placement: Placement, on_progress: Callable[[float], None]
) -> LlamaModel:
    """Read, dequantize and fuse all matrices.

    Args:
        checkpoint: An opened checkpoint.
        placement: Where to put it.
        on_progress: Called with the share done, 0 to 1, after each layer.

    Raises:
        CorruptModelError: a value is infinite or no number.
    """

    def read(names: Sequence[str]) -> torch.Tensor:
        tensors = checkpoint.tensors
        parts = [read_finite(name, tensors[name], placement.dtype) for name in names]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        return whole.to(placement.device)

    architecture = checkpoint.architecture
    return MODELS[architecture.family](architecture, read, on_progress)


def read_finite(name: str, source: TensorSource, dtype: torch.dtype) -> torch.Tensor:
    """A tensor of a checkpoint, all of whose values are numbers.

    Raises:
        CorruptModelError: some are not, or are infinite.
    """
    tensor = source.read(dtype)
    least, greatest = torch.aminmax(tensor)  # of which one is not finite if any value is not
    if not torch.isfinite(greatest - least):
        refuse_values(name)
    return tensor


def refuse_values(name: str) -> NoReturn:
    """Raise the error of a tensor with values that are no numbers."""
    raise CorruptModelError(
        f"the tensor {name} has values that are infinite or no numbers: the file is damaged;"
        " midfill models verify checks it, midfill models pull fetches it anew"
    )


def _choose_device(device: str) -> tuple[str, str]:
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if device == "auto":
        best = next(name for name in ("cuda", "mps", "cpu") if available[name])
        return best, f"{best}: the fastest device found"
    if device not in available:
        raise InvalidRequestError(f"device is {device!r}; it must be auto, {', '.join(DEVICES)}")
    if not available[device]:
        raise InvalidRequestError(f"device is {device!r}, which this machine lacks; try auto")
    return device, f"{device}: asked for"


def _choose_dtype(dtype: str, device: str) -> tuple[str, str]:
    if dtype in DTYPES:
        return dtype, f"{dtype}: asked for"
    if dtype in QUANTIZED and device != "cpu":
        raise InvalidRequestError(
            f"dtype is {dtype!r} and the device {device}; on an accelerator it must be auto,"
            f" {', '.join(DTYPES)}"
        )
    if dtype not in ("auto", *QUANTIZED):
        names = ", ".join((*DTYPES, *QUANTIZED))
        raise InvalidRequestError(f"dtype is {dtype!r}; it must be auto, {names}")
    if device != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "bf16", "bf16: native here, half the memory traffic of fp32"
    return "fp32", "fp32: this processor has no bf16 arithmetic"
