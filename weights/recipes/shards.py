"""Packed token shards: examples as flat arrays, ready to be trained on, here or elsewhere.

A shard is a NumPy archive ``shard-00000.npz``: ``ids`` (all rows, one behind the other, uint16),
``lengths`` of the rows and ``middles``, where each row's middle starts (both int32). Shards stay
under ``SHARD_TOKENS`` tokens (8 MB). ``index.json`` beside them says what they were made from, so
that a training run can name its data.

What is packed stands in a recipe (``midfill_135m.toml``); run
``python -P -m midfill.weights.recipes.shards --help``.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from midfill.weights.architecture import BytePairVocabulary
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import InvalidRequestError
from midfill.weights.recipes.examples import (
    Document,
    Example,
    ExampleConfig,
    Examples,
    read_documents,
    with_fim_tokens,
)
from midfill.weights.recipes.train_config import read_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from midfill.weights.recipes.train_config import ShardConfig

SHARD_TOKENS = 4_000_000
INDEX = "index.json"


def pack(
    documents: Sequence[Document],
    base: BytePairVocabulary,
    config: ShardConfig,
    out: Path,
) -> dict[str, Any]:
    """Write shards and their index.

    Args:
        documents: Of the corpus, in its order.
        base: The vocabulary of the model to be trained, without the infilling tokens.
        config: What to pack.
        out: An empty or new folder.

    Returns:
        The index.

    Raises:
        InvalidRequestError: the folder holds shards already.
    """
    if (out / INDEX).exists():
        raise InvalidRequestError(f"{out} holds shards already: name another folder")
    out.mkdir(parents=True, exist_ok=True)
    shape = ExampleConfig(prefix=config.prefix, suffix=config.suffix)
    examples = Examples(with_fim_tokens(base), documents, shape)
    rows = _long_rows if config.row_tokens else _rows
    counts: Counter[str] = Counter()
    writer = _Writer(out)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("packing", total=config.tokens)
        for row in rows(examples, documents, config):
            writer.add(row)
            counts[row.kind] += 1
            progress.update(task, completed=writer.tokens)
            if writer.tokens >= config.tokens:
                break
    writer.close()
    index = {
        "config": asdict(config),
        "examples": asdict(shape),
        "documents_sha256": _fingerprint(documents),
        "rows": writer.rows,
        "tokens": writer.tokens,
        "middle_tokens": writer.middle_tokens,
        "kinds": dict(sorted(counts.items())),
        "shards": writer.names,
    }
    (out / INDEX).write_text(json.dumps(index, indent=1) + "\n", "utf-8")
    return index


def _rows(
    examples: Examples, documents: Sequence[Document], config: ShardConfig
) -> Iterator[Example]:
    """Examples of documents drawn by their length and their language's weight."""
    rng = Random(config.seed)  # noqa: S311 (no secret)
    drawn = [document for document in documents if document.held_out == config.held_out]
    odds = [
        min(len(document.text), 20_000) * config.languages.get(document.language, 1.0)
        for document in drawn
    ]
    while True:
        for document in rng.choices(drawn, odds, k=1000):
            example = examples.make(document, rng)
            if example is not None and len(example.ids) <= config.longest:
                yield example


def _long_rows(
    examples: Examples, documents: Sequence[Document], config: ShardConfig
) -> Iterator[Example]:
    """Whole files of a repository one behind the other, the last one with a hole (its end).

    Between them, examples.
    """
    rng = Random(config.seed)  # noqa: S311 (no secret)
    repos: dict[str, list[Document]] = {}
    for document in documents:
        if document.held_out == config.held_out:
            repos.setdefault(document.repo, []).append(document)
    names = sorted(repos)
    odds = [sum(len(document.text) for document in repos[name]) for name in names]
    short = _rows(examples, documents, config)
    tokens = short_tokens = 0
    for length in cycle(config.row_tokens):
        row = None
        while row is None:
            files = repos[rng.choices(names, odds)[0]]
            start = rng.randrange(len(files))
            row = examples.make_long(files[start:] + files[:start], length, rng)
        yield row
        tokens += len(row.ids)
        while short_tokens < config.example_share * (tokens + short_tokens):
            row = next(short)
            yield row
            short_tokens += len(row.ids)


class _Writer:
    """Collects rows, writes a shard whenever one is full."""

    def __init__(self, out: Path) -> None:
        self.rows = self.tokens = self.middle_tokens = 0
        self.names: list[str] = []
        self._out = out
        self._waiting: list[Example] = []
        self._waiting_tokens = 0

    def add(self, row: Example) -> None:
        self._waiting.append(row)
        self._waiting_tokens += len(row.ids)
        self.rows += 1
        self.tokens += len(row.ids)
        self.middle_tokens += len(row.ids) - row.middle
        if self._waiting_tokens >= SHARD_TOKENS:
            self.close()

    def close(self) -> None:
        if not self._waiting:
            return
        name = f"shard-{len(self.names):05d}.npz"
        ids = np.concatenate([np.array(row.ids, np.uint16) for row in self._waiting])
        lengths = np.array([len(row.ids) for row in self._waiting], np.int32)
        middles = np.array([row.middle for row in self._waiting], np.int32)
        with (self._out / name).open("wb") as file:
            np.savez(file, ids=ids, lengths=lengths, middles=middles)
        self.names.append(name)
        self._waiting, self._waiting_tokens = [], 0


@dataclass(frozen=True, slots=True)
class Row:
    """One example, as it is trained on."""

    ids: NDArray[np.uint16]
    middle: int


def read_rows(folder: Path) -> list[Row]:
    """All rows of a folder of shards, in order.

    Raises:
        InvalidRequestError: it holds no shards.
    """
    if not (folder / INDEX).is_file():
        raise InvalidRequestError(f"{folder} holds no {INDEX}: make shards with recipes.shards")
    index = json.loads((folder / INDEX).read_text("utf-8"))
    rows: list[Row] = []
    for name in index["shards"]:
        with np.load(folder / name) as shard:
            ends = np.cumsum(shard["lengths"], dtype=np.int64)[:-1]
            parts = np.split(shard["ids"], ends)
            rows += [Row(i, int(m)) for i, m in zip(parts, shard["middles"], strict=True)]
    return rows


def _fingerprint(documents: Sequence[Document]) -> str:
    digest = sha256()
    for document in documents:
        digest.update(f"{document.repo}\0{document.path}\0{document.text}\0".encode())
    return digest.hexdigest()


def main() -> None:
    """The command line: pack all shards of a recipe that are not there yet."""
    parser = argparse.ArgumentParser(description="Pack a corpus into a recipe's token shards.")
    parser.add_argument("recipe", type=Path, help="a TOML file, see train_config.py")
    parser.add_argument("documents", type=Path, help="documents.jsonl of recipes.corpus")
    parser.add_argument("out", type=Path, help="the folder that will hold the folders of shards")
    args = parser.parse_args()
    recipe = read_config(args.recipe)
    base = open_checkpoint(recipe.base).tokenizer
    if not isinstance(base, BytePairVocabulary):
        raise InvalidRequestError(
            f"{recipe.base} has no byte-level vocabulary: name another base in {args.recipe}"
        )
    documents = list(read_documents(args.documents))
    for name, config in recipe.shards.items():
        if not (args.out / name / INDEX).exists():
            pack(documents, base, config, args.out / name)


if __name__ == "__main__":
    main()
