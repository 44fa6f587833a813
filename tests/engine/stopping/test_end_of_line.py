"""Where a line ends, a middle may end too; and a line that is filled in stays a line of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_engine import Completed, ScriptedModel, complete, machine
from tiny_tokenizers import tiny_byte_level_vocabulary

from midfill.engine.api import CompletionRequest, FinishReason, Scope
from midfill.engine.model.logits import probability
from midfill.engine.prompt.dialects import DIALECTS
from midfill.engine.stopping.end_of_line import EndOfLine
from midfill.engine.stopping.suffix_fit import EndWeights
from midfill.engine.tokens.tokenizer import open_tokenizer

TOKENIZER = open_tokenizer(tiny_byte_level_vocabulary())
FIM_END = 4
LEAST = DIALECTS["midfill"].end_at_line


class UnsureModel(ScriptedModel):
    """Writes its script, and everywhere gives the end of the middle a probability of its own."""

    share = 2 * LEAST

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The script's, with that share for ``<fim_end>``."""
        logits = super().logits(hidden)
        logits[:, FIM_END] = -torch.inf
        others = logits.logsumexp(-1)
        logits[:, FIM_END] = others + torch.tensor(self.share / (1 - self.share)).log()
        return logits


def written(
    text: str,
    share: float = 2 * LEAST,
    end_weights: EndWeights | None = None,
    draft_tokens: int = 0,
    **fields: str,
) -> Completed:
    """What comes of a model that would write this text, and of its doubts."""
    model = UnsureModel(TOKENIZER.encode(text), FIM_END)
    model.share = share
    request = replace(CompletionRequest("x = ", heal=False, scope=Scope.MODEL), **fields)
    parts = machine(model, draft_tokens=draft_tokens)
    parts.prompter.dialect = replace(parts.prompter.dialect, end_weights=end_weights)
    return complete(parts, request)


def test_a_middle_ends_with_a_line_where_that_is_probable_enough() -> None:
    """And not before, though the end is as probable there."""
    done = written("a + b\ny = 2\n")

    assert done.text == "a + b"
    assert done.stats.finish_reason is FinishReason.END_OF_MIDDLE
    assert done.ids == TOKENIZER.encode("a + b")


def test_a_model_that_is_sure_goes_on() -> None:
    """Just under the threshold."""
    assert written("a + b\ny = 2\n", share=0.9 * LEAST).text == "a + b\ny = 2\n"


@pytest.mark.parametrize(
    ("suffix", "text"),
    [
        ("\nc = 3\n", "if a:\n    b()"),  # the line's block is still to come
        ("", "if a:\n    b()"),
        ("\n\n    b()\nc = 3\n", "if a:"),  # it follows, if further down
    ],
)
def test_a_line_that_opens_a_block_is_no_end_before_it(suffix: str, text: str) -> None:
    """Unless a deeper line stands behind the hole."""
    done = written("if a:\n    b()\nd = 4", prefix="", suffix=suffix)

    assert done.text == text


@pytest.mark.parametrize(
    ("suffix", "bias", "text"),
    [
        ("\nc = 3\n", 10.5, "a + b"),  # the suffix lies 10 below what the model wants
        ("\nc = 3\n", 9.5, "a + b\nc = 4\nd = 5"),
        ("\na + b\nc = 3\n", 9.5, "a + b\nc = 4\nd = 5"),  # all of its tokens must fit
        ("", 9.5, "a + b"),  # nothing follows, and the end is probable enough
    ],
)
@pytest.mark.parametrize("draft_tokens", [0, 4])
def test_a_middle_ends_with_a_line_where_the_suffix_would_follow(
    suffix: str, bias: float, text: str, draft_tokens: int
) -> None:
    """Tokens that were drafted behind the line make no difference."""
    weights = EndWeights(bias, end=0.0, gap=1.0)
    prefix = "a + b\nc = 4\nd = 5\nx = "

    done = written(
        "a + b\nc = 4\nd = 5",
        end_weights=weights,
        draft_tokens=draft_tokens,
        prefix=prefix,
        suffix=suffix,
    )

    assert done.text == text
    assert (done.stats.drafted_tokens > 0) == (draft_tokens > 0)


def test_a_middle_does_not_end_at_even_odds() -> None:
    """Weights of nothing say nothing."""
    even = EndWeights(0.0, end=0.0, gap=0.0)
    assert written("a + b\nc = 4", end_weights=even, suffix="\nc = 3\n").text == "a + b\nc = 4"


@pytest.mark.parametrize(
    ("threshold", "weights", "applies"),
    [(1.0, None, False), (0.9, None, True), (1.0, EndWeights(0.0, end=0.0, gap=0.0), True)],
)
def test_an_end_is_looked_for_where_a_threshold_or_weights_say_so(
    threshold: float, weights: EndWeights | None, applies: bool
) -> None:
    """Else the sampler alone decides, and no pass is spent on it."""
    end = EndOfLine(TOKENIZER, [FIM_END], threshold, weights, "", is_whole_line=False)
    assert end.applies == applies


class DoneModel(ScriptedModel):
    """Writes a first line, is then all but sure that this was all, and else would go on."""

    def __init__(self, line: str, rest: str) -> None:
        self.first = TOKENIZER.encode(line)
        super().__init__([*self.first, *TOKENIZER.encode(rest)], FIM_END)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The script's, and behind the line a greater one for ``<fim_end>``."""
        logits = super().logits(hidden)
        logits[hidden[:, 0] == len(self.first), FIM_END] = 20.0
        return logits


@pytest.mark.parametrize(
    ("prefix", "suffix", "text"),
    [
        ("", "\nc = 3\n", "if a:\n    b()"),
        ("", "\n    c = 3\n", "if a:"),
        ("call(", ")\n", "if a:"),  # the rest of the line says how it goes on
    ],
)
def test_a_model_may_not_leave_a_block_without_a_body(prefix: str, suffix: str, text: str) -> None:
    """However sure it is that the middle ends there."""
    model = DoneModel("if a:", "\n    b()")

    done = complete(machine(model), CompletionRequest(prefix, suffix, heal=False))

    assert done.text == text


@pytest.mark.parametrize(
    ("prefix", "suffix", "text"),
    [
        ("if a:\n", "\nc = 3\n", "    b()"),
        ("if a:\n\n    ", "\nc = 3\n", "    b()"),
        ("if a:\n", "\n    c = 3\n", ""),  # it has a body
        ("def f():\n  if a:\n", "  c = 3\n", "    b()\n"),  # a line of its own before another
        ("if a:\n  ", "c = 3\n", ""),  # what follows is the body
        ("a = 1\n", "\nc = 3\n", ""),
    ],
)
def test_nor_may_it_leave_the_block_above_so(prefix: str, suffix: str, text: str) -> None:
    """Where it would write nothing at all."""
    model = DoneModel("", "    b()")

    done = complete(machine(model), CompletionRequest(prefix, suffix, heal=False))

    assert done.text == text


@pytest.mark.parametrize(
    ("prefix", "suffix", "text"),
    [
        ("for (v of w) {\n  ", "\n}\n", "if (b) {\n    c();\n  }"),
        ("for (v of w) {\n  ", "\n  d();\n }\n}\n", "if (b) {\n    c();"),  # it is closed below
        ("call(", ")\n", "if (b) {\n    c();\n  }"),
        ("x = 'call(", "\n", "if (b) {\n    c();"),  # in a string, or it may go on above
        ("}\n", "\n}\n", "if (b) {\n    c();"),  # what stands around does not fit
    ],
)
def test_what_the_text_opens_it_closes(prefix: str, suffix: str, text: str) -> None:
    """Where nothing below is there to close it."""
    model = DoneModel("if (b) {\n    c();", "\n  }")

    done = complete(machine(model), CompletionRequest(prefix, suffix, heal=False))

    assert done.text == text


@pytest.mark.parametrize(("allow_empty", "text"), [(True, ""), (False, "b()")])
def test_who_asks_for_text_gets_some(allow_empty: bool, text: str) -> None:
    """Though the model would say that nothing is missing."""
    request = CompletionRequest("a = 1\n", "\nc = 3\n", heal=False, allow_empty=allow_empty)

    assert complete(machine(DoneModel("", "b()")), request).text == text


def test_blank_lines_do_not_go_on_for_ever() -> None:
    """Where a text is wanted, two line ends in a row are followed by something else."""
    model = ScriptedModel(TOKENIZER.encode("\n") * 9, FIM_END)

    request = CompletionRequest("a = 1", heal=False, allow_empty=False, max_tokens=8)
    done = complete(machine(model), request)

    assert done.ids[:2] == TOKENIZER.encode("\n") * 2
    assert TOKENIZER.token_bytes(done.ids[2]).strip()


def test_nothing_is_not_a_line() -> None:
    """A middle that starts with a line end has said nothing yet."""
    assert written("\ny = 2\nz = 3", prefix="x = 1").text.startswith("\ny")


@pytest.mark.parametrize(
    ("prefix", "suffix", "text"),
    [
        ("if a:\n", "    b()\n", "    a()\n"),  # another line follows
        ("", "\tb()\n", "a()\n"),
        ("if a:\n", "\n    b()\n", "    a()"),  # its line end is there already
        ("if a:\n", "", "    a()"),
        ("if a:\n    ", "    b()\n", "a()"),  # not a line of its own
        ("if a:\n", "(b)\n", "    a()"),  # what follows goes on with it
    ],
)
def test_a_whole_line_before_another_gets_its_line_end(prefix: str, suffix: str, text: str) -> None:
    """Where the model stopped without one."""
    done = written(text.rstrip("\n"), share=0.5 * LEAST, prefix=prefix, suffix=suffix)

    assert done.text == text


def test_a_line_end_that_the_model_wrote_is_not_doubled() -> None:
    """Only what is missing is put there."""
    done = written("    a()\n", share=0.5 * LEAST, prefix="if a:\n", suffix="    b()\n")

    assert done.text == "    a()\n"


def test_probabilities_add_up_and_ids_beyond_the_logits_have_none() -> None:
    """As of padding rows that a tokenizer knows nothing of."""
    logits = torch.tensor([1.0, 2.0, 3.0, 4.0])

    assert probability(logits, [0, 1, 2, 3]) == pytest.approx(1.0)
    assert probability(logits, [3, 99]) == pytest.approx(float(logits.softmax(0)[3]))
    assert probability(logits, [99]) == 0.0


def test_a_line_ends_between_two_tokens_or_with_the_first() -> None:
    """Whichever of them has the line end."""
    end = EndOfLine(TOKENIZER, [FIM_END], LEAST, None, "", is_whole_line=False)
    (newline,), (letter,) = TOKENIZER.encode("\n"), TOKENIZER.encode("a")
    assert end.is_between(newline, letter)
    assert end.is_between(letter, newline)
    assert not end.is_between(letter, letter)
