"""Several texts in one slot: each is as good as alone, in PyTorch and in the kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_models import SHAPES, TOLERANCE, assert_close, native, reference, run, some_ids
from tiny_engine import SHAPE, new_slot, tiny_checkpoint, tiny_model

from midfill.engine.model.kv_cache import Slot
from midfill.engine.model.token_tree import LONGEST_PASS, SlotText, Tree

if TYPE_CHECKING:
    from midfill.engine.model.decoder import Decoder
    from midfill.engine.model.llama import LlamaModel
    from midfill.engine.model.token_tree import Branch

steps = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=3),  # forks
        st.lists(st.integers(1, 6), min_size=1, max_size=4),  # tokens for some branches
        st.integers(0, 9),  # of which one forgets some
    ),
    min_size=1,
    max_size=5,
)


WINDOW = " with a window"
"""How models are called in which the second layer sees few tokens."""


class Texts:
    """Branches of one tree, and what each of them says."""

    def __init__(self, model: Decoder, trunk: list[int], first: list[int]) -> None:
        self.slot = Slot(model.architecture, model.dtype, model.device)
        self.model, self.trunk = model, trunk
        run(model, [*trunk, *first], slot=self.slot)
        self.tree = Tree(model, self.slot, len(trunk))
        self.branches: list[tuple[Branch, list[int]]] = [(self.tree.first, list(first))]
        self.numbers = iter(some_ids(model.architecture, 10_000)[::-1])

    def fork(self, which: int, length: int) -> None:
        """Another branch of some tokens of one."""
        branch, text = self.branches[which % len(self.branches)]
        length = min(length, len(text))
        self.branches.append((branch.fork(len(self.trunk) + length), text[:length]))

    def read(self, counts: list[int]) -> list[tuple[list[int], torch.Tensor]]:
        """Put new tokens behind the last branches, at once; whole texts and the new logits."""
        chosen = self.branches[::-1][: len(counts)]
        new = [[next(self.numbers) for _ in range(n)] for n in counts[: len(chosen)]]
        asked = [(ids, branch) for ids, (branch, _) in zip(new, chosen, strict=True)]
        states = self.tree.read_each(asked)
        for ids, (_, text) in zip(new, chosen, strict=True):
            text += ids
        return [
            ([*self.trunk, *text], self.tree.logits(rows))
            for rows, (_, text) in zip(states, chosen, strict=True)
        ]

    def cut(self, count: int) -> None:
        """Let the last branch forget its last tokens."""
        branch, text = self.branches[-1]
        if branch is not self.tree.first:
            del text[max(0, len(text) - count) :]
            branch.cut(len(self.trunk) + len(text))


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[Decoder, LlamaModel]]:
    """PyTorch's, and one with kernels for each format, with their references."""
    whole = SHAPES["one head for all"]
    window = replace(whole, sliding_window=12, full_attention_layers=(0,))
    found: dict[str, tuple[Decoder, LlamaModel]] = {}
    for name, shape in (("", whole), (WINDOW, window)):
        checkpoint = tiny_checkpoint(shape)
        for wanted in TOLERANCE:
            alone = reference(checkpoint, wanted)
            found[wanted + name] = (native(checkpoint, wanted), alone)
        found[f"PyTorch{name}"] = (reference(checkpoint, "fp32"), reference(checkpoint, "fp32"))
    return found


def tolerance_of(model: str) -> str:
    """The format whose tolerance a model has."""
    wanted = model.removesuffix(WINDOW)
    return "fp32" if wanted == "PyTorch" else wanted


@given(
    wanted=st.sampled_from(
        [name + end for end in ("", WINDOW) for name in ("PyTorch", *TOLERANCE)]
    ),
    trunk=st.integers(0, 300),
    first=st.integers(1, 40),
    steps=steps,
)
@settings(max_examples=80, deadline=None)
def test_each_branch_is_what_it_would_be_alone(
    models: dict[str, tuple[Decoder, LlamaModel]],
    wanted: str,
    trunk: int,
    first: int,
    steps: list[tuple[list[tuple[int, int]], list[int], int]],
) -> None:
    """Whatever stands between its tokens; and the slot is left as it was."""
    model, alone = models[wanted]
    ids = some_ids(model.architecture, trunk + first)
    texts = Texts(model, ids[:trunk], ids[trunk:])
    for forks, counts, forgotten in steps:
        for which, length in forks:
            texts.fork(which, length)
        for text, logits in texts.read(counts):
            expected = run(alone, text)[-len(logits) :]
            assert_close(logits, expected, tolerance_of(wanted))
        texts.cut(forgotten)
    texts.tree.close()
    assert texts.slot.ids.tolist() == ids


@pytest.mark.parametrize("wanted", ["PyTorch", "fp32", "int8", f"fp32{WINDOW}"])
def test_a_long_text_is_read_in_several_passes(
    models: dict[str, tuple[Decoder, LlamaModel]], wanted: str
) -> None:
    """Behind a branch that has tokens of another one before it; with room for all of them."""
    model, alone = models[wanted]
    texts = Texts(model, some_ids(model.architecture, 30), [5, 6, 7])
    texts.fork(0, 1)
    texts.read([3])
    texts.fork(0, 2)
    [(text, logits)] = texts.read([2 * LONGEST_PASS + 3])

    expected = run(alone, text)[-len(logits) :]
    assert_close(logits, expected, tolerance_of(wanted))


def test_what_is_forgotten_last_leaves_room() -> None:
    """So a text that is looked at and forgotten costs nothing; what others have is kept."""
    texts = Texts(tiny_model(), [1, 2, 3], [4, 5])
    texts.fork(0, 1)
    before = texts.slot.length
    texts.read([4])
    texts.cut(4)
    assert texts.slot.length == before
    texts.cut(1)
    assert texts.slot.length == before
    assert texts.tree.first.length == 5


def test_a_line_is_its_slot() -> None:
    """Tokens and states are those of the model on the slot."""
    model, slot = tiny_model(), new_slot()
    line = SlotText(model, slot)

    states = line.read([1, 2, 3])

    assert torch.equal(states, model.forward([1, 2, 3], new_slot(SHAPE)))
    assert torch.equal(line.logits(states), model.logits(states))
    line.cut(2)
    assert (line.length, slot.ids.tolist()) == (2, [1, 2])
