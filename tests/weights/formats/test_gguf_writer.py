"""GGUF files that we wrote, read back: the same tensors and tokens, and llama.cpp's keys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import gguf
import pytest
import torch
from tiny_engine import SHAPE, tiny_checkpoint
from tiny_models import write_gguf
from tiny_tokenizers import FIM_MARKERS, code_llama_tokenizer_data, tiny_byte_level_vocabulary

from midfill.engine.prompt.dialects import DIALECTS
from midfill.weights.architecture import LlamaArchitecture, RopeScaling
from midfill.weights.errors import UnsupportedModelError
from midfill.weights.formats.gguf import read_checkpoint
from midfill.weights.formats.gguf_writer import write_checkpoint
from midfill.weights.formats.tokenizer.roles import GGUF_ROLES

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.weights.architecture import Checkpoint

FP32 = torch.float32
NAMES = list(tiny_byte_level_vocabulary().tokens)


def written(checkpoint: Checkpoint, file: Path, type_name: str = "F32") -> Checkpoint:
    """The checkpoint, written and read."""
    write_checkpoint(checkpoint, file, type_name, None, lambda _done, _total: None)
    return read_checkpoint(file, checkpoint.name)


def keys_of(file: Path) -> dict[str, object]:
    """The metadata, read by the library."""
    return {key: field.contents() for key, field in gguf.GGUFReader(file).fields.items()}


def rounded(architecture: LlamaArchitecture) -> LlamaArchitecture:
    """With its numbers as fp32 has them."""
    theta, eps = torch.tensor([architecture.rope_theta, architecture.rms_norm_eps]).tolist()
    return replace(architecture, rope_theta=theta, rms_norm_eps=eps)


@pytest.mark.parametrize("tied", [True, False])
def test_tensors_come_back_exactly(tmp_path: Path, *, tied: bool) -> None:
    """In fp32, with query and key rows in the order that they had."""
    checkpoint = tiny_checkpoint(replace(SHAPE, tie_word_embeddings=tied))
    again = written(checkpoint, tmp_path / "tiny.gguf")
    assert again.architecture == rounded(checkpoint.architecture)
    for name, tensor in checkpoint.tensors.items():
        assert torch.equal(again.tensors[name].read(FP32), tensor.read(FP32)), name


def test_rows_are_stored_as_llama_cpps_converter_stores_them(tmp_path: Path) -> None:
    """A file that its convention wrote, rewritten by us, has the same bytes in each tensor."""
    write_gguf(tmp_path / "theirs.gguf", types=("F32",))
    ours = tmp_path / "ours.gguf"
    written(read_checkpoint(tmp_path / "theirs.gguf", "tiny"), ours)
    theirs = {t.name: t for t in gguf.GGUFReader(tmp_path / "theirs.gguf").tensors}
    tensors = gguf.GGUFReader(ours).tensors
    assert {tensor.name for tensor in tensors} == theirs.keys()
    for tensor in tensors:
        assert tensor.data.tobytes() == theirs[tensor.name].data.tobytes(), tensor.name


def test_bf16_rounds_as_torch_does(tmp_path: Path) -> None:
    """And leaves vectors in fp32, as llama.cpp wants them."""
    checkpoint = tiny_checkpoint()
    again = written(checkpoint, tmp_path / "tiny.gguf", "BF16")
    for name, tensor in checkpoint.tensors.items():
        dtype = torch.bfloat16 if len(tensor.shape) == 2 else FP32
        assert torch.equal(again.tensors[name].read(dtype), tensor.read(dtype)), name


def test_q8_0_comes_back_nearly(tmp_path: Path) -> None:
    """Within half a step, which is the largest weight of a block by 127."""
    checkpoint = tiny_checkpoint()
    again = written(checkpoint, tmp_path / "tiny.gguf", "Q8_0")
    name = "model.layers.1.self_attn.k_proj.weight"
    blocks = again.tensors[name].blocks()
    assert blocks is not None
    assert blocks[0] == "Q8_0"
    values = checkpoint.tensors[name].read(FP32)
    error = (again.tensors[name].read(FP32) - values).abs().max()
    assert 0 < error < values.abs().max() / 127


def test_progress_goes_from_the_first_tensor_to_the_last_byte(tmp_path: Path) -> None:
    """Bytes written, bytes in all."""
    seen: list[tuple[int, int]] = []
    checkpoint = tiny_checkpoint()
    write_checkpoint(checkpoint, tmp_path / "a.gguf", "F32", None, lambda *both: seen.append(both))
    done, totals = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert set(totals) == {done[-1]}
    assert len(seen) == len(checkpoint.tensors)


def test_tokens_keep_their_ids_and_spare_rows_get_unused_ones(tmp_path: Path) -> None:
    """Llama.cpp counts a token for each row of the embedding."""
    checkpoint = tiny_checkpoint()
    again = written(checkpoint, tmp_path / "tiny.gguf").tokenizer
    spare = range(1200, 1216)
    assert again == replace(
        tiny_byte_level_vocabulary(),
        tokens=(*NAMES, *(f"[PAD{index}]" for index in spare)),
        special=tiny_byte_level_vocabulary().special | set(spare),
        eos_ids=frozenset({0, NAMES.index("<fim_end>")}),
    )
    types = keys_of(tmp_path / "tiny.gguf")["tokenizer.ggml.token_type"]
    assert isinstance(types, list)
    assert [types[NAMES.index(marker)] for marker in FIM_MARKERS] == [3] * len(FIM_MARKERS)
    assert (types[300], types[1200]) == (1, 5)


def test_the_infilling_tokens_are_named_as_llama_cpp_asks_for_them(tmp_path: Path) -> None:
    """``llama_vocab_fim_pre`` and so on; ``eot`` ends what is generated."""
    written(tiny_checkpoint(), tmp_path / "tiny.gguf")
    keys = keys_of(tmp_path / "tiny.gguf")
    assert {role: keys[f"tokenizer.ggml.{role}_token_id"] for role in GGUF_ROLES} == {
        "fim_pre": NAMES.index("<fim_prefix>"),
        "fim_suf": NAMES.index("<fim_suffix>"),
        "fim_mid": NAMES.index("<fim_middle>"),
        "fim_rep": NAMES.index("<repo_name>"),
        "fim_sep": NAMES.index("<file_sep>"),
        "eot": NAMES.index("<fim_end>"),
    }
    assert keys["tokenizer.ggml.add_bos_token"] is False
    assert keys["general.name"] == "tiny"


def test_the_roles_are_those_of_our_dialect() -> None:
    """One row of the engine's table, which the weights cannot import."""
    dialect = DIALECTS["midfill"]
    roles = ("fim_pre", "fim_suf", "fim_mid")
    assert tuple(GGUF_ROLES[role] for role in roles) == dialect.markers
    assert (GGUF_ROLES["fim_rep"], GGUF_ROLES["fim_sep"]) == dialect.file_markers


def test_a_vocabulary_without_infilling_tokens_has_no_such_roles(tmp_path: Path) -> None:
    """Llama-server then says itself that the model cannot infill."""
    plain = replace(tiny_byte_level_vocabulary(), special=frozenset({0}))
    written(tiny_checkpoint(tokenizer=plain), tmp_path / "tiny.gguf")
    assert not [key for key in keys_of(tmp_path / "tiny.gguf") if "fim" in key or "eot" in key]


def test_a_bos_token_is_asked_for_where_the_model_has_one(tmp_path: Path) -> None:
    """As in the vocabulary."""
    vocabulary = replace(tiny_byte_level_vocabulary(), bos_id=5)
    again = written(tiny_checkpoint(tokenizer=vocabulary), tmp_path / "tiny.gguf")
    assert again.tokenizer.bos_id == 5


def test_linear_scaling_of_the_rotary_angles_is_kept(tmp_path: Path) -> None:
    """Its factor is all there is."""
    scaled = replace(SHAPE, rope_scaling=RopeScaling("linear", 4.0))
    again = written(tiny_checkpoint(scaled), tmp_path / "tiny.gguf")
    assert again.architecture.rope_scaling == scaled.rope_scaling


def test_the_licence_is_in_the_file_if_it_is_known(tmp_path: Path) -> None:
    """In lower case, as on model hubs."""
    file = tmp_path / "tiny.gguf"
    write_checkpoint(tiny_checkpoint(), file, "F32", "Apache-2.0", lambda _done, _total: None)
    assert keys_of(file)["general.license"] == "apache-2.0"


def test_what_gguf_cannot_hold_is_refused(tmp_path: Path) -> None:
    """With what to do instead."""
    scaled = replace(SHAPE, rope_scaling=RopeScaling("llama3", 8.0))
    with pytest.raises(UnsupportedModelError, match=r"'llama3'.* as safetensors"):
        written(tiny_checkpoint(scaled), tmp_path / "a.gguf")
    with pytest.raises(UnsupportedModelError, match=r"SentencePiece model.* as safetensors"):
        written(tiny_checkpoint(tokenizer=code_llama_tokenizer_data()), tmp_path / "b.gguf")
    narrow = replace(SHAPE, hidden_size=40, num_attention_heads=5, num_key_value_heads=5)
    with pytest.raises(UnsupportedModelError, match=r"is 40 wide; Q8_0 needs a multiple of 32"):
        written(tiny_checkpoint(narrow), tmp_path / "c.gguf", "Q8_0")
