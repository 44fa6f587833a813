"""Settings: whatever a client sends, there are settings, and what was wrong is said."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import ROOT

from midfill.engine.api import CompletionRequest, EngineConfig, Sampling, Scope
from midfill.engine.errors import InvalidRequestError
from midfill.lsp_server.options import describe, read
from midfill.lsp_server.settings import Settings, changed_options, parse, table
from midfill.weights.registry import default_name

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["midfill", "completion", "context", "maxTokens", "exclude", "scope"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(json_values)
def test_any_json_value_gives_settings(raw: object) -> None:
    """And the engine accepts them."""
    settings, _ = parse(raw)
    settings.completion.sampling()
    settings.engine_config()
    CompletionRequest(
        prefix="",
        max_tokens=settings.completion.max_tokens,
        max_prompt_tokens=settings.prompt.max_tokens,
        time_limit_ms=settings.completion.time_limit_ms,
    )


@pytest.mark.parametrize("raw", [None, {}, [], {"midfill": None}, {"midfill": {}, "x": 1}])
def test_nothing_set_gives_the_defaults(raw: object) -> None:
    """Without a complaint."""
    assert parse(raw) == (Settings(), [])


@pytest.mark.parametrize(
    "raw",
    [
        {"completion": {"maxTokens": 7, "scope": "line"}, "disabledLanguages": ["tex"]},
        {
            "midfill": {
                "completion": {"maxTokens": 7, "scope": "line"},
                "disabledLanguages": ["tex"],
            }
        },
        {"completion": {"max_tokens": 7, "scope": "line"}, "disabled_languages": ["tex"]},
    ],
)
def test_options_are_read_with_and_without_the_section_and_in_both_spellings(raw: object) -> None:
    """Editors differ in what they send."""
    settings, problems = parse(raw)
    assert problems == []
    assert settings.completion.max_tokens == 7
    assert settings.completion.scope is Scope.LINE
    assert settings.disabled_languages == ("tex",)


def test_null_means_not_set() -> None:
    """Where it is not a value of its own."""
    assert parse({"model": None, "completion": {"seed": None, "topK": None}}) == (Settings(), [])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"completion": {"maxTokens": 0}},
            "midfill.completion.maxTokens cannot be 0; "
            "allowed: a whole number from 1 to 65536. Using the default, 256",
        ),
        (
            {"completion": {"temperature": float("nan")}},
            "midfill.completion.temperature cannot be nan; "
            "allowed: a number from 0 to 10. Using the default, 0.0",
        ),
        (
            {"completion": {"scope": "page"}},
            "midfill.completion.scope cannot be 'page'; "
            'allowed: "line", "block", "model", "auto". Using the default, "auto"',
        ),
        (
            {"dtype": ["bf16"]},
            "midfill.dtype cannot be ['bf16']; "
            'allowed: "auto", "bf16", "fp32", "int8", "int4". Using the default, "auto"',
        ),
        (
            {"threads": True},
            "midfill.threads cannot be True; "
            "allowed: a whole number from 0 to 1024. Using the default, 0",
        ),
        (
            {"enabled": 1},
            "midfill.enabled cannot be 1; allowed: true or false. Using the default, true",
        ),
        (
            {"completion": {"seed": "x"}},
            "midfill.completion.seed cannot be 'x'; allowed: "
            "a whole number from 0 to 9007199254740992, or null. Using the default, null",
        ),
        (
            {"context": {"exclude": ["*.x", 3]}},
            "midfill.context.exclude cannot be ['*.x', 3]; "
            "allowed: a list; each element a text. Using the default, []",
        ),
        (
            {"context": {"exclude": "*.x"}},
            "midfill.context.exclude cannot be '*.x'; "
            "allowed: a list; each element a text. Using the default, []",
        ),
        (
            {"prompt": 3},
            "midfill.prompt cannot be 3; allowed: an object with options. Using the defaults",
        ),
        (
            {"prompt": {"size": 3}},
            "midfill.prompt.size cannot be 3; "
            "allowed: one of these options: maxTokens. Using none of it",
        ),
    ],
)
def test_a_bad_option_is_named_with_what_is_allowed_and_what_holds(
    raw: object, message: str
) -> None:
    """And everything else is taken."""
    settings, problems = parse(raw)
    assert [str(problem) for problem in problems] == [message]
    assert settings == Settings()


def test_good_options_beside_bad_ones_are_taken() -> None:
    """One mistake does not cost the others."""
    settings, problems = parse({"completion": {"maxTokens": -1, "minP": 0.5}, "threads": 2})
    assert [problem.name for problem in problems] == ["midfill.completion.maxTokens"]
    assert (settings.completion.min_p, settings.threads) == (0.5, 2)


def test_a_long_bad_value_is_shortened_in_the_message() -> None:
    """It goes to the editor's log."""
    _, problems = parse({"threads": "x" * 10_000})
    assert len(str(problems[0])) < 200


def test_every_option_has_a_row_that_says_what_it_means_and_its_default_can_be_read_back() -> None:
    """The docs are made of these."""
    rows = table()
    raw: dict[str, dict[str, object]] = {}
    for row in rows:
        assert row.meaning
        assert row.allowed
        *groups, name = row.name.split(".")
        target: dict[str, object] = raw
        for group in groups:
            target = target.setdefault(group, {})
        target[name] = json.loads(row.default)
    assert len({row.name for row in rows}) == len(rows)
    assert parse(raw) == (Settings(), [])
    meanings = {row.name: row.meaning for row in rows}
    assert meanings["midfill.completion.maxTokens"] == "Tokens, at most."


def test_an_attribute_below_another_without_a_docstring_has_none() -> None:
    """Then the table refuses to be made, and says which is missing."""

    @dataclass(frozen=True)
    class Bare:
        silent: int = 1
        spoken: int = 2
        """Says something."""

    with pytest.raises(KeyError, match="silent"):
        describe(Bare, "bare")
    assert read(Bare, {"silent": 3}, "bare") == (Bare(3), [])


def test_defaults_are_those_of_the_engine() -> None:
    """One fact stands in one place."""
    settings, request = Settings(), CompletionRequest(prefix="")
    assert settings.completion.sampling() == Sampling()
    assert settings.engine_config() == EngineConfig(model=settings.model)
    assert settings.completion.max_tokens == request.max_tokens
    assert settings.completion.scope is request.scope
    assert settings.prompt.max_tokens == request.max_prompt_tokens


def test_the_default_model_is_that_of_the_registry() -> None:
    """The server may not look there itself."""
    assert Settings().model == default_name()


def test_every_engine_option_reaches_the_engine() -> None:
    """None is forgotten on the way."""
    settings = replace(
        Settings(),
        model="m",
        adapter="a",
        dialect="d",
        dtype="fp32",
        device="cpu",
        threads=1,
        cache_slots=2,
        context_length=64,
    )
    config, plain = settings.engine_config(), Settings().engine_config()
    same = {
        f.name for f in fields(EngineConfig) if getattr(config, f.name) == getattr(plain, f.name)
    }
    for_experiments = {"prefill_chunk", "draft_tokens"}  # they change the time, never the text
    assert same == for_experiments


@pytest.mark.parametrize(
    ("group", "option", "request_field"),
    [
        ("completion", "max_tokens", "max_tokens"),
        ("prompt", "max_tokens", "max_prompt_tokens"),
    ],
)
def test_the_engine_accepts_the_whole_range_and_nothing_above(
    group: str, option: str, request_field: str
) -> None:
    """Nor do we."""
    row = next(r for r in table() if r.name == f"midfill.{group}.maxTokens")
    low, high = (int(word) for word in row.allowed.split() if word.isdigit())
    for value in (low, high):
        CompletionRequest(prefix="", **{request_field: value})
        settings, problems = parse({group: {option: value}})
        assert problems == []
        assert getattr(getattr(settings, group), option) == value
    with pytest.raises(InvalidRequestError):
        CompletionRequest(prefix="", **{request_field: high + 1})
    assert [len(parse({group: {option: value}})[1]) for value in (low - 1, high + 1)] == [1, 1]


def test_the_documentation_lists_every_option() -> None:
    """docs/settings.md is this table; the message shows the line to write."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = [line for line in page.split("\n") if line.startswith("| `midfill.")]
    assert documented == [
        f"| `{row.name}` | {row.allowed} | `{row.default}` | {row.meaning} |" for row in table()
    ]


def test_a_pattern_that_nothing_can_match_is_left_out_alone() -> None:
    """The user is told which, and why."""
    settings, problems = parse({"context": {"exclude": ["a/", "[b", "!c", "d\\"]}})
    assert settings.context.exclude == ("a/", "!c")
    assert [problem.value for problem in problems] == ["[b", "d\\"]
    assert str(problems[0]) == (
        "midfill.context.exclude cannot be '[b'; allowed: patterns as in .gitignore; this one "
        "ends within brackets or behind a backslash. Using the others"
    )


def test_changed_options_are_those_that_are_not_the_defaults() -> None:
    """The log tells them, for whoever looks for a fault."""
    assert changed_options(Settings()) == {}
    settings, _ = parse({"model": "m", "completion": {"temperature": 0.5, "maxTokens": 256}})
    assert changed_options(settings) == {"model": "m", "completion": {"temperature": 0.5}}
