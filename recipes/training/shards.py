"""Packed token shards: examples as flat arrays, ready to be trained on, here or elsewhere.

A shard is a NumPy archive ``shard-00000.npz``: ``ids`` (all rows, one behind the other, uint16),
``lengths`` of the rows and ``middles``, where each row's middle starts (both int32). Shards have
some ``SHARD_TOKENS`` tokens (2 MB), and each is drawn with a seed of its own: processes make them
side by side, and a training can begin with the first. ``index.json``, which appears beside the last
one, says what they were made from, so that a training run can name its data.

What is packed stands in a recipe (``midfill_135m.toml``); run
``python -P -m midfill.recipes.training.shards --help``.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rich.console import Console
from rich.progress import Progress

from midfill.recipes.training.config import read_config
from midfill.recipes.training.examples import (
    Document,
    Example,
    ExampleConfig,
    Examples,
    read_documents,
    with_fim_tokens,
)
from midfill.weights.architecture import BytePairVocabulary
from midfill.weights.checkpoint import open_checkpoint
from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from midfill.recipes.training.config import ShardConfig

SHARD_TOKENS = 1_000_000
INDEX = "index.json"
PATIENCE_S = 300.0
"""Seconds that a training waits for the next shard."""


def pack(
    documents: Sequence[Document],
    base: BytePairVocabulary,
    config: ShardConfig,
    out: Path,
    processes: int = 1,
) -> dict[str, Any]:
    """Write shards and their index; how many processes do it makes no difference to them.

    Args:
        documents: The corpus's, in its order.
        base: The vocabulary of the model to be trained, without the infilling tokens.
        config: What to pack.
        out: An empty or new folder.
        processes: How many pack side by side.

    Returns:
        The index.

    Raises:
        InvalidRequestError: the folder holds shards already.
    """
    if (out / INDEX).exists():
        raise InvalidRequestError(f"{out} holds shards already: name another folder")
    out.mkdir(parents=True, exist_ok=True)
    for left in out.glob("shard-*"):  # by a run that did not end, perhaps of other settings
        left.unlink()
    shape = ExampleConfig(
        prefix=config.prefix,
        suffix=config.suffix,
        spm_share=config.spm_share,
        context_share=config.context_share,
        most_pieces=config.most_pieces,
        use_rate=config.use_rate,
    )
    packer = _Packer(documents, Examples(with_fim_tokens(base), documents, shape), config, out)
    shards = []
    with Progress(console=Console(stderr=True)) as progress, _mapping(processes) as in_order:
        task = progress.add_task("packing", total=packer.count)
        for shard in in_order(packer.pack, range(packer.count)):
            shards.append(shard)
            progress.advance(task)
    kinds = sum((Counter(shard.kinds) for shard in shards), Counter[str]())
    index = {
        "config": asdict(config),
        "examples": asdict(shape),
        "documents_sha256": _fingerprint(documents),
        "rows": sum(shard.rows for shard in shards),
        "tokens": sum(shard.tokens for shard in shards),
        "middle_tokens": sum(shard.middle_tokens for shard in shards),
        "kinds": dict(sorted(kinds.items())),
        "shards": [shard.name for shard in shards],
    }
    (out / INDEX).write_text(json.dumps(index, indent=1) + "\n", "utf-8")
    return index


@dataclass(slots=True)
class _Shard:
    """What one of them holds."""

    name: str
    rows: int = 0
    tokens: int = 0
    middle_tokens: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


class _Packer:
    """Makes the shards of one folder, each on its own."""

    def __init__(
        self, documents: Sequence[Document], examples: Examples, config: ShardConfig, out: Path
    ) -> None:
        self.count = max(1, round(config.tokens / SHARD_TOKENS))
        self._documents, self._examples = documents, examples
        self._config, self._out = config, out

    def pack(self, number: int) -> _Shard:
        """Write a shard, whole or not at all."""
        rng = Random(f"{self._config.seed}/{number}")  # noqa: S311 (no secret)
        make = _long_rows if self._config.row_tokens else _rows
        shard, rows = _Shard(_shard_name(number)), []
        for row in make(self._examples, self._documents, self._config, rng):
            rows.append(row)
            shard.tokens += len(row.ids)
            shard.middle_tokens += len(row.ids) - row.middle
            shard.kinds[row.kind] += 1
            if shard.tokens >= self._config.tokens / self.count:
                break
        shard.rows = len(rows)
        unfinished = self._out / f"{shard.name}.unfinished"
        with unfinished.open("wb") as file:
            np.savez(
                file,
                ids=np.concatenate([np.array(row.ids, np.uint16) for row in rows]),
                lengths=np.array([len(row.ids) for row in rows], np.int32),
                middles=np.array([row.middle for row in rows], np.int32),
            )
        unfinished.rename(self._out / shard.name)
        return shard


def _shard_name(number: int) -> str:
    return f"shard-{number:05d}.npz"


_packing: list[Callable[[int], _Shard]] = []
"""The function of a process that was forked to pack; the documents came along at no cost."""


def _pack_here(number: int) -> _Shard:
    return _packing[-1](number)


@contextmanager
def _mapping(
    processes: int,
) -> Iterator[Callable[[Callable[[int], _Shard], Iterable[int]], Iterator[_Shard]]]:
    """``map`` over some processes, or the plain one where there is no fork."""
    if processes < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield map
        return

    def in_order(function: Callable[[int], _Shard], numbers: Iterable[int]) -> Iterator[_Shard]:
        fork = multiprocessing.get_context("fork")
        with fork.Pool(processes, _packing.append, (function,)) as pool:
            yield from pool.imap(_pack_here, numbers)

    yield in_order


def _rows(
    examples: Examples, documents: Sequence[Document], config: ShardConfig, rng: Random
) -> Iterator[Example]:
    """Examples of documents drawn by their length and their language's weight."""
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
    examples: Examples, documents: Sequence[Document], config: ShardConfig, rng: Random
) -> Iterator[Example]:
    """Whole files of a repository one behind the other, the last one with a hole (its end).

    Between them, examples.
    """
    repos: dict[str, list[Document]] = {}
    for document in documents:
        if document.held_out == config.held_out:
            repos.setdefault(document.repo, []).append(document)
    names = sorted(repos)
    odds = [sum(len(document.text) for document in repos[name]) for name in names]
    short = _rows(examples, documents, config, rng)
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


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One example, as it is trained on."""

    ids: NDArray[np.uint16]
    middle: int


class RowSource(Protocol):
    """Rows without end."""

    def __getitem__(self, index: int) -> TokenRow:
        """The row of any place from 0 on."""
        ...


@dataclass(frozen=True, slots=True)
class Repeated:
    """Some rows, and then again from the first."""

    rows: Sequence[TokenRow]

    def __getitem__(self, index: int) -> TokenRow:
        return self.rows[index % len(self.rows)]


class StoredRows:
    """The rows of a folder of shards, in order and then again from the first; read when asked for.

    Args:
        folder: A folder of shards.
        follow: Wait for shards that are still being packed.

    Raises:
        InvalidRequestError: the folder holds no shards, or no further ones come.
    """

    def __init__(self, folder: Path, *, follow: bool = False) -> None:
        if not follow and not (folder / INDEX).is_file():
            raise InvalidRequestError(
                f"{folder} holds no {INDEX}: make shards with recipes.training.shards, and --follow"
                " to start meanwhile"
            )
        self._folder = folder
        self._rows: list[TokenRow] = []
        self._shards = 0

    def __getitem__(self, index: int) -> TokenRow:
        while index >= len(self._rows) and self._read_shard():
            pass
        return self._rows[index % len(self._rows)]

    def first(self, count: int) -> list[TokenRow]:
        """So many rows, or all."""
        while len(self._rows) < count and self._read_shard():
            pass
        return self._rows[:count]

    def _read_shard(self) -> bool:
        """Read the next one; False if that was all."""
        path = self._folder / _shard_name(self._shards)
        waiting_since = time.monotonic()
        while not path.exists():
            if (self._folder / INDEX).exists():
                if path.exists():  # it was the last one, and came just now
                    break
                return False
            if time.monotonic() - waiting_since > PATIENCE_S:
                raise InvalidRequestError(
                    f"{path} does not come: is recipes.training.shards running?"
                )
            time.sleep(0.1)
        with np.load(path) as shard:
            ends = np.cumsum(shard["lengths"], dtype=np.int64)[:-1]
            parts = np.split(shard["ids"], ends)
            rows = zip(parts, shard["middles"], strict=True)
            self._rows += [TokenRow(ids, int(middle)) for ids, middle in rows]
        self._shards += 1
        return True


def read_rows(folder: Path) -> list[TokenRow]:
    """All rows of a folder of shards, in order.

    Raises:
        InvalidRequestError: it holds no shards.
    """
    return StoredRows(folder).first(sys.maxsize)


def _fingerprint(documents: Sequence[Document]) -> str:
    digest = sha256()
    for document in documents:
        digest.update(f"{document.repo}\0{document.path}\0{document.text}\0".encode())
    return digest.hexdigest()


def main(argv: Sequence[str] | None = None) -> None:
    """The command line: pack all shards of a recipe that are not there yet."""
    parser = argparse.ArgumentParser(description="Pack a corpus into a recipe's token shards.")
    parser.add_argument("recipe", type=Path, help="a TOML file, see recipes/training/config.py")
    parser.add_argument("documents", type=Path, help="documents.jsonl of recipes.corpus.make")
    parser.add_argument("out", type=Path, help="the folder that will hold the folders of shards")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="that pack (default: all cores)"
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="of the folders")
    args = parser.parse_args(argv)
    recipe = read_config(args.recipe)
    if unknown := sorted(set(args.only) - recipe.shards.keys()):
        raise InvalidRequestError(f"{args.recipe} has no [shards.{unknown[0]}]")
    base = open_checkpoint(recipe.base).tokenizer
    if not isinstance(base, BytePairVocabulary):
        raise InvalidRequestError(
            f"{recipe.base} has no byte-level vocabulary: name another base in {args.recipe}"
        )
    documents = list(read_documents(args.documents))
    for name in args.only or recipe.shards:
        config = recipe.shards[name]
        if not (args.out / name / INDEX).exists():
            pack(documents, base, config, args.out / name, args.processes)


if __name__ == "__main__":
    main()
