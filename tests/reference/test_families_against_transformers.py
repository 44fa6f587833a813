"""Each family, from a folder and from GGUF, computes what transformers computes.

Weights are random, those of norms and biases too; the text is longer than windows and original
contexts. An error is relative to the largest logit: fp32 only adds in another order (some 1e-6), a
wrong window, norm or rotation gives 1e-3 and more.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import pytest
import torch
from family_models import CASES, IDS, random_model, write_family_gguf, write_folder
from native_models import assert_close, native, run
from native_models import reference as rounded
from tiny_engine import FP32

from midfill.engine.model.loader import load_model
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import UnsupportedModelError
from midfill.weights.formats import gguf_writer, huggingface_writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedModel

    from midfill.engine.model.decoder import Decoder
    from midfill.weights.architecture import Checkpoint

FROM_REFERENCE = 1e-5
PIECES = {"whole": (), "a prompt, then token by token": (64, 5, *[1] * 21)}
TRAITS: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 21},
    "qwen3, windows": {"full_attention_layers": (0, 1)},
    "gemma": {"activation": "silu", "embedding_multiplier": 7.9},
    "granite": {
        "residual_multiplier": 0.23, "attention_multiplier": 0.3, "logits_scaling": 7.9,
    },
    "smollm3": {"unrotated_layers": ()},
    "llama, yarn": {"rope_scaling": None},
}  # fmt: skip
"""What would be wrong, by the field."""
SAID_IN_GGUF = [name for name, case in CASES.items() if case.in_gguf]


class Reference:
    """A model of transformers, its files, and what it computes."""

    def __init__(self, name: str, folder: Path) -> None:
        self.case, self.folder = CASES[name], folder
        self.model: PreTrainedModel = random_model(self.case)
        write_folder(self.model, folder)
        with torch.inference_mode():
            self.logits = self.model(torch.tensor([IDS])).logits[0]

    def error_of(self, model: Decoder, *sizes: int) -> float:
        """The largest difference, as a share of the largest logit."""
        ours = run(model, IDS, *sizes)
        return float((ours - self.logits).abs().max() / self.logits.abs().max())

    @cached_property
    def opened(self) -> Checkpoint:
        """The model as we open its folder."""
        return open_checkpoint(str(self.folder))

    @cached_property
    def gguf(self) -> Checkpoint:
        """The model as we open it in GGUF."""
        file = self.folder.with_suffix(".gguf")
        write_family_gguf(self.model, file)
        return open_checkpoint(str(file))


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reference]:
    """One of each family, made when it is asked for."""
    return cache(lambda name: Reference(name, tmp_path_factory.mktemp("family") / "tiny"))


@pytest.mark.parametrize("pieces", PIECES.values(), ids=list(PIECES))
@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_transformers(
    references: Callable[[str], Reference], name: str, pieces: tuple[int, ...]
) -> None:
    """In PyTorch and in the kernels, uncached and behind cached tokens."""
    reference = references(name)
    checkpoint = reference.opened
    model = load_model(checkpoint, FP32, lambda _share: None)
    assert model.parameters == sum(weight.numel() for weight in reference.model.parameters())
    assert reference.error_of(model, *pieces) < FROM_REFERENCE
    kernels = native(checkpoint, "fp32", threads=1, long_passes=False)
    assert reference.error_of(kernels, *pieces) < FROM_REFERENCE


@pytest.mark.parametrize("wanted", ["bf16", "int8", "int4"])
@pytest.mark.parametrize("name", [name for name in CASES if "," not in name])
def test_other_formats_compute_what_pytorch_makes_of_their_weights(
    references: Callable[[str], Reference], name: str, wanted: str
) -> None:
    """A prompt, few tokens, one; ``engine/kernels/test_model`` has further sizes."""
    checkpoint = references(name).opened
    model = native(checkpoint, wanted, threads=1, long_passes=False)
    assert_close(run(model, IDS, 64, 5, 1, 1, 1), run(rounded(checkpoint, wanted), IDS), wanted)


@pytest.mark.parametrize("name", SAID_IN_GGUF)
def test_gguf_computes_what_transformers_computes(
    references: Callable[[str], Reference], name: str
) -> None:
    """As the gguf package writes it."""
    reference = references(name)
    model = native(reference.gguf, "fp32", threads=1, long_passes=False)
    assert reference.error_of(model) < FROM_REFERENCE


@pytest.mark.parametrize("name", CASES)
def test_an_export_is_the_model_again(
    references: Callable[[str], Reference], name: str, tmp_path: Path
) -> None:
    """In a folder, and in GGUF if that can say it; numbers of GGUF are fp32."""
    checkpoint = references(name).opened
    huggingface_writer.write_checkpoint(checkpoint, tmp_path, torch.float32, "", lambda *_: None)
    assert_same(open_checkpoint(str(tmp_path)), checkpoint, tolerance=1e-6)
    file = tmp_path / "tiny.gguf"
    if name in SAID_IN_GGUF:
        gguf_writer.write_checkpoint(checkpoint, file, "F32", None, lambda *_: None)
        assert_same(open_checkpoint(str(file)), references(name).gguf, tolerance=0)
    else:
        with pytest.raises(UnsupportedModelError, match="export it as safetensors"):
            gguf_writer.write_checkpoint(checkpoint, file, "F32", None, lambda *_: None)


def assert_same(ours: Checkpoint, theirs: Checkpoint, tolerance: float) -> None:
    """In architecture and values."""
    assert ours.architecture == theirs.architecture
    assert ours.tensors.keys() == theirs.tensors.keys()
    for name, source in ours.tensors.items():
        expected = theirs.tensors[name].read(torch.float32)
        torch.testing.assert_close(source.read(torch.float32), expected, rtol=0, atol=tolerance)


def test_a_wrong_model_would_be_noticed(references: Callable[[str], Reference]) -> None:
    """Each trait of each family, taken away, changes logits far beyond the tolerance."""
    for name, traits in TRAITS.items():
        reference = references(name)
        checkpoint = reference.opened
        for trait, value in traits.items():
            other = replace(checkpoint.architecture, **{trait: value})
            model = load_model(replace(checkpoint, architecture=other), FP32, lambda _share: None)
            assert reference.error_of(model) > 100 * FROM_REFERENCE, (name, trait)
