"""What 4 bits should keep exactly: measured, read beside an adapter, used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_adapters import adapter_tensors, write_adapter
from tiny_engine import SHAPE, tiny_checkpoint, tiny_model
from tiny_models import TINY_ARCHITECTURE, write_gguf
from torch.nn.functional import rms_norm

from midfill.engine.kernels.weights import build_native_weights
from midfill.recipes.fitting.importance import PARTS, main, measure
from midfill.weights.errors import CorruptModelError
from midfill.weights.families import expected_shapes
from midfill.weights.formats.adapter import apply
from midfill.weights.formats.importance import IMPORTANCE, read_importance

if TYPE_CHECKING:
    from pathlib import Path

SHAPES = expected_shapes(SHAPE)
DOWN = "model.layers.1.mlp.down_proj.weight"


def test_an_adapter_brings_it_along(tmp_path: Path) -> None:
    """It lies over the base's, is one of the files, and int4 is fitted by it."""
    base = tiny_checkpoint()
    write_adapter(tmp_path, adapter_tensors(SHAPE))
    plain = apply(base, tmp_path)
    inputs = torch.rand(SHAPES[DOWN][1], generator=torch.Generator().manual_seed(0)) ** 8
    save_file({DOWN: inputs}, tmp_path / IMPORTANCE)
    measured = apply(base, tmp_path)
    assert set(measured.files) - set(plain.files) == {tmp_path / IMPORTANCE}
    assert torch.equal(measured.importance[DOWN].read(torch.float32), inputs)
    weights = [build_native_weights(model, "int4").arena.used for model in (plain, measured)]
    assert not torch.equal(*weights)
    assert plain.importance == {}


@pytest.mark.parametrize(
    ("name", "size"),
    [(DOWN, 3), ("model.layers.9.mlp.down_proj.weight", 8), ("model.norm.weight", 8)],
)
def test_one_that_does_not_fit_is_refused(tmp_path: Path, name: str, size: int) -> None:
    """Another width, a layer too many, no matrix."""
    save_file({name: torch.ones(size)}, tmp_path / IMPORTANCE)
    with pytest.raises(CorruptModelError, match="measure it again, or remove the file"):
        read_importance(tmp_path, SHAPES)


def test_what_is_measured_are_mean_squares_of_inputs() -> None:
    """Those of the embedding behind its norm, for the first matrices; every matrix has its own."""
    model, ids = tiny_model(), [5, 6, 7, 8, 5]
    found = measure(model, [ids, ids[:2]])
    assert {name: tuple(part.shape) for name, part in found.items()} == {
        name: shape[1:] for name, shape in SHAPES.items() if "_proj" in name
    }
    layer = model.weights.layers[0]
    x = model.weights.embed_tokens[torch.tensor(ids + ids[:2])]
    x = rms_norm(x, x.shape[1:], layer.input_layernorm, SHAPE.rms_norm_eps)
    expected = x.square().mean(0)
    for part in PARTS["qkv_proj"]:
        torch.testing.assert_close(
            found[f"model.layers.0.{part}.weight"], expected / expected.mean()
        )


def test_the_command_measures_the_longest_texts(tmp_path: Path) -> None:
    """Those of the files that it is given; what comes out can be read beside an adapter."""
    write_gguf(tmp_path / "tiny.gguf")
    for number in range(3):
        (tmp_path / f"{number}.py").write_text("x = 1\n" * (number + 1), encoding="utf-8")
    (tmp_path / "notes.txt").write_text("no code", encoding="utf-8")
    options = ["--model", str(tmp_path / "tiny.gguf"), "--text", str(tmp_path)]
    main([str(tmp_path / IMPORTANCE), *options, "--rows", "2", "--tokens", "8"])
    shapes = expected_shapes(TINY_ARCHITECTURE)
    assert set(read_importance(tmp_path, shapes)) == {n for n in shapes if "_proj" in n}
    for mean in load_file(tmp_path / IMPORTANCE).values():
        assert mean.float().mean().item() == pytest.approx(1, rel=1e-2)
