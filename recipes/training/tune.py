"""Teach an infill model one repository: a LoRA adapter trained on its files, and a measured gain.

The adapter of the model goes on being trained (so the result lies over the same base), on holes in
the repository's files. A tenth of the files is held out; on them the loss is measured now and then,
the best state is kept, and the run ends when the loss has risen for a while or the time is used up.
Before and after, the model also fills holes of whole lines in the held-out files, as a user gets
them, and those it fills exactly are counted.
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING

import torch

from midfill.engine import CompletionRequest, EngineConfig, Scope, open_engine
from midfill.recipes.training.config import Stage, TrainConfig
from midfill.recipes.training.examples import ExampleConfig, Examples, with_fim_tokens
from midfill.recipes.training.holes import SourceText
from midfill.recipes.training.output import load_adapter, write_adapter
from midfill.recipes.training.shards import Repeated, TokenRow
from midfill.recipes.training.state import Training, join_group
from midfill.recipes.training.steps import Stepper
from midfill.weights import registry, shipped
from midfill.weights.architecture import BytePairVocabulary
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import InvalidRequestError, UnsupportedModelError
from midfill.weights.formats.adapter_config import read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from midfill.recipes.training.examples import Document

HELD_OUT = 10
"""Files of which one is held out, by the hash of its path."""
LEAST_CHARACTERS = 2000
"""Characters of a repository that is worth learning."""


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """How to tune."""

    minutes: float = 10.0
    """Minutes of training and measuring, about."""
    most_steps: int = 100_000
    learning_rate: float = 3e-4
    step_tokens: int = 2048
    validate_steps: int = 8
    patience: int = 3
    """Measurements without a new best before the run ends."""
    holes: int = 40
    """Lines that are filled before and after."""
    rows: int = 2000
    """Examples of the repository; they are used again when all were."""
    held_out_rows: int = 48
    longest: int = 640
    """Tokens of an example."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a model does on held-out files."""

    loss: float
    """The mean loss of the tokens of middles, in nats."""
    exact: int
    """Lines filled exactly, blanks at their ends aside."""
    holes: int

    @property
    def perplexity(self) -> float:
        """The perplexity of the tokens of middles."""
        return math.exp(self.loss)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of it."""

    before: Quality
    after: Quality
    steps: int
    """Steps to the state that was kept."""
    tokens: int
    ended: str
    """Why it ended: ``time``, ``steps`` or ``held-out loss``."""

    @property
    def is_better(self) -> bool:
        """Whether the adapter is worth using."""
        return self.after.loss < self.before.loss


def hold_out(documents: Sequence[Document]) -> list[Document]:
    """The same documents, a tenth of them, but at least one, marked as held out.

    Raises:
        InvalidRequestError: there is too little to learn from.
    """
    size = sum(len(document.text) for document in documents)
    if len(documents) < 2 or size < LEAST_CHARACTERS:
        raise InvalidRequestError(
            f"{len(documents)} source files with {size} characters are too few to learn from:"
            f" tuning needs two files and {LEAST_CHARACTERS} characters"
        )
    hashes = [sha256(document.path.encode()).digest() for document in documents]
    held = {h for h in hashes if h[0] % HELD_OUT == 0} or {min(hashes)}
    held -= {max(hashes)}  # something is left to learn from
    return [replace(d, held_out=h in held) for d, h in zip(documents, hashes, strict=True)]


@dataclass(slots=True)
class _Best:
    """The state with the least loss so far, and when it was reached."""

    loss: float
    state: list[torch.Tensor]
    step: int = 0
    tokens: int = 0


class _Deadline:
    """How much of some minutes is over."""

    def __init__(self, minutes: float) -> None:
        self._started, self._seconds = time.monotonic(), 60 * minutes

    @property
    def spent(self) -> float:
        """The share, 1 at most."""
        return min(1.0, (time.monotonic() - self._started) / self._seconds)


class Tuner:
    """Tunes one model on one repository.

    Args:
        documents: The repository's files, some held out.
        model: A registry name or path.
        adapter: The folder that goes on being trained; None: the registry's.
        config: How.

    Raises:
        UnsupportedModelError: the model has no adapter to go on with.
    """

    def __init__(
        self, documents: Sequence[Document], model: str, adapter: Path | None, config: TuneConfig
    ) -> None:
        self._config, self._documents = config, documents
        base, self._folder = _base_and_adapter(model, adapter)
        settings = _train_config(base, self._folder, config)
        self._training = Training(settings, join_group())
        load_adapter(self._training, self._folder)
        vocabulary = self._training.base.tokenizer
        assert isinstance(vocabulary, BytePairVocabulary), "training has looked"
        shape = replace(ExampleConfig(), infill_rate=0.95)
        self._examples = Examples(with_fim_tokens(vocabulary), documents, shape)
        self._base = base
        self._held_out = self._rows(config.held_out_rows, config.seed + 1, held_out=True)
        self._holes = self._lines()

    def run(self, out: Path, on_progress: Callable[[str, float], None]) -> Tuned:
        """Tune, and write the best adapter to a folder if it is better than the one before.

        Args:
            out: The folder for the adapter.
            on_progress: Called with what is being done and the share of the time that is over.
        """
        deadline = _Deadline(self._config.minutes)
        on_progress("measuring before", 0.0)
        before = self._quality(self._folder)
        best = _Best(before.loss, self._state())
        ended = self._train(best, deadline, on_progress)
        if not best.step:
            return Tuned(before, before, 0, 0, ended)
        self._restore(best.state)
        write_adapter(self._training, out)
        on_progress("measuring after", 1.0)
        return Tuned(before, self._quality(out), best.step, best.tokens, ended)

    def _train(
        self, best: _Best, deadline: _Deadline, on_progress: Callable[[str, float], None]
    ) -> str:
        """Take steps and keep the best state; why it ended."""
        stepper = Stepper(self._training)
        (stage,) = self._training.config.stages
        rows = Repeated(self._rows(self._config.rows, self._config.seed, held_out=False))
        position = self._training.position
        worse = 0
        while deadline.spent < 1 and position.step < self._config.most_steps:
            stepper.step(stage, rows)
            on_progress(f"step {position.step}, held-out loss {best.loss:.3f}", deadline.spent)
            if position.step % self._config.validate_steps:
                continue
            loss = stepper.held_out(self._held_out)[0]
            if loss < best.loss:
                best.loss, best.state = loss, self._state()
                best.step, best.tokens, worse = position.step, position.tokens, 0
            else:
                worse += 1
            if worse == self._config.patience:
                return "held-out loss"
        return "time" if position.step < self._config.most_steps else "steps"

    def _quality(self, folder: Path) -> Quality:
        loss = Stepper(self._training).held_out(self._held_out)[0]
        engine = open_engine(EngineConfig(self._base, adapter=str(folder)))
        exact = 0
        with closing(engine):
            for request, middle in self._holes:
                text = "".join(chunk.text for chunk in engine.infill(request))
                exact += text.strip() == middle.strip()
        return Quality(loss, exact, len(self._holes))

    def _lines(self) -> list[tuple[CompletionRequest, str]]:
        """Holes of single lines in the held-out files, and what stands there."""
        rng = Random(self._config.seed)  # noqa: S311 (no secret)
        held = [document for document in self._documents if document.held_out]
        found: dict[tuple[str, int], tuple[CompletionRequest, str]] = {}
        for _ in range(20 * self._config.holes):
            document = rng.choice(held)
            hole = SourceText(document.text, document.language).hole(rng)
            if hole is None or hole.kind not in {"line", "rest of line"}:
                continue
            request = CompletionRequest(
                document.text[: hole.start],
                document.text[hole.end :],
                path=document.path,
                scope=Scope.MODEL,
                max_tokens=64,
            )
            found[document.path, hole.start] = request, document.text[hole.start : hole.end]
            if len(found) == self._config.holes:
                break
        return list(found.values())

    def _rows(self, count: int, seed: int, *, held_out: bool) -> list[TokenRow]:
        rng = Random(seed)  # noqa: S311 (no secret)
        documents = [d for d in self._documents if d.held_out == held_out]
        odds = [len(document.text) for document in documents]
        rows: list[TokenRow] = []
        for document in rng.choices(documents, odds, k=4 * count):
            example = self._examples.make(document, rng)
            if example is not None and len(example.ids) <= self._config.longest:
                ids = torch.tensor(example.ids, dtype=torch.int32).numpy()
                rows.append(TokenRow(ids, example.middle))
            if len(rows) == count:
                break
        return rows

    def _state(self) -> list[torch.Tensor]:
        return [parameter.detach().clone() for parameter in self._training.model.parameters()]

    def _restore(self, state: Sequence[torch.Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self._training.model.parameters(), state, strict=True):
                parameter.copy_(value)


def _base_and_adapter(model: str, adapter: Path | None) -> tuple[str, Path]:
    if adapter is not None:
        return model, adapter
    if model in {entry.name for entry in registry.entries()}:
        entry = registry.entry(model)
        if isinstance(entry, registry.AdaptedEntry):
            return entry.base.name, shipped.require(entry)
    raise UnsupportedModelError(
        f"{model} has no adapter that could be trained further: name"
        f" {registry.default_name()!r}, or a base with --adapter FOLDER"
    )


def _train_config(base: str, folder: Path, config: TuneConfig) -> TrainConfig:
    adapter = read_config(folder)
    if adapter.ranks or adapter.alphas or adapter.rank_stabilized or adapter.layers:
        raise UnsupportedModelError(
            f"{folder} has ranks or scales of its own for some matrices; tuning goes on with"
            " adapters of one rank and one scale"
        )
    adapted = open_checkpoint(base, str(folder)).architecture
    stage = Stage("tune", "", 1 << 40, config.learning_rate, config.learning_rate, 8192)
    return TrainConfig(
        "tuned",
        base,
        (stage,),
        rank=adapter.rank,
        alpha=adapter.alpha,
        rope_theta=adapted.rope_theta,
        max_position_embeddings=adapted.max_position_embeddings,
        step_tokens=config.step_tokens,
        seed=config.seed,
    )
