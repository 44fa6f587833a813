"""PEFT's LoRA adapters, laid over a checkpoint of any format.

A folder as ``save_pretrained`` writes it, where the last three files may be absent::

    adapter_config.json         what is adapted and how                    (adapter_config.py)
    adapter_model.safetensors   the factors of each update, and new rows of the embedding
    config.json                 the adapted model's: new tokens, another rotary base or length
    added_tokens.json           {"<fim_prefix>": 49152}: tokens behind those of the base
    importance.safetensors      what 4 bits should keep exactly            (importance.py)

Nothing is computed here: a matrix is merged when it is read, ``W + scale * B @ A`` in fp32 (Hu et
al. 2021, section 4.1), and what an adapter leaves alone stays what it is, quantized blocks too.
Tensor names, as in the file::

    base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight               (rank, in)
    base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight               (out, rank)
    base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta     (tokens, hidden)

PEFT calls the last one a delta, but it takes the rows' place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from midfill.weights.architecture import (
    BytePairVocabulary,
    Checkpoint,
)
from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.families import expected_shapes
from midfill.weights.formats.adapter_config import CONFIG, TENSORS, read_config
from midfill.weights.formats.config.architecture import read_architecture
from midfill.weights.formats.importance import IMPORTANCE, read_importance
from midfill.weights.formats.safetensors import open_file
from midfill.weights.formats.strict import Metadata, check_shapes, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from midfill.weights.architecture import LlamaArchitecture, TensorSource, TokenizerData
    from midfill.weights.formats.adapter_config import AdapterConfig

ADDED_TOKENS = "added_tokens.json"
PREFIX = "base_model.model."

EMBEDDINGS = {"embed_tokens": "model.embed_tokens", "lm_head": "lm_head"}
"""Modules with a row for each token, by their last name."""

ADAPTABLE = frozenset({"vocab_size", "rope_theta", "rope_scaling", "max_position_embeddings"})
"""Fields of the architecture in which the adapted model may differ from its base."""


@dataclass(frozen=True, slots=True)
class MergedMatrix:
    """A matrix with its low-rank update; see ``TensorSource``."""

    base: TensorSource
    left: TensorSource
    """B, (out, rank)."""
    right: TensorSource
    """A, (rank, in)."""
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The base's."""
        return self.base.shape

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """``W + scale * B @ A``, added up in fp32, in that dtype."""
        import torch

        wide = torch.float32
        weight = self.base.read(wide)
        weight.addmm_(self.left.read(wide), self.right.read(wide), alpha=self.scale)
        return weight.to(dtype)

    def blocks(self) -> tuple[str, NDArray[np.uint8]] | None:
        """None: the sum is no longer quantized."""
        return None


@dataclass(frozen=True, slots=True)
class PatchedRows:
    """A matrix with other rows for some tokens, or further ones; see ``TensorSource``."""

    base: TensorSource
    tokens: tuple[int, ...]
    rows: TensorSource
    """(tokens, hidden)."""
    shape: tuple[int, ...]

    def read(self, dtype: torch.dtype) -> torch.Tensor:
        """The rows of the base, and over or below them those of the tokens."""
        import torch

        matrix = torch.empty(self.shape, dtype=dtype)
        matrix[: self.base.shape[0]] = self.base.read(dtype)
        matrix[list(self.tokens)] = self.rows.read(dtype)
        return matrix

    def blocks(self) -> tuple[str, NDArray[np.uint8]] | None:
        """None: the new rows are not quantized."""
        return None


def apply(base: Checkpoint, folder: Path) -> Checkpoint:
    """The base with the adapter over it: nothing big is read or computed yet.

    New tokens are control tokens, and with them the engine chooses the dialect by the vocabulary.

    Raises:
        CorruptModelError: the folder's files do not fit together or with the base.
        UnsupportedModelError: another kind of adapter, or a setting that changes the result.
    """
    config = read_config(folder)
    tokenizer, tokens = _tokenizer(base, folder)
    architecture = _architecture(base, folder, tokens)
    _check_rows(config, base.architecture, architecture)
    shapes = expected_shapes(architecture)
    adapted = _adapted(config, architecture)
    found = _open(folder)
    shapes_found = {name: tensor.shape for name, tensor in found.items()}
    wrong_base = f"; the adapter was made for {config.base!r}, and the model is {base.name!r}"
    check_shapes(folder, _expected(config, adapted, shapes), shapes_found, wrong_base)
    merged: dict[str, TensorSource] = {
        f"{module}.weight": MergedMatrix(
            base.tensors[f"{module}.weight"],
            found[f"{module}.lora_B.weight"],
            found[f"{module}.lora_A.weight"],
            config.scale_of(module),
        )
        for module in adapted
    }
    for last_name, ids in config.token_rows.items():
        module = EMBEDDINGS[last_name]
        name, rows = f"{module}.weight", found[f"{module}.token_adapter.trainable_tokens_delta"]
        merged[name] = PatchedRows(base.tensors[name], ids, rows, shapes[name])
    importance = read_importance(folder, shapes) or base.importance
    files = (folder / CONFIG, folder / TENSORS, folder / IMPORTANCE)
    return replace(
        base,
        name=f"{base.name}+{folder.name}",
        architecture=architecture,
        tokenizer=tokenizer,
        tensors={**base.tensors, **merged},
        dialect=base.dialect if tokenizer == base.tokenizer else None,
        files=(*base.files, *(file for file in files if file.is_file())),
        importance=importance,
    )


def _open(folder: Path) -> Mapping[str, TensorSource]:
    """The adapter's tensors, without the prefix that they all have."""
    if not (folder / TENSORS).is_file() and (folder / "adapter_model.bin").is_file():
        raise UnsupportedModelError(
            f"{folder} has its weights in a .bin file, which can run code when it is read; load it "
            "with peft where you trust it, and save_pretrained() writes safetensors"
        )
    return {
        name.removeprefix(PREFIX): tensor for name, tensor in open_file(folder / TENSORS).items()
    }


def _adapted(config: AdapterConfig, architecture: LlamaArchitecture) -> list[str]:
    """The modules with a low-rank update."""
    matrices = [name for name, shape in expected_shapes(architecture).items() if len(shape) == 2]
    modules = [name.removesuffix(".weight") for name in matrices]
    adapted = {module for module in (*modules, "lm_head") if config.adapts(module)}
    tied = architecture.tie_word_embeddings or "lm_head" in config.token_rows
    for module in adapted & ({"model.embed_tokens"} | ({"lm_head"} if tied else set())):
        raise UnsupportedModelError(
            f"{config.origin}: target_modules has {module}; midfill implements updates of the"
            " layers' matrices and of an lm_head of its own, and trainable_token_indices for rows"
            " of an embedding"
        )
    if not adapted:
        raise CorruptModelError(
            f"{config.origin}: target_modules is {config.targets!r}, which names no matrix of the"
            f" model; the adapter was made for {config.base!r}"
        )
    return sorted(adapted)


def _expected(
    config: AdapterConfig, adapted: list[str], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """The tensors that the configuration promises."""
    expected: dict[str, tuple[int, ...]] = {}
    for module in adapted:
        rows, columns = shapes[f"{module}.weight"]
        rank = config.rank_of(module)
        expected[f"{module}.lora_A.weight"] = (rank, columns)
        expected[f"{module}.lora_B.weight"] = (rows, rank)
    for last_name, ids in config.token_rows.items():
        module = EMBEDDINGS[last_name]
        _, hidden = shapes[f"{module}.weight"]
        expected[f"{module}.token_adapter.trainable_tokens_delta"] = (len(ids), hidden)
    return expected


def _check_rows(config: AdapterConfig, base: LlamaArchitecture, adapted: LlamaArchitecture) -> None:
    """Refuse rows of tokens that the model has not, and new tokens without a row."""
    tables = {"embed_tokens"} if base.tie_word_embeddings else EMBEDDINGS.keys()
    unknown = config.token_rows.keys() - tables
    if unknown:
        raise UnsupportedModelError(
            f"{config.origin}: trainable_token_indices has {', '.join(sorted(unknown))}; this model"
            f" has {', '.join(sorted(tables))}"
        )
    for table in tables:
        ids = config.token_rows.get(table, ())
        outside = [token for token in ids if not 0 <= token < adapted.vocab_size]
        missing = set(range(base.vocab_size, adapted.vocab_size)) - set(ids)
        if outside or missing or len(set(ids)) < len(ids):
            raise CorruptModelError(
                f"{config.origin}: trainable_token_indices of {table} must have each new token"
                f" ({base.vocab_size} to {adapted.vocab_size - 1}) and others of the vocabulary,"
                f" each once; outside: {outside[:5]}, missing: {sorted(missing)[:5]}"
            )


def _architecture(base: Checkpoint, folder: Path, tokens: int) -> LlamaArchitecture:
    """The base's, with what the adapter may change."""
    ours, file = base.architecture, folder / "config.json"
    if not file.is_file():
        return replace(ours, vocab_size=max(ours.vocab_size, tokens))
    theirs = read_architecture(Metadata(file, read_json(file)))
    for field in fields(theirs):
        adapted, stated = getattr(theirs, field.name), getattr(ours, field.name)
        if field.name not in ADAPTABLE and not _same(adapted, stated):
            raise CorruptModelError(
                f"{file}: {field.name} is {adapted!r}, and in the model {base.name!r} it is"
                f" {stated!r}; an adapter may only change {', '.join(sorted(ADAPTABLE))}"
            )
    if theirs.vocab_size < max(ours.vocab_size, tokens):
        raise CorruptModelError(
            f"{file}: vocab_size is {theirs.vocab_size}; the model {base.name!r} has"
            f" {ours.vocab_size} rows, and there are {tokens} tokens"
        )
    return replace(ours, **{name: getattr(theirs, name) for name in ADAPTABLE})


def _same(one: object, other: object) -> bool:
    """Numbers up to fp32's rounding, which GGUF's have been through."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6)
    return one == other


def _tokenizer(base: Checkpoint, folder: Path) -> tuple[TokenizerData, int]:
    """The base's with the added tokens, and how many tokens it has (0: unknown, none added)."""
    file = folder / ADDED_TOKENS
    table = Metadata(file, read_json(file) if file.is_file() else {})
    added = sorted((table.integer(token, minimum=0), token) for token in table)
    data = base.tokenizer
    if isinstance(data, BytePairVocabulary):
        tokens = _with_added(data.tokens, added, f"{file}: the model {base.name!r}")
        new = frozenset(range(len(data.tokens), len(tokens)))
        return replace(data, tokens=tokens, special=data.special | new), len(tokens)
    if added:
        raise UnsupportedModelError(
            f"{file} adds tokens to a SentencePiece model; midfill implements this for byte-level"
            " BPE only"
        )
    return data, 0


def _with_added(known: tuple[str, ...], added: list[tuple[int, str]], base: str) -> tuple[str, ...]:
    """The tokens by id; those of the base may be named again."""
    tokens = list(known)
    for token_id, token in added:
        if token_id == len(tokens) and token not in known:
            tokens.append(token)
        elif token_id >= len(tokens) or tokens[token_id] != token:
            raise CorruptModelError(
                f"{base} has {len(known)} tokens, and {token} is to have the id {token_id}; new"
                " ones must follow without a gap, known ones keep their ids"
            )
    return tuple(tokens)
