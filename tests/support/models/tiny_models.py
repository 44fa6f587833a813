"""Small random Llama models, written by other people's code: gguf's writer, transformers."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np
from k_quants import quantized

from midfill.weights.architecture import BytePairVocabulary, LlamaArchitecture
from midfill.weights.families import expected_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import LlamaForCausalLM

TINY_ARCHITECTURE = LlamaArchitecture(
    num_hidden_layers=2,
    hidden_size=32,
    intermediate_size=64,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    vocab_size=264,
    rope_theta=100000.0,
    rms_norm_eps=1e-5,
    max_position_embeddings=256,
    tie_word_embeddings=False,
)

TYPES = ("Q8_0", "Q4_1", "F16", "F32", "BF16")
"""Types of the matrices, in turn; vectors are F32."""


def byte_alphabet() -> list[str]:
    """GPT-2's printable stand-in for each byte, in the order of the bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def tiny_vocabulary() -> BytePairVocabulary:
    """Two control tokens, the 256 bytes and four merges."""
    merges = (("i", "n"), ("r", "e"), ("t", "u"), ("re", "tu"))
    merged = [left + right for left, right in merges]
    return BytePairVocabulary(
        tokens=("<|endoftext|>", "<fim_prefix>", *byte_alphabet(), *merged),
        merges=merges,
        special=frozenset({0, 1}),
        pre_tokenizer="smollm",
        bos_id=None,
        eos_ids=frozenset({0}),
    )


def random_tensors(architecture: LlamaArchitecture, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Values for every tensor of the architecture, with transformers' names and row order.

    The arrays are shared, and cannot be written to.
    """
    return dict(_random_tensors(architecture, seed))


@lru_cache(maxsize=16)
def _random_tensors(architecture: LlamaArchitecture, seed: int) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(seed)
    tensors = {
        name: generator.standard_normal(shape).astype(np.float32) * 0.1
        for name, shape in expected_shapes(architecture).items()
    }
    for array in tensors.values():
        array.flags.writeable = False
    return tensors


def gguf_keys(
    architecture: LlamaArchitecture, vocabulary: BytePairVocabulary
) -> dict[str, str | bool | int | float | list[Any]]:
    """The metadata that llama.cpp's converter writes for such a model."""
    a = architecture
    return {
        "general.type": "model",
        "general.quantization_version": 2,
        "llama.block_count": a.num_hidden_layers,
        "llama.context_length": a.max_position_embeddings,
        "llama.embedding_length": a.hidden_size,
        "llama.feed_forward_length": a.intermediate_size,
        "llama.attention.head_count": a.num_attention_heads,
        "llama.attention.head_count_kv": a.num_key_value_heads,
        "llama.rope.freq_base": a.rope_theta,
        "llama.rope.dimension_count": a.head_dim,
        "llama.attention.layer_norm_rms_epsilon": a.rms_norm_eps,
        "llama.vocab_size": a.vocab_size,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": vocabulary.pre_tokenizer,
        "tokenizer.ggml.tokens": list(vocabulary.tokens),
        "tokenizer.ggml.token_type": [
            3 if index in vocabulary.special else 1 for index in range(len(vocabulary.tokens))
        ],
        "tokenizer.ggml.merges": [" ".join(merge) for merge in vocabulary.merges],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": min(vocabulary.eos_ids),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
    }


def write_gguf(
    path: Path,
    *,
    architecture: LlamaArchitecture = TINY_ARCHITECTURE,
    vocabulary: BytePairVocabulary | None = None,
    keys: Mapping[str, object] = {},
    tensors: Mapping[str, NDArray[Any] | None] = {},
    types: tuple[str, ...] = TYPES,
    kind: str = "llama",
    tensors_a_part: int = 0,
) -> dict[str, NDArray[Any]]:
    """Write a random model and return its values: unquantized, in transformers' names and order.

    Args:
        path: Where to.
        architecture: The shape of the model.
        vocabulary: Its tokenizer; by default ``tiny_vocabulary()``.
        keys: Metadata to put in, or with None to leave out.
        tensors: The same for tensors, by the GGUF name, F32.
        types: Those of the matrices, in turn.
        kind: ``general.architecture``.
        tensors_a_part: If not 0, the file is cut into parts, named as ``gguf-split`` does it.
    """
    writer = gguf.GGUFWriter(path, kind, split_max_tensors=tensors_a_part)
    values = gguf_keys(architecture, vocabulary or tiny_vocabulary())
    for key, value in (values | dict(keys)).items():
        _add_key(writer, key, value)
    plain = random_tensors(architecture)
    stored = _stored_tensors(architecture, plain, types)
    stored |= {name: ("F32", value) for name, value in tensors.items()}
    for name, (type_name, value) in stored.items():
        if value is not None:
            quantization = gguf.GGMLQuantizationType[type_name]
            raw = quantized(value, type_name)
            writer.add_tensor(name, raw, raw_dtype=quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return plain


def _add_key(writer: gguf.GGUFWriter, key: str, value: object) -> None:
    adders = {
        str: writer.add_string,
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        list: writer.add_array,
    }
    if value is not None:
        adders[type(value)](key, value)


def _stored_tensors(
    architecture: LlamaArchitecture, plain: Mapping[str, NDArray[Any]], types: tuple[str, ...]
) -> dict[str, tuple[str, NDArray[Any] | None]]:
    names = _names_of_tensors(gguf.MODEL_ARCH.LLAMA, architecture.num_hidden_layers)
    stored: dict[str, tuple[str, NDArray[Any] | None]] = {}
    for index, (name, value) in enumerate(plain.items()):
        type_name = types[index % len(types)] if value.ndim == 2 else "F32"
        permuted = permute_as_llama_cpp(architecture, name, value)
        stored[names.get_name(name, try_suffixes=(".weight",))] = (type_name, permuted)
    return stored


_names_of_tensors = cache(gguf.get_tensor_name_map)
"""The library's table of names, which takes it longer than the rest of a tiny file."""


def permute_as_llama_cpp(
    architecture: LlamaArchitecture, name: str, value: NDArray[Any]
) -> NDArray[Any]:
    """What llama.cpp's converter does to query and key rows: halves become neighbours."""
    heads = {
        "q_proj.weight": architecture.num_attention_heads,
        "k_proj.weight": architecture.num_key_value_heads,
    }.get(".".join(name.split(".")[-2:]))
    if heads is None:
        return value
    rows = [
        head * architecture.head_dim + half * architecture.head_dim // 2 + pair
        for head in range(heads)
        for pair in range(architecture.head_dim // 2)
        for half in range(2)
    ]
    return value[rows]


def write_llama_folder(
    path: Path,
    *,
    seed: int = 0,
    max_shard_size: str = "20KB",
    dtype: str = "float32",
    **config: Any,
) -> LlamaForCausalLM:
    """Let transformers write a small random model, without a tokenizer, and return the model.

    By default it has grouped heads, RoPE base 1e6, an untied head, and several shards.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    defaults: dict[str, Any] = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        "tie_word_embeddings": False,
    }
    torch.manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig(**(defaults | config))).to(getattr(torch, dtype)).eval()
    model.save_pretrained(path, max_shard_size=max_shard_size)
    return model
