"""The settings: nested, fully defaulted, frozen; ``parse`` never raises.

The dataclasses below are the one place where an option's name, default, range and meaning stand;
the table in the docs and the extension's ``package.json`` are compared with ``table()`` by tests.
Clients write the options under the section ``midfill``, in camel case: ``max_tokens`` of
``completion`` is ``midfill.completion.maxTokens`` (the Python spelling is understood too).

::

    parse(raw) -> (Settings, [Problem, ...])       raw: any JSON value; None gives the defaults
    changed_options(settings) -> {"completion": {"temperature": 0.8}}
    table() -> (Row(name, allowed, default, meaning), ...)
    Settings().engine_config() -> EngineConfig
    Settings().completion.sampling() -> Sampling
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal

from midfill.engine.api import CompletionRequest, EngineConfig, Sampling, Scope
from midfill.lsp_server.options import Problem, Range, Row, describe, read
from midfill.lsp_server.text.git_patterns import pattern_problem

__all__ = [
    "SECTION",
    "CompletionSettings",
    "ContextSettings",
    "Problem",
    "PromptSettings",
    "Row",
    "Settings",
    "changed_options",
    "parse",
    "table",
]

SECTION = "midfill"
"""Section of the client's configuration."""

SCHEMES = ("file", "untitled", "vscode-notebook-cell", "vscode-remote", "vscode-vfs")
"""URI schemes of documents that a user edits; not of diffs, output panes, folder listings."""

CHARACTERS_PER_TOKEN = 4
"""Characters; more than most code has, so that the engine's cut decides."""

_ENGINE = EngineConfig(model="midfill-135m")
_REQUEST = CompletionRequest(prefix="")
_SAMPLING = Sampling()

MOST_CANDIDATES = 8


@dataclass(frozen=True, slots=True)
class CompletionSettings:
    """What a completion may be.

    A record with a field for each option, and so as long as there are options.
    """

    max_tokens: Annotated[int, Range(1, 65536)] = _REQUEST.max_tokens
    """Tokens, at most."""
    time_limit_ms: Annotated[int, Range(1, 600_000)] | None = 2000
    """Milliseconds of work, at most, though the first line is never cut; null: no limit."""
    scope: Scope = _REQUEST.scope
    """How far it may reach: line, block (by indentation), model (until it stops), or auto."""
    multiline: Literal["auto", "always", "never"] = "auto"
    """Whether it may have several lines; auto: where no text follows the cursor on its line."""
    debounce_ms: Annotated[int, Range(0, 10_000)] = 0
    """Milliseconds without a newer request before work starts; a request in work is cancelled."""
    heal: bool = _REQUEST.heal
    """Token healing: let the model write the last, unfinished token again."""
    temperature: Annotated[float, Range(0, 10)] = _SAMPLING.temperature
    """0 is greedy: the likeliest token, always."""
    top_k: Annotated[int, Range(0, 1_000_000)] = _SAMPLING.top_k
    """Choose among this many tokens; 0: all."""
    top_p: Annotated[float, Range(0.01, 1)] = _SAMPLING.top_p
    """Choose among the likeliest tokens with this probability together; 1: all."""
    min_p: Annotated[float, Range(0, 0.99)] = _SAMPLING.min_p
    """Drop tokens less likely than this share of the likeliest; 0: none."""
    repetition_penalty: Annotated[float, Range(0.01, 100)] = _SAMPLING.repetition_penalty
    """Over 1 discourages what the completion said already; 1: off."""
    seed: Annotated[int, Range(0, 2**53)] | None = _SAMPLING.seed
    """Seed of the random numbers when the temperature is not 0; null: another one each time."""
    tries: Annotated[int, Range(1, 16)] = _REQUEST.tries
    """Completions to write at most; shown is the one that fits best, all at once and later."""
    candidates: Annotated[int, Range(1, MOST_CANDIDATES)] = 1
    """Different completions offered where one is asked for by hand, at most."""

    def sampling(self) -> Sampling:
        """The part that chooses tokens, as the engine takes it."""
        return Sampling(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            seed=self.seed,
        )


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """What the model reads."""

    max_tokens: Annotated[int, Range(16, 1 << 20)] = _REQUEST.max_prompt_tokens
    """Tokens of the whole prompt, at most; the model's context may allow fewer."""


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """Which parts of other files the model reads."""

    enabled: bool = True
    """Whether it reads any."""
    recent_edits: bool = True
    """The surroundings of recent edits in other open documents."""
    open_documents: bool = True
    """Documents that are open in the editor."""
    imports: bool = True
    """Files of the workspace that the current one imports: signatures and imported names."""
    neighbours: bool = True
    """Files of the same folder and language."""
    max_tokens: Annotated[int, Range(0, 1 << 20)] = _REQUEST.max_prompt_tokens // 2
    """Tokens of all parts together, at 4 characters each; the prompt's limit cuts further."""
    max_pieces: Annotated[int, Range(0, 100)] = 8
    """Parts, at most."""
    max_piece_lines: Annotated[int, Range(1, 1000)] = 30
    """Lines of a part, at most; larger files are cut to what matters."""
    max_files: Annotated[int, Range(0, 1000)] = 32
    """Files looked at on disk for one context, at most."""
    max_file_bytes: Annotated[int, Range(1, 1 << 26)] = 1 << 18
    """Bytes; larger files are left out."""
    time_limit_ms: Annotated[int, Range(1, 10_000)] = 150
    """Milliseconds of reading files, at most; what was read by then is used."""
    mask_secrets: bool = True
    """Stars in place of keys, tokens and passwords, also in the current document's own text."""
    exclude: tuple[str, ...] = ()
    """Patterns as in .gitignore, after the built-in ones (secrets, builds); "!" takes back."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All options.

    A record with a field for each option, and so as long as there are options.
    """

    enabled: bool = True
    """Whether completions are offered at all."""
    disabled_languages: tuple[str, ...] = ()
    """Language ids without completions, such as plaintext or markdown."""
    model: str = _ENGINE.model
    """A name from `midfill models list`, a GGUF file or a Hugging Face folder."""
    adapter: str | None = _ENGINE.adapter
    """A folder with a LoRA adapter in PEFT's format to lay over the model; null: none."""
    dialect: str | None = _ENGINE.dialect
    """How infilling prompts are built; null: by the model."""
    dtype: Literal["auto", "bf16", "fp32", "int8", "int4"] = "auto"
    """Number format of the model's arithmetic."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the model runs."""
    threads: Annotated[int, Range(0, 1024)] = _ENGINE.threads
    """Threads of the model's arithmetic; 0: one for each physical core."""
    cache_slots: Annotated[int, Range(1, 64)] = _ENGINE.cache_slots
    """Prompts kept in memory to be continued."""
    prewarm: bool = True
    """Prepare the head of a document when it opens; needs two or more cache slots."""
    prefetch: bool = True
    """While a suggestion is shown, prepare the one that follows when it is accepted."""
    context_length: Annotated[int, Range(0, 1 << 20)] = _ENGINE.context_length
    """Tokens of prompt and completion a slot may hold; 0: what the model was made for."""
    log_level: Literal["error", "warning", "info", "debug"] = "info"
    """The least important messages that are logged."""
    completion: CompletionSettings = CompletionSettings()
    prompt: PromptSettings = PromptSettings()
    context: ContextSettings = ContextSettings()

    def serves(self, uri: str, language_id: str) -> bool:
        """Whether the user wants completions in a document."""
        return (
            self.enabled
            and language_id not in self.disabled_languages
            and uri.partition(":")[0] in SCHEMES
        )

    def engine_config(self) -> EngineConfig:
        """What to open; when it differs after a change of settings, the model loads anew."""
        return EngineConfig(
            model=self.model,
            adapter=self.adapter,
            dialect=self.dialect,
            dtype=self.dtype,
            device=self.device,
            threads=self.threads,
            cache_slots=self.cache_slots,
            context_length=self.context_length,
        )


def parse(raw: object) -> tuple[Settings, list[Problem]]:
    """The settings in a client's JSON value, with defaults for what is bad, and what is bad.

    Clients send either the options or an object that has them under ``midfill``.
    """
    if isinstance(raw, dict) and SECTION in raw:
        raw = raw[SECTION]
    settings, problems = read(Settings, raw, SECTION)
    bad = {each: why for each in settings.context.exclude if (why := pattern_problem(each))}
    name = f"{SECTION}.context.exclude"
    rule = "patterns as in .gitignore; this one"
    problems += [Problem(name, each, f"{rule} {why}", "the others") for each, why in bad.items()]
    good = tuple(each for each in settings.context.exclude if each not in bad)
    return replace(settings, context=replace(settings.context, exclude=good)), problems


def changed_options(settings: Settings) -> dict[str, object]:
    """The options that are not the defaults, nested as clients write them, in Python's spelling."""
    return _differing(asdict(settings), asdict(Settings()))


def _differing(options: dict[str, Any], defaults: dict[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in options.items():
        inner = _differing(value, defaults[name]) if isinstance(value, dict) else value
        if value != defaults[name]:
            found[name] = inner
    return found


def table() -> tuple[Row, ...]:
    """Every option, in order."""
    return describe(Settings, SECTION)
