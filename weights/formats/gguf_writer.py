"""A checkpoint of any format as one GGUF file, for llama.cpp.

What ``gguf.py`` reads, the other way round: names, the order of query and key rows, metadata. Each
tensor is read, converted and written before the next one. Specification: the gguf.md document of
the ggml repository; which keys llama.cpp wants: its ``convert_hf_to_gguf.py``.
"""

from __future__ import annotations

import math
from contextlib import closing
from typing import TYPE_CHECKING, Any

import gguf
import numpy as np

from midfill.weights.architecture import BytePairVocabulary, yarn_attention_factor
from midfill.weights.errors import UnsupportedModelError
from midfill.weights.families import GRANITE, STARCODER2, family_of
from midfill.weights.formats.gguf import canonical_row_order
from midfill.weights.formats.gguf_vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED
from midfill.weights.formats.tokenizer.roles import gguf_roles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from midfill.weights.architecture import Checkpoint, LlamaArchitecture, TensorSource

FILE_TYPES = {
    "BF16": gguf.LlamaFileType.MOSTLY_BF16,
    "F32": gguf.LlamaFileType.ALL_F32,
    "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "Q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
"""The types that matrices can be written in, by GGUF's names; vectors are F32 in each."""


def write_checkpoint(
    checkpoint: Checkpoint,
    file: Path,
    type_name: str,
    licence: str | None,
    on_progress: Callable[[int, int], None],
) -> None:
    """Write the whole model.

    Args:
        checkpoint: With a byte-level BPE tokenizer.
        file: Is overwritten.
        type_name: Of the matrices, one of FILE_TYPES.
        licence: An SPDX expression, if it is known.
        on_progress: Called after each tensor with the bytes written and those in all.

    Raises:
        UnsupportedModelError: GGUF, or what is written of it here, cannot hold this model.
    """
    family = family_of(checkpoint.architecture)
    writer = gguf.GGUFWriter(file, family.gguf)
    _add_metadata(writer, checkpoint, type_name)
    if licence is not None:
        writer.add_license(licence.lower())
    kinds = {name: _kind_of(name, s, type_name) for name, s in checkpoint.tensors.items()}
    sizes = {name: _bytes(checkpoint.tensors[name], kind) for name, kind in kinds.items()}
    for name, source in checkpoint.tensors.items():
        plain = np.dtype(np.float32)  # the writer looks at it only where it is told no kind
        writer.add_tensor_info(family.to_gguf(name), source.shape, plain, sizes[name], kinds[name])
    with closing(writer):
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        done = 0
        for name, source in checkpoint.tensors.items():
            values = _stored(name, source, checkpoint.architecture)
            writer.write_tensor_data(gguf.quantize(values, kinds[name]))
            done += sizes[name]
            on_progress(done, sum(sizes.values()))


def _add_metadata(writer: Any, checkpoint: Checkpoint, type_name: str) -> None:
    a, vocabulary = checkpoint.architecture, checkpoint.tokenizer
    _refuse_unsaid(checkpoint)
    if not isinstance(vocabulary, BytePairVocabulary):
        raise UnsupportedModelError(
            f"the tokenizer of {checkpoint.name!r} is a SentencePiece model; midfill writes GGUF"
            " with byte-level BPE only: export it as safetensors"
        )
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(checkpoint.name)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_file_type(FILE_TYPES[type_name])
    writer.add_block_count(a.num_hidden_layers)
    writer.add_context_length(a.max_position_embeddings)
    writer.add_embedding_length(a.hidden_size)
    writer.add_feed_forward_length(a.intermediate_size)
    writer.add_head_count(a.num_attention_heads)
    writer.add_head_count_kv(a.num_key_value_heads)
    writer.add_key_length(a.head_dim)
    writer.add_value_length(a.head_dim)
    writer.add_rope_dimension_count(a.head_dim)
    writer.add_rope_freq_base(a.rope_theta)
    if a.family == STARCODER2.name:
        writer.add_layer_norm_eps(a.rms_norm_eps)
    else:
        writer.add_layer_norm_rms_eps(a.rms_norm_eps)
    if a.sliding_window:
        writer.add_sliding_window(a.sliding_window)
    _add_multipliers(writer, a)
    writer.add_vocab_size(a.vocab_size)
    _add_rope_scaling(writer, checkpoint)
    _add_vocabulary(writer, vocabulary, a.vocab_size)


def _add_rope_scaling(writer: Any, checkpoint: Checkpoint) -> None:
    scaling = checkpoint.architecture.rope_scaling
    if scaling is None:
        return
    if scaling.kind not in ("linear", "yarn") or not scaling.truncate:
        raise UnsupportedModelError(
            f"{checkpoint.name!r} scales its rotary angles by the rule {scaling.kind!r}; midfill"
            " writes linear scaling and whole yarn to GGUF only: export it as safetensors"
        )
    writer.add_rope_scaling_type(gguf.RopeScalingType(scaling.kind))
    writer.add_rope_scaling_factor(scaling.factor)
    if scaling.kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(scaling.original_context_length)
        writer.add_rope_scaling_yarn_beta_fast(scaling.beta_fast)
        writer.add_rope_scaling_yarn_beta_slow(scaling.beta_slow)
        usual = yarn_attention_factor(scaling.factor)
        writer.add_rope_scaling_attn_factors(scaling.attention_factor / usual)


def _refuse_unsaid(checkpoint: Checkpoint) -> None:
    """Refuse what changes the arithmetic, and is not said in a GGUF file of the family."""
    a, family = checkpoint.architecture, family_of(checkpoint.architecture)
    usual = family.unrotated_layers(a.num_hidden_layers)
    unsaid = {
        "activation": a.activation != family.activation,
        "full_attention_layers": a.sliding_window and a.full_attention_layers,
        "no_rope_layers": a.unrotated_layers != usual,
    }
    for key in (key for key, differs in unsaid.items() if differs):
        raise UnsupportedModelError(
            f"{checkpoint.name!r} has {key} of its own, which GGUF has no key for: export it as"
            " safetensors"
        )


def _add_multipliers(writer: Any, a: LlamaArchitecture) -> None:
    if a.family == GRANITE.name:
        writer.add_attention_scale(a.score_scale)
        writer.add_embedding_scale(a.embedding_multiplier)
        writer.add_residual_scale(a.residual_multiplier)
        writer.add_logit_scale(a.logits_scaling)


def _add_vocabulary(writer: Any, vocabulary: BytePairVocabulary, rows: int) -> None:
    """A token for each row of the embedding, as llama.cpp counts them; spare ones are unused."""
    names = [*vocabulary.tokens, *[""] * (rows - len(vocabulary.tokens))]
    kinds = dict.fromkeys(vocabulary.special, CONTROL)
    kinds |= dict.fromkeys(vocabulary.whole_characters, USER_DEFINED)
    types = [kinds.get(i, NORMAL) if name else UNUSED for i, name in enumerate(names)]
    first_end = min(vocabulary.eos_ids)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre_tokenizer)
    writer.add_token_list([name or f"[PAD{index}]" for index, name in enumerate(names)])
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(merge) for merge in vocabulary.merges])
    writer.add_bos_token_id(first_end if vocabulary.bos_id is None else vocabulary.bos_id)
    writer.add_eos_token_id(first_end)
    writer.add_add_bos_token(vocabulary.bos_id is not None)
    writer.add_add_space_prefix(False)  # noqa: FBT003  the library's signature
    for role, token_id in gguf_roles(vocabulary).items():
        writer.add_uint32(f"tokenizer.ggml.{role}_token_id", token_id)


def _kind_of(name: str, source: TensorSource, matrix_type: str) -> gguf.GGMLQuantizationType:
    if len(source.shape) == 1:
        return gguf.GGMLQuantizationType.F32
    kind = gguf.GGMLQuantizationType[matrix_type]
    block, _ = gguf.GGML_QUANT_SIZES[kind]
    if source.shape[1] % block:
        raise UnsupportedModelError(
            f"{name} is {source.shape[1]} wide; {matrix_type} needs a multiple of {block}: export"
            " it as bf16"
        )
    return kind


def _bytes(source: TensorSource, kind: gguf.GGMLQuantizationType) -> int:
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    size: int = math.prod(source.shape) // block * block_bytes
    return size


def _stored(
    name: str, source: TensorSource, architecture: LlamaArchitecture
) -> NDArray[np.float32]:
    """The values with query and key rows in GGUF's order."""
    import torch

    values: NDArray[np.float32] = source.read(torch.float32).numpy()
    heads = {
        "q_proj": architecture.num_attention_heads,
        "k_proj": architecture.num_key_value_heads,
    }.get(name.split(".")[-2])
    if heads is None or not family_of(architecture).rotates_neighbours:
        return values
    stored = np.empty_like(values)
    stored[canonical_row_order(len(values), heads)] = values
    return stored
