"""Shards: what is packed is what is read, and the index says what it was made from."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_corpus import tiny_base_vocabulary, tiny_documents, write_tiny_base

from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.recipes.training import shards
from midfill.recipes.training.config import ShardConfig
from midfill.recipes.training.examples import with_fim_tokens
from midfill.recipes.training.shards import StoredRows, pack, read_rows
from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path

SMALL = ShardConfig(3000, seed=1)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """SMALL becomes four of them."""
    monkeypatch.setattr(shards, "SHARD_TOKENS", 750)


def tokens_of(folder: Path) -> list[int]:
    """All of a folder."""
    return np.concatenate([row.ids for row in read_rows(folder)]).tolist()


@pytest.mark.usefixtures("small_shards")
def test_however_many_processes_pack_the_shards_are_the_same(tmp_path: Path) -> None:
    """Each shard has its own random numbers."""
    documents, base = tiny_documents(), tiny_base_vocabulary()
    index = pack(documents, base, SMALL, tmp_path / "one")

    assert pack(documents, base, SMALL, tmp_path / "two", 2) == index
    assert index["shards"] == [f"shard-{number:05d}.npz" for number in range(4)]
    assert tokens_of(tmp_path / "one") == tokens_of(tmp_path / "two")
    firsts = [np.load(tmp_path / "one" / name)["ids"][:200].tolist() for name in index["shards"]]
    assert firsts[0] != firsts[1]


@pytest.mark.usefixtures("small_shards")
def test_rows_are_in_order_and_begin_again_behind_the_last(tmp_path: Path) -> None:
    """Over several shards."""
    index = pack(tiny_documents(), tiny_base_vocabulary(), SMALL, tmp_path)
    stored, every = StoredRows(tmp_path), read_rows(tmp_path)

    asked = [stored[place] for place in range(index["rows"] + 3)]

    for row, expected in zip(asked, every + every[:3], strict=True):
        assert row.ids.tolist() == expected.ids.tolist()
        assert row.middle == expected.middle


@pytest.mark.usefixtures("small_shards")
def test_shards_are_read_while_others_are_still_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting is given up when none has come for long."""
    pack(tiny_documents(), tiny_base_vocabulary(), SMALL, tmp_path / "whole")
    (growing := tmp_path / "growing").mkdir()
    arriving = iter(sorted((tmp_path / "whole").glob("*.npz")))

    def arrive(_: float) -> None:
        path = next(arriving, None)
        if path:
            path.rename(growing / path.name)

    monkeypatch.setattr(shards.time, "sleep", arrive)
    monkeypatch.setattr(shards, "PATIENCE_S", 0.05)
    rows = StoredRows(growing, follow=True)

    assert len(rows[0].ids) > 0
    assert len(list(growing.iterdir())) == 1
    with pytest.raises(InvalidRequestError, match=r"shard-00004\.npz does not come"):
        rows[10_000]
    assert len(list(growing.iterdir())) == 4


def test_the_index_counts_what_the_shards_hold(tmp_path: Path) -> None:
    """Rows, tokens, those of middles, kinds."""
    index = pack(tiny_documents(), tiny_base_vocabulary(), SMALL, tmp_path)
    rows = read_rows(tmp_path)

    assert json.loads(json.dumps(index)) == json.loads((tmp_path / "index.json").read_text())
    assert index["tokens"] == sum(len(row.ids) for row in rows) >= SMALL.tokens
    assert index["middle_tokens"] == sum(len(row.ids) - row.middle for row in rows)
    assert sum(index["kinds"].values()) == index["rows"] == len(rows)


def test_the_seed_and_the_documents_decide_everything(tmp_path: Path) -> None:
    """The same ones give the same rows, another seed gives others."""
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        config = replace(SMALL, seed=seed)
        pack(tiny_documents(), tiny_base_vocabulary(), config, tmp_path / name)
    a, b, c = (np.concatenate([row.ids for row in read_rows(tmp_path / n)]) for n in "abc")

    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_held_out_documents_are_packed_only_when_asked_for(tmp_path: Path) -> None:
    """And then they alone."""
    other = [replace(document, repo="known") for document in tiny_documents()[:1]]
    held = replace(tiny_documents()[4], text="held_out_name = 1\n" * 40)
    documents = [*other, held]
    base = tiny_base_vocabulary()
    pack(documents, base, SMALL, tmp_path / "in")
    pack(documents, base, replace(SMALL, held_out=True), tmp_path / "out")
    tokenizer = open_tokenizer(with_fim_tokens(base))
    trained, tested = (
        b"".join(tokenizer.token_bytes(i) for row in read_rows(tmp_path / n) for i in row.ids)
        for n in ("in", "out")
    )
    assert b"side" in trained
    assert b"held_out" not in trained
    assert b"held_out" in tested
    assert b"side" not in tested


def test_no_example_is_longer_than_asked(tmp_path: Path) -> None:
    """Long ones are left out, not cut."""
    pack(tiny_documents(), tiny_base_vocabulary(), replace(SMALL, longest=80), tmp_path)

    assert max(len(row.ids) for row in read_rows(tmp_path)) <= 80


def test_long_rows_have_their_lengths_in_turn(tmp_path: Path) -> None:
    """Files of one repository fill them."""
    documents = [document for document in tiny_documents() if document.repo == "areas"] * 5
    config = replace(SMALL, row_tokens=(500, 300))
    pack(documents, tiny_base_vocabulary(), config, tmp_path)

    assert [len(row.ids) for row in read_rows(tmp_path)] == [500, 300] * 4


def test_examples_stand_between_long_rows(tmp_path: Path) -> None:
    """With the share of the tokens that was asked for."""
    documents = [document for document in tiny_documents() if document.repo == "areas"] * 5
    config = ShardConfig(6000, row_tokens=(500,), longest=200, example_share=0.25)
    index = pack(documents, tiny_base_vocabulary(), config, tmp_path)

    short = sum(len(row.ids) for row in read_rows(tmp_path) if len(row.ids) != 500)
    assert 0.2 < short / index["tokens"] < 0.3
    assert len(read_rows(tmp_path)[0].ids) == 500


def test_shards_are_not_mixed_with_others(tmp_path: Path) -> None:
    """A folder is packed once."""
    pack(tiny_documents(), tiny_base_vocabulary(), SMALL, tmp_path)

    with pytest.raises(InvalidRequestError, match="another folder"):
        pack(tiny_documents(), tiny_base_vocabulary(), SMALL, tmp_path)


def test_what_a_broken_run_left_is_no_part_of_the_next(tmp_path: Path) -> None:
    """It may have been of other settings."""
    left = [tmp_path / "shard-00007.npz", tmp_path / "shard-00000.npz.unfinished"]
    for path in left:
        path.write_bytes(b"")

    pack(tiny_documents(), tiny_base_vocabulary(), SMALL, tmp_path)

    assert not any(path.exists() for path in left)


def test_the_command_packs_what_a_recipe_names_and_is_not_there(tmp_path: Path) -> None:
    """Each into a folder of its name; a second time costs nothing."""
    arguments = _command(tmp_path)
    shards.main(arguments)
    (tmp_path / "out/held/index.json").unlink()
    before = (tmp_path / "out/rows/index.json").stat().st_mtime_ns
    shards.main(arguments)

    index = json.loads((tmp_path / "out/rows/index.json").read_text())
    assert index["examples"]["suffix"] == [4, 9]
    assert index["tokens"] >= 600
    assert (tmp_path / "out/rows/index.json").stat().st_mtime_ns == before
    assert (tmp_path / "out/held/index.json").exists()


def test_the_command_packs_only_what_is_asked_for(tmp_path: Path) -> None:
    """By the names of the folders, which must be known."""
    arguments = _command(tmp_path)
    shards.main([*arguments, "--only", "held"])

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["held"]
    with pytest.raises(InvalidRequestError, match="hold"):
        shards.main([*arguments, "--only", "hold"])


def _command(folder: Path) -> list[str]:
    """A base, documents and a recipe for them."""
    write_tiny_base(folder / "base.gguf")
    lines = [json.dumps(asdict(document)) for document in tiny_documents()]
    (folder / "documents.jsonl").write_text("\n".join(lines), "utf-8")
    stage = '[[stages]]\nname = "a"\nshards = "rows"\ntokens = 1\nlearning_rate = 1.0\n'
    (folder / "recipe.toml").write_text(
        f'name = "x"\nbase = "{folder / "base.gguf"}"\n{stage}last_learning_rate = 0.1\n'
        "[shards.rows]\ntokens = 600\nsuffix = [4, 9]\n"
        "[shards.held]\ntokens = 90\nheld_out = true\n"
    )
    return [str(folder / name) for name in ("recipe.toml", "documents.jsonl", "out")]


def test_a_folder_without_shards_says_how_to_make_some(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(InvalidRequestError, match=r"recipes\.training\.shards"):
        read_rows(tmp_path)
