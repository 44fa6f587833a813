"""All settings of a training run, as one TOML file holds them: ``midfill_135m.toml`` is ours."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ShardConfig:
    """What to pack into a folder of shards (``recipes.training.shards``)."""

    tokens: int
    """Tokens at least, in whole rows."""
    seed: int = 0
    held_out: bool = False
    """Whether the documents are those held out, instead of the others."""
    languages: dict[str, float] = field(default_factory=dict)
    """How often a language's documents are drawn, relative to their bytes; 1 if not named."""
    row_tokens: tuple[int, ...] = ()
    """Tokens of rows, taken in turn, with documents of one repository behind each other, for long
    context; none: a row is an example."""
    example_share: float = 0.0
    """The share of tokens in single examples between long rows."""
    longest: int = 1024
    """Tokens of an example; longer ones are left out."""
    prefix: tuple[int, int] = (60, 1600)
    """Characters, least and most; drawn with an even logarithm."""
    suffix: tuple[int, int] = (24, 800)
    """Characters, least and most, likewise."""
    spm_share: float = 0.5
    """The share of holes laid out suffix first; the others are PSM."""
    context_share: float = 0.15
    """The share of holes that show other files of their repository."""
    most_pieces: int = 2
    """Parts of other files that such a hole shows, at most."""
    use_rate: float = 0.0
    """How often a third file is shown that uses a name in the hole which another file defines."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the run with data and a learning rate of its own."""

    name: str
    shards: str
    """The name of the recipe's shards, a folder in the run's data folder."""
    tokens: int
    """Tokens trained on, at least; in whole steps."""
    learning_rate: float
    """The rate at its start, after the warm-up."""
    last_learning_rate: float
    """The rate at its end; in between it changes linearly."""
    minutes: float = 0.0
    """Minutes of steps after which it ends with fewer tokens, its learning rate come down all the
    same; 0: it takes as long as it takes. What comes out then depends on the machine."""
    warmup_tokens: int = 0
    """Tokens while the learning rate rises from 0."""
    step_tokens: int = 0
    """Tokens of one optimizer step; 0: the run's."""
    end_weight: float = 1.0
    """The weight of the loss on the token that ends a middle: one in sixteen of a middle's tokens,
    and the last that a model which has seen few middles becomes sure of."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """One run, reproducible from this, its shards and the number of processes."""

    name: str
    """The name of the model that comes out."""
    base: str
    """A model of the registry, or a path."""
    stages: tuple[Stage, ...]
    shards: dict[str, ShardConfig] = field(default_factory=dict)
    """Shards by the names of their folders."""
    start: str = ""
    """The model whose LoRA update the run starts from: one of the registry that is an adapter, or
    an adapter's folder; empty: none."""
    rank: int = 32
    """The rank of the LoRA update of all matrices; 0 trains all weights."""
    alpha: float = 32.0
    """B A is multiplied by alpha / rank."""
    rope_theta: float = 0.0
    """The rope base to train with; 0 keeps the base model's."""
    max_position_embeddings: int = 0
    """Tokens that the model which comes out may read; 0 keeps the base model's."""
    dtype: str = "bf16"
    """The format of activations and fixed weights: bf16 or fp32. What is trained is fp32."""
    step_tokens: int = 4096
    """Tokens of one optimizer step, over all processes, at least."""
    batch_tokens: int = 640
    """Tokens of one forward and backward pass of one process, at most, unless one row has more. On
    a processor a batch should fit its cache."""
    recompute: bool = False
    """Compute each layer again in the backward pass instead of keeping its activations: a third
    more work, and memory for rows of 16,384 tokens."""
    around_weight: float = 0.0
    """The weight of the loss on tokens around a middle, but for a prefix that runs into it
    (``lay_out``); on middles it is 1. Where tokens are few, what is spent on them is better spent
    on middles; the papers have 1."""
    text_weight: float = 0.5
    """The weight of the loss on rows without a middle, which are read from left to right."""
    betas: tuple[float, float] = (0.9, 0.98)
    weight_decay: float = 0.0
    clip: float = 1.0
    """Greatest norm of the gradient."""
    seed: int = 0
    """The seed of the first values of what is trained."""
    validation: str = ""
    """A folder of shards whose first rows the loss is measured on; empty: none."""
    validation_rows: int = 64
    validate_steps: int = 50
    checkpoint_steps: int = 25
    sharded: bool = False
    """Shard parameters and optimizer over the processes (FSDP2), for models that need it."""


def read_config(path: Path) -> TrainConfig:
    """The settings of a run.

    Raises:
        InvalidRequestError: not TOML, or a key is missing, unknown or of no use.
    """
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidRequestError(f"{path} cannot be read as TOML: {error}") from error
    stages = tuple(_built(Stage, stage, path) for stage in raw.pop("stages", ()))
    if not stages:
        raise InvalidRequestError(f"{path} has no [[stages]]: add at least one")
    shards = {
        name: _built(ShardConfig, table, path) for name, table in raw.pop("shards", {}).items()
    }
    config: TrainConfig = _built(TrainConfig, raw | {"stages": stages, "shards": shards}, path)
    if config.dtype not in {"bf16", "fp32"}:
        raise InvalidRequestError(f"{path}: dtype is {config.dtype!r}; it must be bf16 or fp32")
    if config.rank < 0 or config.step_tokens < 1 or config.batch_tokens < 1:
        raise InvalidRequestError(
            f"{path}: rank is {config.rank}, step_tokens {config.step_tokens}, batch_tokens"
            f" {config.batch_tokens}; they must be at least 0, 1 and 1"
        )
    used = {stage.shards for stage in stages} | ({config.validation} - {""})
    if missing := sorted(used - shards.keys()):
        raise InvalidRequestError(f"{path} has no [shards.{missing[0]}]: say what is to be packed")
    return config


def _built(kind: type[Any], raw: dict[str, Any], path: Path) -> Any:
    known = {field.name for field in fields(kind)}
    if unknown := sorted(raw.keys() - known):
        raise InvalidRequestError(
            f"{path}: {', '.join(unknown)} is no setting of a {kind.__name__}; there are"
            f" {', '.join(sorted(known))}"
        )
    raw = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
    try:
        return kind(**raw)
    except TypeError as error:
        raise InvalidRequestError(f"{path}: {error}") from error
