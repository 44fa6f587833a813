"""What is trained computes what the engine runs, and its gradients are torch's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_engine import FP32, tiny_checkpoint
from torch.nn.functional import cross_entropy, linear

from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.loader import load_model
from midfill.recipes.training import model as training_model
from midfill.recipes.training.model import LoraConfig, Rows, TrainedModel, attend, named_parts

CHECKPOINT = tiny_checkpoint(
    replace(tiny_checkpoint().architecture, tie_word_embeddings=True, vocab_size=1200)
)
TENSORS = {name: source.read(torch.float32) for name, source in CHECKPOINT.tensors.items()}
GROWN = replace(CHECKPOINT.architecture, vocab_size=1204)
IDS = [(101 * index + 7) % 1200 for index in range(50)]
LORA = LoraConfig(4, 8.0)


def trained(lora: LoraConfig | None, *, update: bool = False) -> TrainedModel:
    """The tiny model; with an update, matrices that LoRA starts at zero are not zero."""
    torch.manual_seed(0)
    model = TrainedModel(GROWN, TENSORS, lora, torch.float32)
    if update and lora:
        with torch.no_grad():
            for _, part in named_parts(model):
                for matrix in part.lora_b:
                    matrix.normal_(std=0.1)
    return model


@pytest.mark.parametrize("lora", [LORA, None])
def test_before_any_step_it_is_the_base_model(lora: LoraConfig | None) -> None:
    """Hidden states of two rows, each as the engine has them for a sequence of its own."""
    engine = load_model(CHECKPOINT, FP32, lambda _: None)
    slot = Slot(engine.architecture, engine.dtype, engine.device)
    expected = engine.forward(IDS, slot)

    hidden = trained(lora).hidden(torch.tensor(IDS + IDS[:20]), [50, 20])

    torch.testing.assert_close(hidden[:50], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(hidden[50:], expected[:20], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lora", [LORA, None])
def test_loss_and_gradients_are_those_of_plain_cross_entropy(
    lora: LoraConfig | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunk by chunk, with weights, over known and new tokens."""
    monkeypatch.setitem(training_model.LOSS_CHUNK, "cpu", 7)
    model = trained(lora, update=True)
    ids = torch.tensor([*IDS[:40], 1200, 1203, 1201])
    weights = torch.tensor([0.0] * 10 + [1.0] * 20 + [0.25] * 12 + [0.0])
    model(ids, [43], ids.roll(-1), weights)[0].backward()
    ours = [parameter.grad for parameter in model.parameters()]

    again = trained(lora, update=True)
    hidden = again.hidden(ids, [43])
    head = torch.cat([again.fixed_embeddings, again.trained_embeddings])
    plain = cross_entropy(linear(hidden, head), ids.roll(-1), reduction="none")
    (plain * weights).sum().backward()

    for gradient, parameter in zip(ours, again.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-6)


def test_computing_layers_again_changes_nothing() -> None:
    """Only the memory that a step takes."""
    ids, gradients = torch.tensor(IDS), []
    for recompute in (False, True):
        model = trained(LORA, update=True)
        model.recompute = recompute
        model(ids, [30, 20], ids.roll(-1), torch.ones(50))[0].backward()
        gradients.append([parameter.grad for parameter in model.parameters()])

    for kept, again in zip(*gradients, strict=True):
        torch.testing.assert_close(kept, again)


def test_the_losses_told_are_those_with_a_weight() -> None:
    """Without the weight, and 0 for the others."""
    model, ids = trained(LORA), torch.tensor(IDS)
    weights = torch.zeros(50)
    weights[10:15] = 0.5

    total, each = model(ids, [50], ids.roll(-1), weights)

    assert each.nonzero()[:, 0].tolist() == list(range(10, 15))
    torch.testing.assert_close(total, 0.5 * each.sum())


def test_lora_adds_the_scaled_product_to_each_matrix() -> None:
    """The parts of a fused matrix have updates of their own."""
    model = trained(LORA, update=True)
    part = model.blocks()[0].qkv_proj
    x = torch.randn(5, part.weight.shape[1])

    updates = [LORA.scale * b @ a for a, b in zip(part.lora_a, part.lora_b, strict=True)]

    torch.testing.assert_close(part(x), linear(x, part.weight + torch.cat(updates)))
    torch.testing.assert_close(part.merged(x.dtype), part.weight + torch.cat(updates))


def test_with_lora_only_the_update_and_new_tokens_are_trained() -> None:
    """Everything is, without."""
    names = {name.rpartition(".")[2] for name, _ in trained(LORA).named_parameters()}

    assert names == {"trained_embeddings", "lora_a", "0", "1", "2"}
    everything = sum(parameter.numel() for parameter in trained(None).parameters())
    assert everything == sum(t.numel() for t in TENSORS.values()) + 4 * GROWN.hidden_size


def test_short_and_long_rows_are_attended_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which way is taken depends on the length alone."""
    q, k, v = torch.randn(30, 4, 8), torch.randn(30, 2, 8), torch.randn(30, 2, 8)
    rows = Rows.of([12, 18], torch.device("cpu"))
    short = attend(q, k, v, rows)
    monkeypatch.setattr(training_model, "_SHORT_ROW", 1)
    monkeypatch.setattr(training_model, "_BLOCK", 7)

    torch.testing.assert_close(attend(q, k, v, rows), short, rtol=1e-5, atol=1e-6)


def test_positions_start_anew_in_each_row() -> None:
    """A row of nothing takes no place."""
    rows = Rows.of([3, 0, 2], torch.device("cpu"))

    assert rows.ends.tolist() == [0, 3, 3, 5]
    assert rows.positions().tolist() == [0, 1, 2, 0, 1]
