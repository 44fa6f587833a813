"""Native kernels against the model in PyTorch: every format, shape, length and number of tokens."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cache
from math import prod
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_models import (
    SHAPES,
    TOLERANCE,
    assert_close,
    native,
    native_weights,
    reference,
    run,
    some_ids,
)
from processors import NO_VECTORS, VECTOR_PROCESSORS, kernels_for
from tiny_engine import CPU, FP32, SHAPE, tiny_checkpoint
from tiny_models import write_gguf

from midfill.engine.kernels.bindings import MAX_TOKENS
from midfill.engine.kernels.model import NativeModel
from midfill.engine.kernels.weights import build_native_weights
from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.loader import load_model
from midfill.engine.scheduling.cancel import CancelFlag, CancelledPassError
from midfill.weights.formats.gguf import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.engine.kernels.weights import NativeWeights
    from midfill.engine.model.llama import LlamaModel
    from midfill.weights.architecture import Checkpoint


@cache
def shaped(shape: str) -> Checkpoint:
    """A random model of one of the shapes."""
    return tiny_checkpoint(SHAPES[shape])


@cache
def expected(shape: str, wanted: str, count: int) -> torch.Tensor:
    """Logits of so many tokens in PyTorch, whatever processor the kernels are compiled for."""
    checkpoint = shaped(shape)
    return run(reference(checkpoint, wanted), some_ids(checkpoint.architecture, count))


@cache
def packed(shape: str, wanted: str) -> NativeWeights:
    """Weights for the kernels: one layout serves all processors."""
    return native_weights(shaped(shape), wanted)


@pytest.mark.parametrize("wanted", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_equal_pytorch(shape: str, wanted: str) -> None:
    """Pieces of 1 to 8 tokens, and one of 264 behind which the rest is decoded."""
    checkpoint = shaped(shape)
    ids = some_ids(checkpoint.architecture, 340)
    ours = run(native(checkpoint, wanted), ids, *range(1, 9), 264, *range(8, 0, -1), 1, 1, 1)
    assert_close(ours, expected(shape, wanted, 340), wanted)


@pytest.mark.parametrize("wanted", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
def test_long_passes_in_the_kernels_equal_pytorch(shape: str, wanted: str) -> None:
    """Whole and broken calls, over an empty, a short and a long cache, for every format."""
    checkpoint = shaped(shape)
    ids = some_ids(checkpoint.architecture, 840)
    ours = run(native(checkpoint, wanted, long_passes=False), ids, 9, 64, 31, 600, 17, 65)
    assert_close(ours, expected(shape, wanted, 840), wanted)


@pytest.mark.parametrize("wanted", ["int8", "int4"])
def test_long_rows_in_the_kernels_equal_pytorch(wanted: str) -> None:
    """Whose panels are read side by side, also where their number is odd."""
    shape = replace(SHAPE, num_hidden_layers=1, hidden_size=3072, intermediate_size=3088)
    checkpoint = tiny_checkpoint(shape)
    ids = some_ids(shape, 6)
    ours = run(native(checkpoint, wanted), ids, 1, 1, 1, 2)
    assert_close(ours, run(reference(checkpoint, wanted), ids), wanted)


@pytest.mark.parametrize("types", [("Q4_1",), ("Q4_0",), ("Q8_0",), ("Q8_0", "Q4_1", "F16")])
def test_a_quantized_file_is_read_as_it_is(types: tuple[str, ...], tmp_path: Path) -> None:
    """Its own blocks, with query and key rows in order; matrices fused of several types too."""
    write_gguf(tmp_path / "tiny.gguf", types=types)
    checkpoint = read_checkpoint(tmp_path / "tiny.gguf", "tiny")
    theirs = load_model(checkpoint, FP32, lambda _share: None)
    ids = some_ids(checkpoint.architecture, 40)
    ours = run(native(checkpoint, "auto"), ids, 8, 8, 1, 2, 3, 8)
    assert_close(ours, run(theirs, ids), "int4")


@pytest.mark.parametrize("types", [("Q4_K",), ("Q4_K", "Q6_K"), ("Q4_K", "Q4_K", "Q6_K", "Q4_1")])
def test_a_file_of_k_quants_stays_near_its_size(types: tuple[str, ...], tmp_path: Path) -> None:
    """4 bits stay 4 bits, beside matrices that are not, also where they are computed as one."""
    shape = replace(
        SHAPE, hidden_size=256, intermediate_size=512, num_attention_heads=4, head_dim=64
    )
    write_gguf(tmp_path / "tiny.gguf", architecture=shape, types=types)
    checkpoint = read_checkpoint(tmp_path / "tiny.gguf", "tiny")
    theirs = load_model(checkpoint, FP32, lambda _share: None)
    weights = build_native_weights(checkpoint, "auto")
    ids = some_ids(shape, 340)
    ours = run(native(checkpoint, "auto", weights=weights, long_passes=False), ids, 1, 2, 8, 329)
    assert_close(ours, run(theirs, ids), "int4")
    most = sum(
        prod(tensor.shape) * (8.5 if tensor.type_name == "Q6_K" else 5) / 8
        for tensor in checkpoint.tensors.values()
        if len(tensor.shape) == 2
    )
    assert weights.nbytes < 1.1 * most  # panels are whole


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[NativeModel, LlamaModel]]:
    """One of each format, with its reference."""
    checkpoint = tiny_checkpoint(SHAPES["one head for all"])
    return {
        wanted: (native(checkpoint, wanted), reference(checkpoint, wanted)) for wanted in TOLERANCE
    }


@given(
    wanted=st.sampled_from(sorted(TOLERANCE)),
    cached=st.integers(0, 300),
    sizes=st.lists(st.integers(1, MAX_TOKENS + 8), min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_any_pieces_behind_any_cache_equal_the_whole(
    models: dict[str, tuple[NativeModel, LlamaModel]], wanted: str, cached: int, sizes: list[int]
) -> None:
    """Short passes, long ones in the kernels or in PyTorch, and all in turn on one slot."""
    ours, theirs = models[wanted]
    ids = some_ids(ours.architecture, cached + sum(sizes))
    assert_close(run(ours, ids, cached, *sizes), run(theirs, ids), wanted)


@given(
    length=st.integers(1, 300), count=st.integers(1, 8), wanted=st.sampled_from(["fp32", "int4"])
)
@settings(max_examples=40, deadline=None)
def test_a_slot_that_was_cut_back_is_as_good_as_new(
    models: dict[str, tuple[NativeModel, LlamaModel]], length: int, count: int, wanted: str
) -> None:
    """Nothing of what was behind the cut is seen."""
    model, _ = models[wanted]
    ids = some_ids(model.architecture, length + count)
    slot = Slot(model.architecture, model.dtype, model.device)
    run(model, ids[:length], slot=slot)
    run(model, ids[::-1], slot=slot)
    slot.cut(length)
    again = run(model, ids[length:], slot=slot)
    assert slot.ids.tolist() == ids
    assert torch.equal(again, run(model, ids, length)[length:])


@pytest.mark.parametrize("wanted", TOLERANCE)
def test_the_number_of_threads_changes_nothing(wanted: str) -> None:
    """Who computes a row does not matter to the row: equal to the last bit."""
    checkpoint = tiny_checkpoint()
    ids = some_ids(checkpoint.architecture, 320)
    one, four = (
        run(native(checkpoint, wanted, threads, long_passes=False), ids, 300, 8, 8)
        for threads in (1, 4)
    )
    assert torch.equal(one, four)


@pytest.mark.parametrize("wanted", ["int8", "fp32"])
def test_a_pass_that_is_cancelled_caches_nothing(
    models: dict[str, tuple[NativeModel, LlamaModel]], wanted: str
) -> None:
    """And what comes next on the slot is as if it had never begun."""
    model, _ = models[wanted]
    ids = some_ids(model.architecture, 30)
    slot = Slot(model.architecture, model.dtype, model.device)
    model.forward(ids[:20], slot)
    cancel = CancelFlag()
    cancel.set()
    with pytest.raises(CancelledPassError):
        model.forward(ids[::-1][:8], slot, cancel)
    assert slot.ids.tolist() == ids[:20]
    assert torch.equal(run(model, ids[20:], slot=slot), run(model, ids, 20)[20:])


def test_a_cancel_from_another_thread_is_seen(
    models: dict[str, tuple[NativeModel, LlamaModel]],
) -> None:
    """By passes that would otherwise go on for a long time."""
    model, _ = models["int8"]
    slot = Slot(model.architecture, model.dtype, model.device)
    ids, cancel = some_ids(model.architecture, MAX_TOKENS), CancelFlag()
    threading.Timer(0.01, cancel.set).start()

    def run_for_ever() -> None:
        for _ in range(100_000):
            slot.cut(0)
            model.forward(ids, slot, cancel)

    with pytest.raises(CancelledPassError):
        run_for_ever()
    assert slot.length == 0


def test_a_long_head_is_computed_in_calls(
    models: dict[str, tuple[NativeModel, LlamaModel]],
) -> None:
    """Logits of more tokens than a call takes; a few are rounded in another way than many."""
    model, _ = models["int8"]
    count = MAX_TOKENS + 21
    hidden = torch.randn(count, model.architecture.hidden_size)
    rows = [model.logits(hidden[row : row + 1]) for row in range(count)]
    assert_close(model.logits(hidden), torch.cat(rows), "int8")


@pytest.mark.parametrize("wanted", TOLERANCE)
def test_a_processor_without_wide_vectors_computes_the_same(
    wanted: str,
) -> None:
    """The kernels compiled for any processor of this kind."""
    library = kernels_for(NO_VECTORS)
    assert not library.has_fast_panels()
    checkpoint = shaped("stretched")
    ids = some_ids(checkpoint.architecture, 60)
    ours = run(native(checkpoint, wanted, library=library), ids, *range(1, 9), 1, 2)
    assert_close(ours, expected("stretched", wanted, 60), wanted)


@pytest.mark.parametrize("wanted", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("processor", VECTOR_PROCESSORS)
def test_a_processor_with_other_vectors_computes_the_same(
    processor: str, shape: str, wanted: str
) -> None:
    """In short and long passes, all in the kernels."""
    library = kernels_for(processor)
    assert library.has_fast_panels()
    checkpoint, weights = shaped(shape), packed(shape, wanted)
    ids = some_ids(checkpoint.architecture, 340)
    model = native(checkpoint, wanted, library=library, long_passes=False, weights=weights)
    ours = run(model, ids, *range(1, 9), 9, 64, 31, 150, *range(8, 0, -1))
    assert_close(ours, expected(shape, wanted, 340), wanted)


def test_the_model_describes_itself(models: dict[str, tuple[NativeModel, LlamaModel]]) -> None:
    """As the one that it wraps, and by its format."""
    for wanted, (model, wrapped) in models.items():
        assert model.format == wanted or (wanted, model.format) == ("int4", "int4")
        assert model.parameters == wrapped.parameters
        assert model.device == CPU
        assert model.dtype is (torch.float32 if wanted == "fp32" else torch.bfloat16)
