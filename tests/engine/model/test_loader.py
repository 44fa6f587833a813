"""Loading: matrices fused in the model's order, and a placement that gives its reasons."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_engine import FP32, SHAPE, tiny_checkpoint

from midfill.engine.errors import InvalidRequestError
from midfill.engine.model.linear import DenseLinear
from midfill.engine.model.loader import choose_placement, load_model


def weight(matrix: object) -> torch.Tensor:
    """The tensor of a dense matrix."""
    assert isinstance(matrix, DenseLinear)
    return matrix.weight


def test_rows_are_fused_in_the_order_that_the_model_splits_them() -> None:
    """Queries, keys, values; gate, up."""
    checkpoint = tiny_checkpoint()
    model = load_model(checkpoint, FP32, lambda _share: None)
    read = {name: source.read(torch.float32) for name, source in checkpoint.tensors.items()}
    for index, layer in enumerate(model.weights.layers):
        prefix = f"model.layers.{index}."
        qkv = [read[f"{prefix}self_attn.{part}_proj.weight"] for part in "qkv"]
        assert torch.equal(weight(layer.qkv_proj), torch.cat(qkv))
        gate_up = [read[f"{prefix}mlp.{part}_proj.weight"] for part in ("gate", "up")]
        assert torch.equal(weight(layer.gate_up_proj), torch.cat(gate_up))
        norms = ("input_layernorm", "post_attention_layernorm")
        for name in norms:
            assert torch.equal(getattr(layer, name), read[f"{prefix}{name}.weight"])


def test_a_tied_head_is_the_embedding_itself() -> None:
    """Not a copy of it; an untied one has values of its own."""
    tied = load_model(
        tiny_checkpoint(replace(SHAPE, tie_word_embeddings=True)), FP32, lambda _share: None
    )
    assert weight(tied.weights.lm_head) is tied.weights.embed_tokens
    untied = load_model(tiny_checkpoint(), FP32, lambda _share: None)
    assert not torch.equal(weight(untied.weights.lm_head), untied.weights.embed_tokens)


def test_progress_rises_to_one() -> None:
    """A step for each layer."""
    shares: list[float] = []
    load_model(tiny_checkpoint(), FP32, shares.append)
    assert shares == [0.5, 1.0]


@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
def test_what_was_asked_for_is_taken(dtype: str) -> None:
    """And the reason says so."""
    placement = choose_placement("cpu", dtype)
    assert (placement.device.type, placement.dtype_name) == ("cpu", dtype)
    assert placement.reason == f"cpu: asked for; {dtype}: asked for"


@pytest.mark.parametrize(
    ("native", "expected"), [(True, (torch.bfloat16, "native")), (False, (torch.float32, "no"))]
)
def test_auto_takes_bf16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, native: bool, expected: tuple[torch.dtype, str]
) -> None:
    """Else fp32, which is faster there."""
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    placement = choose_placement("cpu", "auto")
    dtype, word = expected
    assert placement.dtype is dtype
    assert word in placement.reason


def machine_with(monkeypatch: pytest.MonkeyPatch, *, cuda: bool, mps: bool) -> None:
    """Pretend that this machine has these devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "device"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_takes_the_fastest_device(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, device: str
) -> None:
    """CUDA before Metal before the processor; bf16 on either accelerator."""
    machine_with(monkeypatch, cuda=cuda, mps=mps)
    placement = choose_placement("auto", "auto")
    assert placement.device.type == device
    assert "fastest" in placement.reason
    if device != "cpu":
        assert placement.dtype is torch.bfloat16


def test_unknown_names_are_refused() -> None:
    """With those that there are."""
    with pytest.raises(InvalidRequestError, match=r"device is 'tpu'; it must be auto, cpu, cuda"):
        choose_placement("tpu", "auto")
    with pytest.raises(InvalidRequestError, match=r"dtype is 'int3'; it must be auto, bf16, fp32"):
        choose_placement("cpu", "int3")


def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than replaced by another."""
    machine_with(monkeypatch, cuda=False, mps=False)
    with pytest.raises(InvalidRequestError, match=r"'cuda', which this machine lacks; try auto"):
        choose_placement("cuda", "auto")
