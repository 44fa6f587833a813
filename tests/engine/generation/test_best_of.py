"""The best of several completions, by a model that knows only a few texts, and by a random one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_engine import SHAPE, Completed, ScriptedModel, collect, machine, new_slot, tiny_model
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill.engine.api import CompletionRequest, FinishReason, GeneratedToken
from midfill.engine.generation import best_of
from midfill.engine.generation.best_of import BestOf, SuffixScorer
from midfill.engine.runtime import Runtime
from midfill.engine.scheduling.scheduler import Job
from midfill.engine.tokens.tokenizer import open_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from midfill.engine.generation.machine import Machine
    from midfill.engine.model.decoder import TreePositions
    from midfill.engine.model.kv_cache import Slot
    from midfill.engine.scheduling.cancel import CancelFlag

TOKENIZER = open_tokenizer(tiny_byte_level_vocabulary())
END = 0
SUFFIX = "\nreturn good\n"
ASKED = CompletionRequest("x = ", SUFFIX, heal=False, tries=16)


class Library(ScriptedModel):
    """Goes on behind a prompt as one of some texts does, each as likely as its weight says.

    Args:
        texts: Weights; each text may end behind any of its tokens too, a little.
    """

    def __init__(self, texts: Mapping[str, float]) -> None:
        super().__init__([])
        self._texts = [(TOKENIZER.encode(text), weight) for text, weight in texts.items()]
        self._seen: list[list[int]] = []

    def forward(
        self,
        ids: Sequence[int],
        slot: Slot,
        _cancel: CancelFlag | None = None,
        tree: TreePositions | None = None,
    ) -> torch.Tensor:
        """States that are places in a list of the texts seen, (T, 1)."""
        begin, first = slot.length, len(self._seen)
        super().forward(ids, slot, tree=tree)
        trunk, seen = (tree.trunk, tree.seen) if tree else (0, np.tri(slot.length)[begin:])
        for row in seen:
            places = [*range(trunk), *(trunk + np.flatnonzero(row))]
            self._seen.append(slot.ids[places].tolist()[slot.prompt_length :])
        return torch.arange(first, len(self._seen))[:, None].float()

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logarithm of what the texts that begin so say."""
        rows = torch.full((len(hidden), SHAPE.vocab_size), 1e-6)
        for row, place in zip(rows, hidden[:, 0].int().tolist(), strict=True):
            seen = self._seen[place]
            for ids, weight in self._texts:
                if ids[: len(seen)] == seen:
                    row[ids[len(seen)] if len(ids) > len(seen) else END] += weight
        return rows.log()


FITTING = {"bad": 3.0, "good": 1.0, f"good{SUFFIX}": 1.0}
"""Left to itself the model writes "bad", behind which the suffix makes no sense."""


def choose(model: ScriptedModel, request: CompletionRequest = ASKED) -> Completed:
    """Answer one request in this thread."""
    job = Job(request.priority, 0, request)
    BestOf(machine(model), job).run()
    return collect(job.stream)


def test_the_completion_that_the_suffix_follows_wins() -> None:
    """In one piece, with what all tries have cost."""
    done = choose(Library(FITTING))

    assert done.text == "good"
    assert len(done.chunks) == 1
    assert 1 < done.stats.tries < ASKED.tries  # no other text can be better
    assert done.stats.generated_tokens > len(done.ids)
    assert done.stats.finish_reason is FinishReason.END_OF_MIDDLE
    assert done.ids == [*TOKENIZER.encode("good"), END]


def test_one_try_is_the_request_s_own() -> None:
    """Greedy: the likeliest text, whatever follows."""
    assert choose(Library(FITTING), replace(ASKED, tries=1)).text == "bad"


@pytest.mark.parametrize("suffix", ["", " \n"])
def test_nothing_is_tried_where_nothing_follows(suffix: str) -> None:
    """No completion can be told from another."""
    done = choose(Library(FITTING), replace(ASKED, suffix=suffix))

    assert (done.text.strip(), done.stats.tries) == ("bad", 1)


def test_a_model_that_finds_nothing_missing_is_believed() -> None:
    """Nothing is drawn instead; where text is asked for, it may not say so."""
    texts = {"": 3.0, "good": 1.0, f"good{SUFFIX}": 1.0}

    assert choose(Library(texts)).stats.tries == 1
    assert choose(Library(texts)).text == ""
    assert choose(Library(texts), replace(ASKED, allow_empty=False)).text == "good"


def test_a_cancel_ends_it() -> None:
    """No other try is made, and none is weighed."""
    job = Job(ASKED.priority, 0, ASKED)
    model = Library(FITTING)
    model.before_forward = lambda number: job.stream.cancel() if number == 3 else None

    BestOf(machine(model), job).run()

    done = collect(job.stream)
    assert done.stats.finish_reason is FinishReason.CANCELLED
    assert len(model.forwarded) <= 5


def test_a_time_limit_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the best so far."""
    seconds = itertools.count()
    monkeypatch.setattr(best_of, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    request = replace(ASKED, time_limit_ms=3500)
    texts = {f"bad{n}": 1.0 for n in range(50)}

    assert choose(Library(texts), request).stats.tries == 3


def test_long_tries_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more is begun once those behind the first have written so many tokens."""
    texts = {f"{n} bad": 1.0 for n in range(9)}
    tries = choose(Library(texts)).stats.tries
    monkeypatch.setattr(best_of, "MOST_TOKENS", 1)

    assert choose(Library(texts)).stats.tries == 2 < tries


words = st.sampled_from(["a", "b", "ab", "a b", "b\nc", "c = a"])


@given(texts=st.dictionaries(words, st.floats(0.1, 9), min_size=1), fits=words)
def test_with_enough_tries_no_text_is_better(texts: dict[str, float], fits: str) -> None:
    """Among those that the model knows, by the probability of each with the suffix behind it."""
    model = Library({**texts, f"{fits}{SUFFIX}": 2.0})
    request = replace(ASKED, tries=64)
    job = Job(request.priority, 0, request)
    parts = machine(model)
    BestOf(parts, job).run()
    done = collect(job.stream)

    score = scoring(parts, request)
    others = [score(text) for text in {*texts, fits}]
    assert done.stats.tries < request.tries
    assert score(done.text) >= max(others) - 1e-3


def scoring(
    parts: Machine, request: CompletionRequest, written: str = ""
) -> Callable[[str], float]:
    """The weight of any text, where one has been written."""
    prompt = parts.prompter.build(request, 400, parts.cache.match)
    slot, vocabulary = parts.cache.take(prompt.ids), parts.tokenizer.vocab_size
    hidden = parts.prefiller.run(prompt.ids[slot.length :], slot)
    tokens = []
    for token_id in TOKENIZER.encode(prompt.held.decode() + written):
        assert hidden is not None
        row = parts.model.logits(hidden)[0, :vocabulary].log_softmax(0)
        tokens.append(GeneratedToken(token_id, float(row[token_id])))
        hidden = parts.model.forward([token_id], slot)
    scorer = SuffixScorer(parts, request, prompt)
    return lambda text: scorer.score(text, tokens, scorer.tree(slot).first)


def whole_logprob(parts: Machine, prompt: Sequence[int], text: str) -> float:
    """The log-probability of a text behind a prompt, in a slot of its own."""
    ids = [*prompt, *TOKENIZER.encode(text)]
    logits = parts.model.logits(parts.model.forward(ids[:-1], new_slot()))
    rows = logits[len(prompt) - 1 :, : TOKENIZER.vocab_size].log_softmax(1)
    return float(rows.gather(1, torch.tensor(ids[len(prompt) :])[:, None]).sum())


@pytest.mark.parametrize("text", ["a", "value\n    b = 1", "", "long\n" * 40])
@pytest.mark.parametrize("before", ["a", "b = c"])
def test_a_weight_is_the_probability_of_the_text(text: str, before: str) -> None:
    """Whatever was written before, and so is there: the same as from the beginning."""
    request = CompletionRequest("def f():\n    x = ", "\n    return x\n", tries=2)
    parts = machine(tiny_model())
    with torch.inference_mode():
        prompt = parts.prompter.build(request, 400, parts.cache.match)
        score = scoring(parts, request, before)

        wanted = prompt.held.decode() + text + request.suffix
        expected = whole_logprob(parts, prompt.ids, wanted)
        assert score(text) == pytest.approx(expected, rel=1e-4)
        assert score(text) == pytest.approx(expected, rel=1e-4)  # as if nothing had been weighed


def test_text_that_is_no_unicode_is_weighed_too() -> None:
    """Editors can have half a surrogate pair in a file."""
    assert choose(Library(FITTING), replace(ASKED, suffix="\n\ud800 return\n")).text


def test_a_line_of_its_own_is_weighed_with_its_end() -> None:
    """Which the engine's text may lack."""
    request = CompletionRequest("def f():\n", "    return x\n", heal=False, tries=2)
    parts = machine(tiny_model())
    with torch.inference_mode():
        score = scoring(parts, request)

        assert score("    x = 1") == score("    x = 1\n")
        assert score("    x = 1") != score("    x = 1\n\n")


def test_an_engine_makes_the_tries_that_are_asked_for() -> None:
    """And one where none is."""
    runtime = Runtime(machine(Library(FITTING)), None, 1)  # type: ignore[arg-type]
    try:
        assert collect(runtime.infill(ASKED)).text == "good"
        assert collect(runtime.infill(replace(ASKED, tries=1))).text == "bad"
    finally:
        runtime.close()
