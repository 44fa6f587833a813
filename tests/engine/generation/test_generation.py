"""One completion from request to last chunk, on a model that says what a test wants it to."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from code_texts import code_texts
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_engine import Completed, ScriptedModel, complete, machine, tiny_model
from tiny_tokenizers import code_llama_tokenizer_data, tiny_byte_level_vocabulary

from midfill.engine.api import CompletionRequest, FinishReason, Order, Priority, Sampling, Scope
from midfill.engine.generation import cost
from midfill.engine.scheduling.scheduler import Job
from midfill.engine.tokens.tokenizer import open_tokenizer

if TYPE_CHECKING:
    import torch

    from midfill.engine.generation.machine import Machine

TOKENIZER = open_tokenizer(tiny_byte_level_vocabulary())
MODEL = tiny_model()
END, FIM_END = 0, 4
"""The ids of ``<|endoftext|>`` and ``<fim_end>``."""


def ids_of(text: str) -> list[int]:
    """The tokens of user text."""
    return TOKENIZER.encode(text)


def spelled(ids: list[int]) -> bytes:
    """The bytes of tokens."""
    return b"".join(map(TOKENIZER.token_bytes, ids))


def scripted(text: str, prefix: str = "x = ", **fields: object) -> Completed:
    """An unhealed request to a model that writes this text and ends it."""
    request = CompletionRequest(prefix, heal=False, scope=Scope.MODEL)
    return complete(machine(ScriptedModel(ids_of(text))), replace(request, **fields))  # type: ignore[arg-type]


def test_what_the_model_writes_is_streamed() -> None:
    """Piece by piece, without the token that ends it."""
    done = scripted("print(a, b)\n")
    assert done.text == "print(a, b)\n"
    assert done.ids == [*ids_of("print(a, b)\n"), END]
    assert done.stats.finish_reason is FinishReason.END_OF_MIDDLE
    assert len([chunk for chunk in done.chunks if chunk.text]) > 3


@pytest.mark.parametrize("end", sorted(TOKENIZER.special_ids))
def test_any_control_token_ends_a_middle(end: int) -> None:
    """None has a place in one."""
    request = CompletionRequest("x = ", heal=False)
    done = complete(machine(ScriptedModel(ids_of("a"), end)), request)
    assert (done.text, done.ids[-1]) == ("a", end)
    assert done.stats.finish_reason is FinishReason.END_OF_MIDDLE


def test_each_token_comes_once_with_its_log_probability() -> None:
    """Text may settle later than its tokens; the mean is over all, the last one included."""
    done = scripted("a  \n  b")
    logprobs = [token.logprob for chunk in done.chunks for token in chunk.tokens]
    assert len(logprobs) == done.stats.generated_tokens == len(ids_of("a  \n  b")) + 1
    assert done.stats.mean_logprob == pytest.approx(sum(logprobs) / len(logprobs))
    assert all(-0.1 < logprob < 0 for logprob in logprobs)  # a lead of 10 over 1,200 others


def test_a_stop_rule_ends_the_text_and_gives_its_reason() -> None:
    """Without a token more."""
    done = scripted("1\ny = 2\n", scope=Scope.LINE)
    assert (done.text, done.stats.finish_reason) == ("1", FinishReason.LINE)
    assert spelled(done.ids).startswith(b"1\n")
    assert len(done.ids) < len(ids_of("1\ny = 2\n"))


def test_an_overlap_found_at_the_end_is_the_reason() -> None:
    """Though the model had ended the text itself."""
    done = scripted("1)", suffix=")\n", prefix="x = f(", scope=Scope.BLOCK)
    assert (done.text, done.stats.finish_reason) == ("1", FinishReason.SUFFIX)


@pytest.mark.parametrize("max_tokens", [1, 2, 5])
def test_no_more_tokens_are_generated_than_allowed(max_tokens: int) -> None:
    """And all that they spell is let out."""
    done = scripted("print(abc, xyz)", max_tokens=max_tokens)
    assert done.ids == ids_of("print(abc, xyz)")[:max_tokens]
    assert done.text.encode() == spelled(done.ids)
    assert done.stats.finish_reason is FinishReason.MAX_TOKENS


def test_no_tokens_at_all_fill_the_cache() -> None:
    """So that the next request finds its prompt there."""
    parts = machine(ScriptedModel(ids_of("a")))
    request = CompletionRequest("x = y + ", "\nz\n", heal=False, order=Order.SPM, max_tokens=0)
    done = complete(parts, request)
    assert (done.text, done.ids) == ("", [])
    assert done.stats.finish_reason is FinishReason.MAX_TOKENS
    assert done.stats.prefilled_tokens == done.stats.prompt_tokens > 0
    again = complete(parts, replace(request, max_tokens=1)).stats
    assert (again.cached_tokens, again.prefilled_tokens) == (again.prompt_tokens - 1, 1)


HELD = {
    "a word": ("x = pri", "nt(x)"),
    "indentation": ("if x:\n    ", "    y"),
    "a space": ("x ", "= 1"),
}


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
@pytest.mark.parametrize("name", HELD)
def test_healing_spells_what_is_held_and_streams_what_comes_after(name: str, order: Order) -> None:
    """With the tokens of the whole text, which the prompt as it stands would not allow."""
    prefix, middle = HELD[name]
    whole = ids_of(prefix + middle)
    request = CompletionRequest(prefix, order=order)
    prompt = machine().prompter.build(request, 256, lambda _ids: 0)
    kept = len(ids_of(prefix)) - prompt.healed_tokens
    done = complete(machine(ScriptedModel(whole[kept:])), request)
    assert prompt.held
    assert spelled(done.ids).startswith(prompt.held)
    assert done.text == middle
    assert done.stats.healed_tokens == prompt.healed_tokens > 0
    assert done.stats.prompt_tokens == len(prompt.ids)


def test_healing_can_be_switched_off() -> None:
    """The same script is then read as free text, which shows what healing does."""
    script = ids_of("x = print(x)")[2:]
    assert spelled(script) == b" print(x)"
    request = CompletionRequest("x = pri")
    healed = complete(machine(ScriptedModel(script)), request)
    unhealed = complete(machine(ScriptedModel(script)), replace(request, heal=False))
    assert (healed.text, unhealed.text) == ("nt(x)", " print(x)")
    assert (healed.stats.healed_tokens, unhealed.stats.healed_tokens) == (len(ids_of(" pri")), 0)


@pytest.mark.parametrize("sentencepiece", [False, True])
@given(prefix=code_texts(8), temperature=st.sampled_from([0.0, 1.0]))
@settings(deadline=None, max_examples=25)
def test_any_model_heals_any_prefix(sentencepiece: bool, prefix: str, temperature: float) -> None:
    """A random one, too: the held bytes come first, the text is what comes after them."""
    tokenizer = open_tokenizer(code_llama_tokenizer_data()) if sentencepiece else TOKENIZER
    parts = machine(MODEL, tokenizer, dialect="codellama" if sentencepiece else "midfill")
    sampling = Sampling(temperature=temperature, seed=0)
    request = CompletionRequest(prefix, max_tokens=4, sampling=sampling)
    held = parts.prompter.build(request, 496, lambda _ids: 0).held
    done = complete(parts, request)
    written = b"".join(map(tokenizer.token_bytes, done.ids))
    assert written.startswith(held)
    assert written[len(held) :].decode(errors="replace").startswith(done.text)


@pytest.mark.parametrize("max_tokens", [1, 2, 3])
@pytest.mark.parametrize("pieces", [[" pri"], [" ", "p", "r", "i"], [" print"], [" ", "print"]])
def test_what_healing_spells_again_is_not_counted(pieces: list[str], max_tokens: int) -> None:
    """In however many tokens the held bytes come, and whether new text begins inside one."""
    script = [token for piece in [*pieces, "(a, b, c)"] for token in ids_of(piece)]
    request = CompletionRequest("x = pri", max_tokens=max_tokens)
    ids = complete(machine(ScriptedModel(script)), request).ids
    assert ids == script[: len(ids)]
    with_new_text = [n for n in range(len(ids)) if len(spelled(ids[: n + 1])) > len(" pri")]
    assert len(with_new_text) == max_tokens


@pytest.mark.parametrize("prefix", ["", "\n\n"])
@pytest.mark.parametrize("text", ["    def f():\n", "\tx", "\n  y", " z"])
def test_no_file_begins_with_an_indented_line(prefix: str, text: str) -> None:
    """Nor with blank lines; behind other text the model is free."""
    begun = scripted(text, prefix, max_tokens=1)
    assert begun.text[:1] not in {" ", "\t", "\n"}
    assert scripted(text, f"a{prefix}").text.startswith(text)


def test_half_a_character_is_not_let_out() -> None:
    """Where the budget cuts one: nobody wants a replacement character in a file."""
    smile = ids_of("🙂")
    assert len(smile) > 1
    model = ScriptedModel([*ids_of("a"), *smile])
    request = CompletionRequest("x = ", heal=False, max_tokens=len(smile))
    assert complete(machine(model), request).text == "a"
    assert complete(machine(model), replace(request, max_tokens=9)).text == "a🙂"


class Clock:
    """Time that passes with each forward pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        """Seconds."""
        return self.now

    def tick(self, _number: int) -> None:
        """A tenth of a second later."""
        self.now += 0.1


@pytest.mark.parametrize(
    ("limit_ms", "text", "reason"),
    [
        (1, "aa bb cc", FinishReason.TIME_LIMIT),
        (1050, "aa bb cc\ndd", FinishReason.TIME_LIMIT),
        (9000, "aa bb cc\ndd\nee", FinishReason.END_OF_MIDDLE),
    ],
)
def test_a_time_limit_ends_a_text_but_never_its_first_line(
    monkeypatch: pytest.MonkeyPatch, limit_ms: int, text: str, reason: FinishReason
) -> None:
    """A tenth of a second for each character, and one for the prompt."""
    clock = Clock()
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    script = [token for character in "aa bb cc\ndd\nee" for token in ids_of(character)]
    model = ScriptedModel(script, before_forward=clock.tick)
    request = CompletionRequest("x", heal=False, time_limit_ms=limit_ms)
    done = complete(machine(model, dialect="left-to-right"), request)
    assert (done.text, done.stats.finish_reason) == (text, reason)


def interrupted_after(
    passes: int, reason: FinishReason, **fields: object
) -> tuple[Completed, Machine]:
    """A completion that somebody ends before its nth forward pass, on the random model."""
    request = replace(CompletionRequest("def add(a, b):\n    return a + b\n" * 3), **fields)  # type: ignore[arg-type]
    job = Job(request.priority, 0, request)
    parts = machine(tiny_model())
    forward, done = parts.model.forward, 0

    def watched(*args: object) -> torch.Tensor:
        nonlocal done
        if done == passes:
            job.stream.interrupt(reason)
        done += 1
        return forward(*args)  # type: ignore[arg-type]

    parts.model.forward = watched  # type: ignore[method-assign]
    return complete(parts, request, job), parts


@pytest.mark.parametrize("reason", [FinishReason.CANCELLED, FinishReason.SUPERSEDED])
def test_an_interruption_is_seen_within_one_chunk(reason: FinishReason) -> None:
    """A chunk of the prompt, 8 tokens here: what is finished stays cached."""
    done, parts = interrupted_after(2, reason)
    stats = done.stats
    assert (stats.finish_reason, done.text, done.ids) == (reason, "", [])
    assert stats.prefilled_tokens == 24 < stats.prompt_tokens
    assert [slot.length for slot in parts.cache.slots] == [24, 0, 0]


@pytest.mark.parametrize("reason", [FinishReason.CANCELLED, FinishReason.SUPERSEDED])
def test_an_interruption_is_seen_within_one_token(reason: FinishReason) -> None:
    """A token of the text: what was let out before stays out, nothing follows."""
    prefill, _ = interrupted_after(10**9, reason, max_tokens=0)
    passes = -(-prefill.stats.prompt_tokens // 8) + 5
    done, _ = interrupted_after(passes, reason)
    assert done.stats.finish_reason is reason
    assert done.stats.generated_tokens == 5 + 2  # the pass under way, and its token


@pytest.mark.parametrize("passes", [0, 1, 4, 7, 10])
def test_after_an_interruption_the_cache_is_as_good_as_new(passes: int) -> None:
    """The next completion equals a fresh engine's, and the ids name what is held."""
    _, parts = interrupted_after(passes, FinishReason.CANCELLED)
    request = CompletionRequest("def add(a, b):\n    return a + b\n" * 2 + "x", max_tokens=12)
    assert complete(parts, request).ids == complete(machine(MODEL), request).ids


def test_a_text_that_is_complete_is_given_although_somebody_cancels() -> None:
    """In the moment in which the model ends it: the reason and the text agree."""
    request = CompletionRequest("x = ", heal=False, scope=Scope.MODEL)
    job = Job(request.priority, 0, request)

    class Ending(ScriptedModel):
        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            if hidden[-1, 0] == len(ids_of("a\n")):
                job.stream.cancel()
            return super().logits(hidden)

    done = complete(machine(Ending(ids_of("a\n"))), request, job)
    assert (done.text, done.stats.finish_reason) == ("a\n", FinishReason.END_OF_MIDDLE)


@given(cuts=st.lists(st.integers(0, 60), min_size=1, max_size=6), order=st.sampled_from(Order))
@settings(deadline=None, max_examples=20)
def test_a_warm_cache_changes_the_cost_and_nothing_else(cuts: list[int], order: Order) -> None:
    """Greedy tokens are those of a cold one, and the numbers add up."""
    source = "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2), add(3, 4))\n"
    warm = machine(MODEL, slots=2)
    for cut in cuts:
        request = CompletionRequest(source[:cut], source[cut:], order=order, max_tokens=6)
        ours, cold = complete(warm, request), complete(machine(MODEL), request)
        stats = ours.stats
        assert stats.cached_tokens + stats.prefilled_tokens == stats.prompt_tokens
        assert cold.stats.cached_tokens == 0
        if stats.order is cold.stats.order:
            assert ours.ids == cold.ids
        fresh = complete(machine(MODEL), replace(request, order=stats.order))
        assert (ours.ids, ours.text) == (fresh.ids, fresh.text)


@given(
    prefix=code_texts(60),
    suffix=code_texts(20),
    context_length=st.integers(64, 200),
    max_tokens=st.sampled_from([1, 40, 65536]),
)
@settings(deadline=None, max_examples=25)
def test_no_slot_holds_more_than_the_context(
    prefix: str, suffix: str, context_length: int, max_tokens: int
) -> None:
    """Prompt, healed tokens and new ones together, though the model would go on for ever."""
    parts = machine(ScriptedModel(ids_of(" a") * 400), context_length=context_length)
    request = CompletionRequest(prefix, suffix, max_tokens=max_tokens, scope=Scope.MODEL)
    done = complete(parts, request)
    assert max(slot.length for slot in parts.cache.slots) <= context_length
    assert done.stats.prompt_tokens + done.stats.generated_tokens <= context_length


def test_held_bytes_that_come_one_by_one_stay_inside_the_context() -> None:
    """Indentation that was a few tokens, and that the model spells blank by blank."""
    parts = machine(ScriptedModel([*ids_of("\n"), *ids_of(" ") * 500]), context_length=64)
    done = complete(parts, CompletionRequest("x:\n" + " " * 200, max_tokens=1))
    assert done.stats.finish_reason is FinishReason.MAX_TOKENS
    assert done.stats.prompt_tokens + done.stats.generated_tokens == 64
    assert done.text == ""


def test_a_seed_repeats_a_completion() -> None:
    """On another engine, too."""
    request = CompletionRequest("x = ", sampling=Sampling(temperature=2.0, seed=7), max_tokens=20)
    assert complete(machine(MODEL), request).ids == complete(machine(MODEL), request).ids
    other = replace(request, sampling=Sampling(temperature=2.0, seed=8))
    assert complete(machine(MODEL), other).ids != complete(machine(MODEL), request).ids


def test_times_are_those_of_their_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the queue, in the prompt, in the text: milliseconds."""
    clock = Clock()
    monkeypatch.setattr(cost, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    model = ScriptedModel(ids_of("aa bb"), before_forward=clock.tick)
    request = CompletionRequest("x" * 20, heal=False)
    stats = complete(
        machine(model), request, Job(request.priority, 0, request, queued_at=-2.0)
    ).stats
    chunks = -(-stats.prompt_tokens // 8)
    assert stats.queue_ms == pytest.approx(2000)
    assert stats.prefill_ms == pytest.approx(100 * chunks)
    assert stats.decode_ms == pytest.approx(100 * (len(model.forwarded) - chunks))


@pytest.mark.parametrize("priority", list(Priority))
def test_what_nobody_has_asked_for_does_not_count_as_use(priority: Priority) -> None:
    """So that its slot is the first to go."""
    parts = machine()
    complete(parts, CompletionRequest("def f(x):\n    ", priority=priority, max_tokens=2))
    used = max(slot.last_used for slot in parts.cache.slots)
    assert (used == 0) == (priority in {Priority.PREFETCH, Priority.PREWARM})
