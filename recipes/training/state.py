"""What a training run is made of: its model, its optimizer, where it stands, and its checkpoints.

Invariant: a run that was stopped and resumed does the same steps as one that was not
(test_a_resumed_run_ends_where_an_unbroken_one_does).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import fully_shard

from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.recipes.training.examples import FIM_TOKENS
from midfill.recipes.training.model import LoraConfig, TrainedModel
from midfill.weights.architecture import BytePairVocabulary
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.recipes.training.config import Stage, TrainConfig
    from midfill.weights.architecture import Checkpoint

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
_SEPARATORS = ("<repo_name>", "<file_sep>", "<jupyter_code>", "<|endoftext|>")
"""Known control tokens: the new ones' embeddings start at their mean."""


@dataclass(slots=True)
class Position:
    """The place where a run stands; plain values, saved with every checkpoint."""

    step: int = 0
    stage: int = 0
    row: int = 0
    """Rows of the stage's data that were used, counted over its passes."""
    stage_tokens: int = 0
    stage_seconds: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    """Seconds spent on steps, in all runs of it together."""
    log: list[dict[str, Any]] = field(default_factory=list)

    def has_done(self, stage: Stage) -> bool:
        """Whether the stage that it stands in is over."""
        is_late = stage.minutes > 0 and self.stage_seconds >= 60 * stage.minutes
        return is_late or self.stage_tokens >= stage.tokens


@dataclass(frozen=True, slots=True)
class Group:
    """The processes that train together; one alone if torchrun did not start it."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add the tensor up over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def total(self, value: float) -> float:
        """The sum of a number over all processes."""
        if self.size == 1:
            return value
        return self.sum(torch.tensor(value, dtype=torch.float64, device=self.device)).item()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


def join_group() -> Group:
    """Join the processes that torchrun started, if it did: nccl on GPUs, else gloo."""
    has_gpu = torch.cuda.is_available()
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if has_gpu else torch.device("cpu")
    if has_gpu:
        torch.cuda.set_device(device)
    if "RANK" not in os.environ:
        return Group(0, 1, device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if has_gpu else "gloo")
    return Group(dist.get_rank(), dist.get_world_size(), device)


class Training:
    """Model and optimizer of a run.

    Args:
        config: The run's settings.
        group: Who trains.

    Raises:
        InvalidRequestError: the base has no byte-level vocabulary, or a head of its own.
        ModelNotAvailableError: the base cannot be opened.
    """

    def __init__(self, config: TrainConfig, group: Group) -> None:
        self.config, self.group = config, group
        self.position = Position()
        self.base = open_checkpoint(config.base)
        torch.manual_seed(config.seed)
        self.model = _model(self.base, config).to(group.device)
        if config.sharded:
            for layer in self.model.blocks():
                fully_shard(layer)
            fully_shard(self.model)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=0.0,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=group.device.type == "cuda",
        )

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all; all processes must call it."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        model, optimizer = get_state_dict(self.model, self.optimizer, options=options)
        if self.group.leads:
            position = {name: getattr(self.position, name) for name in Position.__slots__}
            unfinished = path.with_suffix(".unfinished")
            torch.save({"model": model, "optimizer": optimizer, "position": position}, unfinished)
            unfinished.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, on any number of processes."""
        saved = torch.load(path, map_location="cpu", weights_only=True)
        set_state_dict(
            self.model,
            self.optimizer,
            model_state_dict=saved["model"],
            optim_state_dict=saved["optimizer"],
            options=StateDictOptions(full_state_dict=True),
        )
        self.position = Position(**saved["position"])

    def prove_checkpoints(self, path: Path) -> None:
        """Save, change and load once, so that no long run starts that could not be resumed.

        Raises:
            RuntimeError: what was loaded is not what was saved.
        """
        before = [parameter.detach().clone() for parameter in self.model.parameters()]
        self.save(path)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.add_(1.0)
        self.group.wait()
        self.load(path)
        after = self.model.parameters()
        if not all(torch.equal(b, a) for b, a in zip(before, after, strict=True)):
            raise RuntimeError(f"the checkpoint {path} does not give back what was saved")


def _model(base: Checkpoint, config: TrainConfig) -> TrainedModel:
    if not isinstance(base.tokenizer, BytePairVocabulary):
        raise InvalidRequestError(f"{config.base} has no byte-level vocabulary: name another base")
    architecture = replace(
        base.architecture,
        vocab_size=len(base.tokenizer.tokens) + len(FIM_TOKENS),
        rope_theta=config.rope_theta or base.architecture.rope_theta,
        max_position_embeddings=(
            config.max_position_embeddings or base.architecture.max_position_embeddings
        ),
    )
    if not architecture.tie_word_embeddings:
        raise InvalidRequestError(
            f"{config.base} has a head of its own: name a base with a tied one"
        )
    tokenizer = open_tokenizer(base.tokenizer)
    like = [i for name in _SEPARATORS if (i := tokenizer.special_id(name)) is not None]
    dtype = DTYPES[config.dtype]
    tensors = {name: source.read(dtype) for name, source in base.tensors.items()}
    lora = LoraConfig(config.rank, config.alpha) if config.rank else None
    model = TrainedModel(architecture, tensors, lora, dtype, like)
    model.recompute = config.recompute
    return model
