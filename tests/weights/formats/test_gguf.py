"""GGUF files: what was written comes back, and what is not understood is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import TINY_ARCHITECTURE, permute_as_llama_cpp, tiny_vocabulary, write_gguf

from midfill.engine.model.rope import inverse_frequencies
from midfill.weights.architecture import (
    BytePairVocabulary,
    Checkpoint,
    LlamaArchitecture,
    RopeScaling,
)
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.formats.gguf import (
    PLAIN_TYPES,
    QUANTIZED_TYPES,
    GgufTensor,
    _Reader,
    canonical_row_order,
    read_checkpoint,
)
from midfill.weights.stored import StoredArray, state_of

if TYPE_CHECKING:
    from pathlib import Path

QUERY = "model.layers.0.self_attn.q_proj.weight"
QUERY_STORED = "blk.0.attn_q.weight"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the test's model goes."""
    return tmp_path / "tiny.gguf"


def written(file: Path, **changes: Any) -> Checkpoint:
    """A tiny model with these changes, written and read back."""
    write_gguf(file, **changes)
    return read_checkpoint(file, "tiny")


def with_keys(file: Path, **keys: object) -> Checkpoint:
    """The same with changed metadata; ``__`` in a name is a dot."""
    return written(file, keys={name.replace("__", "."): value for name, value in keys.items()})


def vocabulary_of(checkpoint: Checkpoint) -> BytePairVocabulary:
    """The checkpoint's tokenizer, as the only kind that GGUF files give."""
    assert isinstance(checkpoint.tokenizer, BytePairVocabulary)
    return checkpoint.tokenizer


def test_the_architecture_is_what_was_written(file: Path) -> None:
    """The one value that GGUF keeps as fp32 is rounded."""
    checkpoint = written(file)
    assert checkpoint.architecture == replace(
        TINY_ARCHITECTURE, rms_norm_eps=pytest.approx(1e-5, rel=1e-6)
    )
    assert (checkpoint.name, checkpoint.path, checkpoint.dialect) == ("tiny", file, None)


def test_the_vocabulary_is_what_was_written(file: Path) -> None:
    """Token for token, the special ones and the end of text too."""
    assert written(file).tokenizer == tiny_vocabulary()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_tensor_comes_back_within_its_type(file: Path, dtype: torch.dtype) -> None:
    """In all types, with the names and the row order of transformers."""
    values = write_gguf(file)
    tensors = read_checkpoint(file, "tiny").tensors
    assert tensors.keys() == values.keys()
    for name, tensor in tensors.items():
        read = tensor.read(dtype)
        assert read.dtype == dtype
        assert read.is_contiguous()
        assert tuple(read.shape) == tensor.shape == values[name].shape
        # 4 bits over a range of at most 0.9 in a block: half a step of 0.9 / 15.
        assert np.abs(read.float().numpy() - values[name]).max() < 0.03


def test_plain_tensors_come_back_exactly(file: Path) -> None:
    """Nothing is rounded where nothing is quantized."""
    values = write_gguf(file, types=("F32",))
    for name, tensor in read_checkpoint(file, "tiny").tensors.items():
        assert np.array_equal(tensor.read(torch.float32).numpy(), values[name])


def test_reading_twice_gives_tensors_of_their_own(file: Path) -> None:
    """Writing to one leaves the file alone."""
    tensor = written(file).tensors["model.norm.weight"]
    tensor.read(torch.float32).zero_()
    assert tensor.read(torch.float32).abs().sum() > 0


@pytest.mark.parametrize("type_name", ["Q8_0", "Q4_1"])
def test_blocks_hold_the_rows_in_canonical_order(file: Path, type_name: str) -> None:
    """A kernel that reads the blocks sees the same matrix as read() gives."""
    for name, tensor in written(file, types=(type_name,)).tensors.items():
        blocks = tensor.blocks()
        if len(tensor.shape) == 1:
            assert blocks is None
            continue
        assert blocks is not None
        assert blocks[0] == type_name
        kind = gguf.GGMLQuantizationType[type_name]
        values = gguf.dequantize(blocks[1], kind)
        assert np.array_equal(values, tensor.read(torch.float32).numpy()), name


@pytest.mark.parametrize("type_name", sorted(PLAIN_TYPES))
def test_plain_types_have_no_blocks(file: Path, type_name: str) -> None:
    """Float types are read, not unpacked."""
    assert written(file, types=(type_name,)).tensors[QUERY].blocks() is None


@pytest.mark.parametrize("type_name", sorted(QUANTIZED_TYPES))
def test_every_type_reads_as_the_library_dequantizes_it(file: Path, type_name: str) -> None:
    """Also those that the library cannot quantize to: from random blocks, in rows of three."""
    kind = gguf.GGMLQuantizationType[type_name]
    block_values, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    data = np.random.default_rng(1).integers(0, 256, (6, 3 * block_bytes), dtype=np.uint8)
    data.tofile(file)
    stored = StoredArray(file, state_of(file.stat()), 0, data.shape, "uint8")
    tensor = GgufTensor(type_name, (6, 3 * block_values), stored, None)
    with np.errstate(all="ignore"):
        read, expected = tensor.read(torch.float32).numpy(), gguf.dequantize(data, kind)
    assert np.array_equal(read, expected, equal_nan=True)


@given(heads=st.integers(1, 9), pairs=st.integers(1, 16))
def test_the_row_order_undoes_llama_cpps(heads: int, pairs: int) -> None:
    """For all head counts and widths; the other direction is written out in tiny_models."""
    shape = replace(TINY_ARCHITECTURE, num_attention_heads=heads, head_dim=2 * pairs)
    rows = np.arange(heads * 2 * pairs)
    stored = permute_as_llama_cpp(shape, QUERY, rows)
    assert np.array_equal(stored[canonical_row_order(len(rows), heads)], rows)


def test_our_reader_and_the_librarys_see_the_same_file(file: Path) -> None:
    """The faster way through the metadata gives the same fields, of every kind."""
    write_gguf(file, keys={"general.languages": ["en", "日本"], "general.some": [1.5, 2.5]})
    ours, theirs = _Reader(file), gguf.GGUFReader(file)
    assert list(ours.fields) == list(theirs.fields)
    for key, field in theirs.fields.items():
        assert ours.fields[key].contents() == field.contents()
        assert ours.fields[key].types == field.types
    for our, their in zip(ours.tensors, theirs.tensors, strict=True):
        assert our.name == their.name
        assert np.array_equal(our.data, their.data)


def test_a_file_without_an_output_matrix_is_tied(file: Path) -> None:
    """That is how llama.cpp says it."""
    checkpoint = written(file, architecture=replace(TINY_ARCHITECTURE, tie_word_embeddings=True))
    assert checkpoint.architecture.tie_word_embeddings
    assert "lm_head.weight" not in checkpoint.tensors


def test_absent_keys_take_llama_cpps_defaults(file: Path) -> None:
    """Files leave out what is as usual."""
    full = replace(TINY_ARCHITECTURE, num_key_value_heads=4, vocab_size=262, rope_theta=10000.0)
    absent = ("attention.head_count_kv", "vocab_size", "rope.freq_base", "rope.dimension_count")
    keys = {f"llama.{key}": None for key in absent} | {"tokenizer.ggml.add_bos_token": None}
    checkpoint = written(file, architecture=full, keys=keys)
    assert replace(checkpoint.architecture, rms_norm_eps=1e-5) == full
    assert vocabulary_of(checkpoint).bos_id is None


def test_a_head_width_of_its_own_is_read(file: Path) -> None:
    """It need not be the width of the model divided by the heads."""
    wide = replace(TINY_ARCHITECTURE, head_dim=16)
    keys = {"llama.attention.key_length": 16, "llama.attention.value_length": 16}
    checkpoint = written(file, architecture=wide, keys=keys)
    assert checkpoint.tensors[QUERY].shape == (64, 32)


@pytest.mark.parametrize(
    ("kind", "factor", "scaling"),
    [
        ("linear", 4.0, RopeScaling("linear", 4.0)),
        (None, 4.0, RopeScaling("linear", 4.0)),
        ("linear", 1.0, None),
        ("none", 4.0, None),
        (None, None, None),
    ],
)
def test_linear_rope_scaling_is_read_as_llama_cpp_does(
    file: Path, kind: str | None, factor: float | None, scaling: RopeScaling | None
) -> None:
    """Where only a factor is given, the type is linear."""
    checkpoint = with_keys(
        file, llama__rope__scaling__type=kind, llama__rope__scaling__factor=factor
    )
    assert checkpoint.architecture.rope_scaling == scaling


def test_the_bos_id_is_there_when_the_file_asks_for_it(file: Path) -> None:
    """Even if the file has an id, most byte-level models are not fed it."""
    keys = {"tokenizer.ggml.add_bos_token": True, "tokenizer.ggml.bos_token_id": 1}
    assert vocabulary_of(written(file, keys=keys)).bos_id == 1


def test_declared_and_well_known_ends_of_text_are_all_ends(file: Path) -> None:
    """Chat models end with another token than base models; both must stop."""
    tokens = list(tiny_vocabulary().tokens)
    tokens[1] = "<|im_end|>"
    keys = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.eos_token_id": 5,
        "tokenizer.ggml.eot_token_id": 6,
    }
    assert vocabulary_of(written(file, keys=keys)).eos_ids == {0, 1, 5, 6}


def test_unused_and_unknown_tokens_are_special_too(file: Path) -> None:
    """None of them ever comes from user text."""
    types = [3, 3, *[1] * 258, 2, 5]
    vocabulary = vocabulary_of(with_keys(file, tokenizer__ggml__token_type=types))
    assert vocabulary.special == {0, 1, 260, 261}


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("general.type", "adapter", "general.type is 'adapter'"),
        ("general.quantization_version", 1, "quantization_version is 1"),
        ("split.count", 3, "split.count is 3"),
        ("llama.attention.sliding_window_pattern", 6, "pattern is 6; .* not implement"),
        ("llama.attention.scale", 0.1, "attention.scale is 0.1.*; .* not implement"),
        ("llama.rope.scaling.yarn_log_multiplier", 0.1, "yarn_log_multiplier is"),
        ("llama.attention.value_length", 16, "value_length is 16; midfill implements 8 only"),
        ("llama.rope.dimension_count", 4, "dimension_count is 4; midfill implements 8 only"),
        ("llama.rope.scaling.type", "longrope", "'longrope'; .* linear, none, yarn"),
        ("llama.rope.scaling.yarn_ext_factor", 0.5, "ext_factor is 0.5; midfill implements 1.0"),
        ("llama.rope.scaling.attn_factor", 2.0, "attn_factor is 2.0; midfill implements 1.0"),
        ("llama.expert_count", 8, "expert_count is 8; midfill implements 0 only"),
        ("tokenizer.ggml.model", "bert", "midfill implements gpt2, llama .*SentencePiece"),
        ("tokenizer.ggml.pre", "viking", "pre is 'viking'; .* qwen35, refact, smollm, .*tekken"),
        ("tokenizer.ggml.pre", None, "pre is 'default'"),
        ("tokenizer.ggml.add_space_prefix", True, "add_space_prefix is True"),
        ("tokenizer.ggml.precompiled_charsmap", [1], "precompiled_charsmap is"),
        ("tokenizer.ggml.token_type", [4] * 262, "'.+' has the type 4, which"),
    ],
)
def test_what_could_change_the_result_is_refused(
    file: Path, key: str, value: object, message: str
) -> None:
    """Each key by its name, and with the value that would do."""
    with pytest.raises(UnsupportedModelError, match=message):
        written(file, keys={key: value})


def test_another_architecture_is_refused_by_name(file: Path) -> None:
    """Its name is in the message."""
    with pytest.raises(UnsupportedModelError, match=r"architecture is 'falcon'; .* llama, qwen"):
        written(file, kind="falcon")


def test_llama_3s_rotary_angles_stand_among_the_tensors(file: Path) -> None:
    """What its converter writes there gives the angles of the rule that config.json asks for."""
    rule = RopeScaling("llama3", 8.0, 1.0, 4.0, original_context_length=64)
    plain = inverse_frequencies(TINY_ARCHITECTURE)
    ruled = inverse_frequencies(replace(TINY_ARCHITECTURE, rope_scaling=rule))
    checkpoint = written(file, tensors={"rope_freqs.weight": (plain / ruled).numpy()})
    assert not torch.equal(plain, ruled)
    torch.testing.assert_close(inverse_frequencies(checkpoint.architecture), ruled)
    assert "rope_freqs.weight" not in checkpoint.tensors


@pytest.mark.parametrize("divisors", [[1, 1, 1], [1, 1, 1, 0], [1, 1, 1, np.nan]])
def test_rotary_angles_must_be_a_number_for_each_pair(file: Path, divisors: list[float]) -> None:
    """Finite and over 0; and nothing else may stretch them."""
    with pytest.raises(CorruptModelError, match=r"rope_freqs.weight must be 4 finite numbers"):
        written(file, tensors={"rope_freqs.weight": np.array(divisors, np.float32)})
    stretched = {"llama.rope.scaling.factor": 2.0}
    with pytest.raises(UnsupportedModelError, match=r"beside rope.scaling is not implemented"):
        written(file, tensors={"rope_freqs.weight": np.ones(4, np.float32)}, keys=stretched)


def test_a_tensor_type_that_is_not_implemented_is_refused(file: Path) -> None:
    """Ternary weights, here."""
    wide = replace(TINY_ARCHITECTURE, hidden_size=256, intermediate_size=256, head_dim=64)
    with pytest.raises(UnsupportedModelError, match=r"is of type TQ1_0; midfill implements"):
        written(file, architecture=wide, types=("TQ1_0",))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("llama.block_count", None, "llama.block_count is missing"),
        ("llama.block_count", 3, "lacks the tensors: model.layers.2"),
        ("llama.attention.head_count_kv", [2, 2], r"head_count_kv is \[2, 2\]"),
        ("llama.attention.head_count_kv", 3, "4 query heads cannot share 3"),
        ("llama.vocab_size", 300, r"embed_tokens.weight has the shape \(264, 32\), not \(300"),
        ("tokenizer.ggml.token_type", [1], "262 tokens, 1 token types"),
        ("tokenizer.ggml.merges", ["ab"], "the merge 'ab' is not two tokens"),
        ("tokenizer.ggml.merges", ["a b c"], "the merge 'a b c' is not two tokens"),
        ("tokenizer.ggml.eos_token_id", 262, "eos_token_id is 262; ids end at 261"),
    ],
)
def test_what_does_not_fit_together_is_corrupt(
    file: Path, key: str, value: object, message: str
) -> None:
    """Keys against keys, and keys against tensors."""
    with pytest.raises(CorruptModelError, match=message):
        written(file, keys={key: value})


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({QUERY_STORED: None}, f"lacks the tensors: {QUERY}"),
        ({"blk.0.attn_q.bias": np.ones(32, np.float32)}, "beyond .*: blk.0.attn_q.bias"),
        ({"model.norm.weight": np.ones(32, np.float32)}, "beyond .*: model.norm.weight"),
        ({QUERY_STORED: np.ones((31, 32), np.float32)}, r"has the shape \(31, 32\), not"),
    ],
)
def test_missing_left_over_and_misshapen_tensors_are_corrupt(
    file: Path, tensors: dict[str, Any], message: str
) -> None:
    """Also a tensor that already has its name in transformers."""
    with pytest.raises(CorruptModelError, match=message):
        written(file, tensors=tensors)


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_corrupt(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    """Wherever it ends."""
    file = tmp_path_factory.getbasetemp() / "truncated.gguf"
    if not file.exists():
        write_gguf(file)
    whole = file.read_bytes()
    part = file.with_name("part.gguf")
    part.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CorruptModelError, match="is not a whole GGUF file"):
        read_checkpoint(part, "part")


def test_an_array_of_arrays_is_corrupt(file: Path) -> None:
    """The library has no way to tell its shape."""
    with pytest.raises(CorruptModelError, match=r"an array of ARRAY"):
        written(file, keys={"general.nested": [[1, 2], [3]]})


def test_more_tokens_than_rows_of_the_embedding_are_corrupt(file: Path) -> None:
    """Some tokens would have no embedding."""
    with pytest.raises(CorruptModelError, match=r"262 tokens, .* an embedding of 100 rows"):
        written(file, architecture=replace(TINY_ARCHITECTURE, vocab_size=100))


def test_a_file_of_the_other_byte_order_is_refused(file: Path) -> None:
    """Its quantized blocks would come out wrong, silently."""
    writer = gguf.GGUFWriter(file, "llama", endianess=gguf.GGUFEndian.BIG)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedModelError, match="the other byte order"):
        read_checkpoint(file, "big")


@pytest.mark.real_model
def test_the_real_file_is_what_its_registry_entry_says(real_model_path: Path) -> None:
    """The shape of SmolLM2 135M, and its two ends of text."""
    checkpoint = read_checkpoint(real_model_path, "real")
    assert checkpoint.architecture == LlamaArchitecture(
        num_hidden_layers=30,
        hidden_size=576,
        intermediate_size=1536,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        vocab_size=49152,
        rope_theta=100000.0,
        rms_norm_eps=float(np.float32(1e-5)),
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )
    vocabulary = vocabulary_of(checkpoint)
    assert (len(vocabulary.tokens), len(vocabulary.merges)) == (49152, 48900)
    assert vocabulary.special == set(range(17))
    assert (vocabulary.bos_id, vocabulary.eos_ids) == (None, {0, 2})
