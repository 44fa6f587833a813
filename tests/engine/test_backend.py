"""With kernels or without: the model decodes, and says which it is and why."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_engine import SHAPE, tiny_checkpoint, tiny_model
from tiny_models import write_gguf

from midfill.engine import backend
from midfill.engine.backend import Backend, open_decoder, use_threads
from midfill.engine.kernels.bindings import load
from midfill.engine.kernels.build import KernelsUnavailableError
from midfill.engine.kernels.model import NativeModel
from midfill.engine.model import loader
from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.llama import LlamaModel, read_llama
from midfill.engine.model.loader import choose_placement
from midfill.weights.families import FAMILIES, LLAMA
from midfill.weights.formats.gguf import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.architecture import Checkpoint


def opened(dtype: str, checkpoint: Checkpoint | None = None) -> Backend:
    """A model on the processor as the runtime makes it."""
    checkpoint = checkpoint or tiny_checkpoint()
    return open_decoder(checkpoint, choose_placement("cpu", dtype), 1, lambda _share: None)


@pytest.mark.parametrize("dtype", ["bf16", "fp32", "int8", "int4"])
def test_a_format_that_was_asked_for_is_taken(dtype: str) -> None:
    """By the kernels."""
    result = opened(dtype)
    assert isinstance(result.model, NativeModel)
    assert result.dtype_name == dtype
    assert result.reason == f"cpu: asked for; {dtype}: asked for; native kernels"


def test_auto_takes_int8_for_plain_weights() -> None:
    """The fastest that costs less than 1 % perplexity for any model."""
    result = opened("auto")
    assert result.dtype_name == "int8"
    assert "fewer bytes to read" in result.reason


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [("Q4_1", "int4"), ("Q4_0", "int4"), ("Q8_0", "int8"), ("F16", "int8")],
)
def test_auto_takes_the_files_own_blocks(type_name: str, expected: str, tmp_path: Path) -> None:
    """Where it has blocks of 4 or 8 bits."""
    write_gguf(tmp_path / "tiny.gguf", types=(type_name,))
    result = opened("auto", read_checkpoint(tmp_path / "tiny.gguf", "tiny"))
    assert result.dtype_name == expected


def test_without_kernels_pytorch_decodes_and_the_reason_is_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In what PyTorch is fast in, whatever was asked for."""

    def unavailable() -> None:
        raise KernelsUnavailableError("no C compiler 'cc' on the path")

    monkeypatch.setattr(backend, "load", unavailable)
    result = opened("int4")
    assert isinstance(result.model, LlamaModel)
    assert result.dtype_name in ("bf16", "fp32")
    assert "without native kernels: no C compiler 'cc' on the path" in result.reason
    assert "decoding without native kernels: no C compiler" in caplog.text


def test_pytorch_gets_one_thread_beside_kernels_and_all_without() -> None:
    """Long passes borrow theirs and give them back."""
    before = torch.get_num_threads()
    try:
        result = opened("int8")
        use_threads(result.model, 3)
        slot = Slot(result.model.architecture, result.model.dtype, result.model.device)
        result.model.forward(list(range(100)), slot)
        assert torch.get_num_threads() == 1
        use_threads(tiny_model(), 3)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_accelerator_runs_in_pytorch() -> None:
    """The kernels are for processors."""
    placement = replace(choose_placement("cpu", "bf16"), device=torch.device("meta"))
    result = open_decoder(tiny_checkpoint(SHAPE), placement, 1, lambda _share: None)
    assert isinstance(result.model, LlamaModel)
    assert (result.dtype_name, result.reason) == ("bf16", placement.reason)


@pytest.mark.parametrize("dtype", ["int8", "bf16"])
def test_progress_reaches_the_end_once(dtype: str) -> None:
    """Whether PyTorch reads the matrices or the kernels do."""
    shares: list[float] = []
    open_decoder(tiny_checkpoint(SHAPE), choose_placement("cpu", dtype), 1, shares.append)
    assert shares == [(i + 1) / SHAPE.num_hidden_layers for i in range(SHAPE.num_hidden_layers)]


def test_fast_kernels_need_no_model_in_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which would take twice the memory; where the kernels are slow there is one."""
    read = []

    def load_model(*arguments: Any) -> LlamaModel:
        read.append(1)
        return loader.load_model(*arguments)

    monkeypatch.setattr(backend, "load_model", load_model)
    opened("int8")
    assert len(read) == (not load().has_fast_panels())
    read.clear()
    opened("bf16")
    assert len(read) == 1


def test_a_family_without_kernels_runs_in_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says so; its row in the table and its reader are all that it needs."""
    monkeypatch.setitem(FAMILIES, "other", replace(LLAMA, name="other"))
    monkeypatch.setitem(loader.MODELS, "other", read_llama)
    checkpoint = tiny_checkpoint(replace(SHAPE, family="other"))
    result = opened("auto", checkpoint)
    assert isinstance(result.model, LlamaModel)
    assert "there are none for other" in result.reason
