"""Prompts: token by token as the definitions say, within the budget, where the cache helps most."""

from __future__ import annotations

from dataclasses import replace

import pytest
from code_texts import code_texts
from dialect_tokenizers import TOKENIZERS
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import python_source, tiny_byte_level_vocabulary

from midfill.engine.api import CompletionRequest, ContextPiece, Order, Priority, Scope
from midfill.engine.errors import InfillingNotSupportedError
from midfill.engine.prompt.dialects import DIALECTS, choose_dialect
from midfill.engine.prompt.prompter import TYPED_AHEAD, Prompt, Prompter
from midfill.engine.tokens.tokenizer import Tokenizer, open_tokenizer

CODE_LLAMA, BYTE_LEVEL = TOKENIZERS["codellama"], TOKENIZERS["midfill"]
WITHOUT_MARKERS = TOKENIZERS["left-to-right"]

PREFIX, SUFFIX = "def add(a, b):\n    return", "\n\nprint(add(1, 2))\n"
PIECES = (
    ContextPiece("lib/far.py", "FAR = 1\n"),
    ContextPiece("lib/near.py", "def near():\n    pass\n\n"),
)
WIDE = 4096


def prompter(dialect: str) -> Prompter:
    """A prompter with a tokenizer that has the dialect's markers."""
    return Prompter(DIALECTS[dialect], TOKENIZERS[dialect], "tiny")


def cold(_ids: list[int]) -> int:
    """Nothing is cached."""
    return 0


def build(dialect: str, budget: int = WIDE, prefix: str = PREFIX, **fields: object) -> Prompt:
    """An unhealed prompt from a cold cache, unless the fields say otherwise."""
    request = CompletionRequest(prefix, SUFFIX, heal=False)
    return prompter(dialect).build(replace(request, **fields), budget, cold)  # type: ignore[arg-type]


def byte_level(text: str) -> list[int]:
    """The ids of user text."""
    return BYTE_LEVEL.encode(text)


def marker(name: str) -> int:
    """The id of a byte-level marker."""
    token_id = BYTE_LEVEL.special_id(name)
    assert token_id is not None
    return token_id


PRE, SUF, MID = (marker(f"<fim_{part}>") for part in ("prefix", "suffix", "middle"))


def test_code_llama_prefix_first() -> None:
    """``BOS PRE prefix SUF suffix MID``, with the ids of the real vocabulary."""
    prefix = CODE_LLAMA.encode(PREFIX)
    suffix = CODE_LLAMA.encode(SUFFIX, leading_space=False)
    expected = [1, 32007, *prefix, 32008, *suffix, 32009]
    assert build("codellama", order=Order.PSM) == Prompt(Order.PSM, expected, b"", 0, 0)


def test_code_llama_suffix_first() -> None:
    """``BOS PRE SUF suffix MID prefix``."""
    prefix = CODE_LLAMA.encode(PREFIX)
    suffix = CODE_LLAMA.encode(SUFFIX, leading_space=False)
    expected = [1, 32007, 32008, *suffix, 32009, *prefix]
    assert build("codellama", order=Order.SPM) == Prompt(Order.SPM, expected, b"", 0, 0)


def test_code_llamas_suffix_has_no_leading_space() -> None:
    """As in its reference, which encodes a character in front and drops its two tokens."""
    sentinel = CODE_LLAMA.encode("☺")
    expected = CODE_LLAMA.encode("☺) + 1")[len(sentinel) :]
    prompt = build("codellama", order=Order.PSM, suffix=") + 1")
    assert prompt.ids[prompt.ids.index(32008) + 1 : -1] == expected
    assert CODE_LLAMA.token_bytes(expected[0]).startswith(b")")


def test_midfill_prefix_first() -> None:
    """``<fim_prefix>`` prefix ``<fim_suffix>`` suffix ``<fim_middle>``."""
    expected = [PRE, *byte_level(PREFIX), SUF, *byte_level(SUFFIX), MID]
    assert build("midfill", order=Order.PSM) == Prompt(Order.PSM, expected, b"", 0, 0)


def test_midfill_suffix_first() -> None:
    """``<fim_prefix><fim_suffix>`` suffix ``<fim_middle>`` prefix."""
    expected = [PRE, SUF, *byte_level(SUFFIX), MID, *byte_level(PREFIX)]
    assert build("midfill", order=Order.SPM) == Prompt(Order.SPM, expected, b"", 0, 0)


def test_left_to_right_sees_the_prefix_only() -> None:
    """Behind the token that begins a text, if the model has one."""
    expected = [1, *WITHOUT_MARKERS.encode(PREFIX)]
    assert build("left-to-right") == Prompt(Order.PSM, expected, b"", 0, 0)


def test_an_empty_text_begins_with_the_token_that_ends_one() -> None:
    """A model needs some token to go on from; texts were separated by this one in training."""
    tokenizer = open_tokenizer(tiny_byte_level_vocabulary())
    left_to_right = Prompter(DIALECTS["left-to-right"], tokenizer, "tiny")
    for prefix in ("", "pri"):  # the second is held back as a whole
        assert left_to_right.build(CompletionRequest(prefix), WIDE, cold).ids == [0]


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
@pytest.mark.parametrize("dialect", ["codellama", "midfill"])
def test_typed_markers_stay_plain_text(dialect: str, order: Order) -> None:
    """Only ours are markers, and each of them is there once."""
    text = "<PRE> <SUF> <MID> ▁<PRE> <fim_prefix><fim_suffix><fim_middle><file_sep><s></s>"
    prompt = build(dialect, prefix=text, suffix=text, order=order)
    tokenizer = CODE_LLAMA if dialect == "codellama" else BYTE_LEVEL
    special = [i for i in prompt.ids if i in tokenizer.special_ids]
    assert sorted(special) == (
        [1, 32007, 32008, 32009] if dialect == "codellama" else [PRE, SUF, MID]
    )
    spelled = b"".join(map(tokenizer.token_bytes, prompt.ids)).decode()
    assert spelled.replace(" " + text, text, 1) == text * 2  # but for the dummy space


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
def test_other_files_stand_before_the_markers(order: Order) -> None:
    """Name of the repository, each path and text, and the path of the hole's own file."""
    prompt = build("midfill", context=PIECES, repo_name="midfill/tiny", path="app.py", order=order)
    files = [
        marker("<repo_name>"),
        *byte_level("midfill/tiny\n"),
        marker("<file_sep>"),
        *byte_level("lib/far.py\nFAR = 1\n"),
        marker("<file_sep>"),
        *byte_level("lib/near.py\ndef near():\n    pass\n"),
        marker("<file_sep>"),
        *byte_level("app.py\n"),
    ]
    assert prompt.ids == files + build("midfill", order=order).ids
    assert prompt.context_pieces == 2


@pytest.mark.parametrize("dialect", ["codellama", "left-to-right"])
def test_other_files_are_comments_at_the_head_of_the_prefix(dialect: str) -> None:
    """Where there are no markers for them: behind PRE, never before BOS."""
    comments = (
        "// Path: lib/far.py\n// FAR = 1\n// Path: lib/near.py\n// def near():\n//     pass\n"
    )
    prompt = build(dialect, context=PIECES, line_comment="//", order=Order.AUTO)
    assert prompt.ids == build(dialect, prefix=comments + PREFIX).ids
    assert prompt.context_pieces == 2


def test_a_blank_line_in_a_comment_has_no_blank_at_its_end() -> None:
    """Nobody writes it so."""
    piece = ContextPiece("a.py", "a\n\nb")
    expected = build("codellama", prefix="# Path: a.py\n# a\n#\n# b\n" + PREFIX)
    assert build("codellama", context=(piece,)).ids == expected.ids


def test_what_matters_least_is_left_out_first() -> None:
    """Pieces come least relevant first, and keep their order."""
    pieces = tuple(ContextPiece(f"{n}.py", f"x{n} = {n}\n" * 10) for n in range(10))
    some = build("midfill", 512, context=pieces)
    assert 0 < some.context_pieces < 10
    kept = build("midfill", context=pieces[-some.context_pieces :])
    assert some.ids == kept.ids


def test_a_prefix_that_ends_inside_a_word_is_cut_back() -> None:
    """In both orders alike: what is held will be spelled again."""
    for order in (Order.PSM, Order.SPM):
        healed = build("midfill", prefix="x = pri", order=order, heal=True)
        unhealed = build("midfill", prefix="x =", order=order)
        assert healed.ids == unhealed.ids
        assert (healed.held, healed.healed_tokens) == (b" pri", len(byte_level(" pri")))


budgets = st.integers(16, 200)
pieces = st.builds(ContextPiece, path=code_texts(4), text=code_texts(30))


@pytest.mark.parametrize("dialect", DIALECTS)
@given(
    prefix=code_texts(60),
    suffix=code_texts(60),
    context=st.lists(pieces, max_size=4).map(tuple),
    repo_name=code_texts(20),
    path=code_texts(20),
    heal=st.booleans(),
    budget=budgets,
)
@settings(deadline=None, max_examples=60)
def test_no_prompt_is_over_its_budget(
    dialect: str,
    prefix: str,
    suffix: str,
    context: tuple[ContextPiece, ...],
    repo_name: str,
    path: str,
    heal: bool,
    budget: int,
) -> None:
    """Healed tokens included, which are generated again; and there is always something to go on."""
    request = CompletionRequest(
        prefix, suffix, context=context, repo_name=repo_name, path=path, heal=heal
    )
    prompt = prompter(dialect).build(request, budget, cold)
    assert 0 < len(prompt.ids) + prompt.healed_tokens <= budget


@pytest.mark.parametrize("budget", [16, 64, 512, 2048])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_where_all_is_too_long_each_part_has_its_share(dialect: str, budget: int) -> None:
    """And the budget is used."""
    source = python_source()
    pieces = tuple(ContextPiece("a.py", source[at : at + 100]) for at in range(0, 20_000, 100))
    prompt = build(dialect, budget, prefix=source, suffix=source, context=pieces)
    assert budget * 3 / 8 < len(prompt.ids) <= budget
    assert prompt.context_pieces > 0 or budget < 512


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_long_prefix_keeps_its_end_from_a_line_start_on(dialect: str) -> None:
    """Most of the budget is used."""
    source = python_source()
    prompt = build(dialect, 512, prefix=source, suffix="", order=Order.AUTO)
    tokenizer = TOKENIZERS[dialect]
    shown = b"".join(map(tokenizer.token_bytes, prompt.ids)).decode()
    if tokenizer.token_bytes(tokenizer.encode("x")[0]).startswith(b" "):
        shown = shown.removeprefix(" ")  # SentencePiece's, in front of any text
    assert source.endswith("\n" + shown)
    assert len(prompt.ids) > 512 * 3 / 4


def test_a_long_suffix_keeps_its_begin_to_a_line_end() -> None:
    """A quarter of the budget at most."""
    source = python_source()
    ids = build("midfill", 512, prefix="", suffix=source, order=Order.SPM).ids
    shown = b"".join(map(BYTE_LEVEL.token_bytes, ids)).decode()
    assert source.startswith(shown)
    assert shown.endswith("\n")
    assert 64 < len(ids) <= 128 + 3


@pytest.mark.parametrize("text", ["x = 1  " * 200, "\u00e9" * 500, "x" * 20_000 + "\nprint("])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_lines_that_are_too_long_are_cut_where_they_must(dialect: str, text: str) -> None:
    """Rather than left out: the window is not empty, nor is the suffix."""
    prompt = build(dialect, 128, prefix=text, suffix=text)
    assert len(prompt.ids) > 64


def test_a_suffix_of_wide_tokens_ends_with_a_line_too() -> None:
    """Though the budget would have had room for the rest of it."""
    text = (" " * 60 + "\n") * 100
    ids = build("midfill", 64, prefix="", suffix=text, order=Order.SPM).ids
    assert b"".join(map(BYTE_LEVEL.token_bytes, ids)).endswith(b"\n")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_typing_seldom_moves_the_window(dialect: str) -> None:
    """Else each keystroke would compute the whole prompt anew."""
    own, source = prompter(dialect), python_source()
    typed = source[40_000:40_200]
    cuts = set()
    for length in range(len(typed)):
        request = CompletionRequest(source[:40_000] + typed[:length], heal=False)
        cuts.add(tuple(own.build(request, 1024, cold).ids[:20]))
    assert len(cuts) <= 3


def test_a_cut_moves_in_large_steps_through_a_whole_file() -> None:
    """Some 100,000 characters, and no more than a few hundred different windows."""
    own, source = prompter("midfill"), python_source()
    cuts = set()
    for length in range(2_000, 100_000, 100):
        request = CompletionRequest(source[:length], heal=False)
        cuts.add(tuple(own.build(request, 1024, cold).ids[:20]))
    assert len(cuts) < 350  # 28,000 tokens in steps of about 120


def taken(dialect: str, cached: list[int], **fields: object) -> Order:
    """The order of a prompt while a cache holds these ids."""

    def match(ids: list[int]) -> int:
        return next(
            (n for n, (a, b) in enumerate(zip(ids, cached, strict=False)) if a != b), len(cached)
        )

    request = CompletionRequest(PREFIX, SUFFIX, heal=False)
    return prompter(dialect).build(replace(request, **fields), WIDE, match).order  # type: ignore[arg-type]


@pytest.mark.parametrize(("dialect", "better"), [("codellama", Order.PSM), ("midfill", Order.SPM)])
def test_on_a_tie_the_better_order_is_taken(dialect: str, better: Order) -> None:
    """From a cold cache, for a single completion."""
    assert taken(dialect, []) is better
    assert DIALECTS[dialect].orders[0] is better


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
@pytest.mark.parametrize("dialect", ["codellama", "midfill"])
def test_a_warm_cache_decides_the_order(dialect: str, order: Order) -> None:
    """The one that needs the fewest new tokens."""
    assert taken(dialect, build(dialect, order=order).ids) is order


def test_who_types_is_expected_to_go_on() -> None:
    """So a warm prefix-first prompt loses: each key would compute its suffix again."""
    warm = build("midfill", order=Order.PSM).ids
    assert taken("midfill", warm, priority=Priority.INVOKED) is Order.PSM
    assert taken("midfill", warm, priority=Priority.TYPING) is Order.SPM
    assert len(byte_level(SUFFIX)) * TYPED_AHEAD > len(warm)


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
def test_the_order_asked_for_is_taken(order: Order) -> None:
    """Though the other one would be cheaper."""
    other = Order.SPM if order is Order.PSM else Order.PSM
    assert taken("midfill", build("midfill", order=other).ids, order=order) is order


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
def test_a_model_that_only_continues_has_no_order(order: Order) -> None:
    """The error names the model, and what to do."""
    with pytest.raises(
        InfillingNotSupportedError, match=r"'tiny'.*left-to-right.*use order 'auto'"
    ):
        prompter("left-to-right").orders(order)
    assert prompter("left-to-right").orders(Order.AUTO) == (Order.PSM,)


@pytest.mark.parametrize(
    ("dialect", "tokenizer"), [("codellama", WITHOUT_MARKERS), ("midfill", CODE_LLAMA)]
)
def test_a_dialect_needs_its_markers(dialect: str, tokenizer: Tokenizer) -> None:
    """The error names the model and the token that it lacks, and what to use."""
    with pytest.raises(
        InfillingNotSupportedError, match=r"'tiny' has no token '.*(PRE|fim_prefix).*left-to-right"
    ):
        Prompter(DIALECTS[dialect], tokenizer, "tiny")


def test_an_unknown_dialect_is_refused() -> None:
    """With those that there are."""
    with pytest.raises(InfillingNotSupportedError, match=rf"'klingon'.*{', '.join(DIALECTS)}"):
        choose_dialect(BYTE_LEVEL, "klingon")


@pytest.mark.parametrize(
    ("dialect", "suffix", "scope"),
    [
        ("midfill", ")", Scope.MODEL),
        ("midfill", "\n  \n", Scope.BLOCK),
        ("left-to-right", ")\n", Scope.LINE),
        ("left-to-right", "  \n)", Scope.BLOCK),
        ("left-to-right", "", Scope.BLOCK),
    ],
)
def test_a_model_that_sees_no_suffix_is_stopped_by_rules(
    dialect: str, suffix: str, scope: Scope
) -> None:
    """At the line where text follows on it, else at the block; a trained one stops itself."""
    own = prompter(dialect)
    assert own.scope(CompletionRequest("", suffix)) is scope
    assert own.scope(CompletionRequest("", suffix, scope=Scope.LINE)) is Scope.LINE
