"""The engine's public boundary: plain frozen values in, a stream of plain frozen values out.

Importing this module never imports torch, so the language server can talk about completions before
(and while) the model loads.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Protocol

from midfill.weights.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def _require(ok: bool, name: str, value: object, allowed: str) -> None:  # noqa: FBT001
    if not ok:
        raise InvalidRequestError(f"{name} is {value!r}; it must be {allowed}")


class Order(Enum):
    """Where the suffix stands in the prompt (Bavarian et al. 2022, section 3)."""

    AUTO = "auto"
    """The trained order that needs the fewest new tokens, those of the next keystrokes included
    while the user types; on a tie, the dialect's better one."""
    PSM = "psm"
    """Prefix, suffix, middle."""
    SPM = "spm"
    """Suffix, prefix, middle."""
    ANCHORED = "anchored"
    """Prefix, suffix, middle, where the end of the text before the cursor begins the middle: what
    is typed only appends. AUTO has it where no order with the suffix first was trained."""


class Priority(IntEnum):
    """Who goes first when several requests wait: the smaller value."""

    TYPING = 0
    INVOKED = 1
    COMMAND_LINE = 2
    PREFETCH = 3
    PREWARM = 4


class Scope(Enum):
    """How far a completion may reach before the stop rules end it."""

    LINE = "line"
    """Until the end of the line."""
    BLOCK = "block"
    """Until the end of the block the cursor is in, by indentation."""
    MODEL = "model"
    """Until the model ends it."""
    AUTO = "auto"
    """MODEL for a model trained to infill, if there is a suffix; else LINE where text follows on
    the cursor's line, and BLOCK where none does."""


class FinishReason(Enum):
    """Why a completion ended."""

    END_OF_MIDDLE = "end_of_middle"
    """The model emitted a token that ends the middle."""
    MAX_TOKENS = "max_tokens"
    TIME_LIMIT = "time_limit"
    LINE = "line"
    BLOCK = "block"
    SUFFIX = "suffix"
    """The text ran into what already follows the cursor."""
    REPETITION = "repetition"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    """A newer request of the same document took its place."""


@dataclass(frozen=True, slots=True)
class ContextPiece:
    """A part of another file, shown to the model before the prefix.

    Pieces are given least relevant first and keep that order in the prompt; when the token budget
    is short, those at the start are left out.
    """

    path: str
    """Relative to the repository root, with forward slashes."""
    text: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. The default is greedy."""

    temperature: float = 0.0
    """0 is greedy; otherwise logits are divided by it."""
    top_k: int = 0
    """Keep the k likeliest tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set with at least this probability (Holtzman et al. 2020)."""
    min_p: float = 0.0
    """Drop tokens less likely than this share of the likeliest one's (Nguyen et al. 2024)."""
    repetition_penalty: float = 1.0
    """Divides positive logits of tokens already generated (Keskar et al. 2019); 1 is off."""
    seed: int | None = None
    """The generator's seed; None draws one."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _require(self.temperature >= 0, "temperature", self.temperature, "0 (greedy) or more")
        _require(self.top_k >= 0, "top_k", self.top_k, "0 (off) or more")
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "over 0 and at most 1 (off)")
        _require(0 <= self.min_p < 1, "min_p", self.min_p, "0 (off) or more and under 1")
        _require(
            self.repetition_penalty > 0, "repetition_penalty", self.repetition_penalty, "over 0"
        )
        if self.seed is not None:
            _require(0 <= self.seed < 2**63, "seed", self.seed, "0 to 2**63 - 1")


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One hole to fill; once accepted, the text is ``prefix + middle + suffix``."""

    prefix: str
    suffix: str = ""
    context: tuple[ContextPiece, ...] = ()
    repo_name: str | None = None
    path: str | None = None
    """Path of the file with the hole, relative to the repository root."""
    line_comment: str = "#"
    """The language's line comment, for dialects that carry context as comments."""
    document: str = ""
    """Requests of one document supersede each other; empty: this one does not."""
    priority: Priority = Priority.COMMAND_LINE
    order: Order = Order.AUTO
    heal: bool = True
    """Token healing, see engine.healing."""
    allow_empty: bool = True
    """Whether the model may find that nothing is missing; False where somebody asked for text."""
    scope: Scope = Scope.AUTO
    max_tokens: int = 256
    """Generated at most; 0 only fills the cache with the prompt."""
    max_prompt_tokens: int = 2048
    """The prompt is cut to this, and to what the model's context leaves."""
    read_ms: int | None = None
    """About so long may reading take what of the prompt is not cached; a prompt that takes longer
    is cut further, and the whole one is read behind the answer. None: the whole one at once."""
    time_limit_ms: int | None = None
    """From the start of work on the request; the first line is never cut."""
    sampling: Sampling = Sampling()
    tries: int = 1
    """Completions written at most, of which the one that fits best between prefix and suffix is
    given, see engine.generation.best_of. With more than one nothing can be streamed."""
    alternatives: int = 0
    """How many of the others are wanted too, at most: those that fit best."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        _require(0 <= self.max_tokens <= 65536, "max_tokens", self.max_tokens, "0 to 65536")
        _require(1 <= self.tries <= 64, "tries", self.tries, "1 to 64")
        _require(
            0 <= self.alternatives < self.tries,
            "alternatives",
            self.alternatives,
            "0 or more, and less than tries",
        )
        _require(
            16 <= self.max_prompt_tokens <= 1 << 20,
            "max_prompt_tokens",
            self.max_prompt_tokens,
            "16 to 1048576",
        )
        if self.time_limit_ms is not None:
            _require(self.time_limit_ms >= 1, "time_limit_ms", self.time_limit_ms, "1 or more")
        if self.read_ms is not None:
            _require(self.read_ms >= 1, "read_ms", self.read_ms, "1 or more")


@dataclass(frozen=True, slots=True)
class CompletionStats:
    """What a finished completion cost and how sure the model was; all 0 if work never began."""

    finish_reason: FinishReason
    order: Order = Order.AUTO
    """The one used, never AUTO; PSM for a model that only sees the prefix."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Tokens of the prompt taken from the cache."""
    prefilled_tokens: int = 0
    """Tokens of the prompt computed for this request."""
    healed_tokens: int = 0
    """Cut off the prompt's end by healing, and generated again."""
    generated_tokens: int = 0
    drafted_tokens: int = 0
    """Guessed, and checked by the model."""
    accepted_tokens: int = 0
    """Drafted tokens that were generated."""
    context_pieces: int = 0
    """Pieces of the request's context that fitted."""
    tries: int = 1
    """Completions written for this one; their tokens and time are counted above and below."""
    is_short: bool = False
    """The prompt was cut so that it could be read in time, see ``CompletionRequest.read_ms``."""
    mean_logprob: float = 0.0
    """Mean natural logarithm of the generated tokens' probabilities."""
    queue_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """One token of the raw output, before stop rules cut the text."""

    id: int
    logprob: float
    """Natural logarithm of its probability under the model, before sampling options."""


@dataclass(frozen=True, slots=True)
class CompletionChunk:
    """Settled text: joined over the stream it is the completion; none is ever taken back."""

    text: str
    tokens: tuple[GeneratedToken, ...] = ()
    """Generated since the last chunk; their text may settle only in a later one."""
    stats: CompletionStats | None = None
    """On the last chunk of a stream, and only there."""
    alternatives: tuple[CompletionChunk, ...] = ()
    """On that one: other completions, each whole, the one that fits best in front."""


class CompletionStream(Protocol):
    """The chunks of one completion, as they settle; iterate once, in a thread or a loop."""

    def __iter__(self) -> Iterator[CompletionChunk]:
        """Block for each chunk; raise the MidfillError that ended the completion, if one did."""
        ...

    def __aiter__(self) -> AsyncIterator[CompletionChunk]:
        """Like ``__iter__``, for a running event loop."""
        ...

    def cancel(self) -> None:
        """Ask for an early end, from any thread: ``FinishReason.CANCELLED``."""
        ...


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What was opened, for logs and status lines."""

    model: str
    dialect: str
    parameters: int
    context_length: int
    """Tokens, prompt and completion together."""
    dtype: str
    device: str
    device_reason: str
    """Why this device and dtype were chosen."""
    warning: str = ""
    """What the user should know of it: that it looks as if it could infill, and does not."""


class Engine(Protocol):
    """A loaded model behind one worker thread."""

    @property
    def info(self) -> EngineInfo:
        """What was opened."""
        ...

    def infill(self, request: CompletionRequest) -> CompletionStream:
        """Queue a request and return its stream at once.

        Raises:
            InfillingNotSupportedError: the model was not trained on the order asked for.
            EngineClosedError: after close().
        """
        ...

    def close(self) -> None:
        """Cancel all requests, end the worker thread; the last reference frees the model."""
        ...


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How to open a model."""

    model: str
    """A registry name, a GGUF file or a Hugging Face folder."""
    adapter: str | None = None
    """A folder with a PEFT LoRA adapter to lay over the model."""
    dialect: str | None = None
    """A name from engine.prompt.dialects.DIALECTS; None chooses by the model."""
    dtype: str = "auto"
    """auto, bf16, fp32, and on a processor int8 or int4."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    threads: int = 0
    """Threads of the model's arithmetic; 0 takes the physical cores."""
    cache_slots: int = 3
    context_length: int = 0
    """Tokens a slot may hold; 0 takes the model's, at most 16384."""
    prefill_chunk: int = 0
    """Tokens a forward pass of the prompt takes at most; 0 follows the measured rate."""
    draft_tokens: int = 7
    """Tokens drafted at most between two of the model's; 0 drafts none."""

    def __post_init__(self) -> None:
        """Refuse values out of range; names of models, dialects and devices are checked later."""
        _require(0 <= self.threads <= 1024, "threads", self.threads, "0 (automatic) to 1024")
        _require(1 <= self.cache_slots <= 64, "cache_slots", self.cache_slots, "1 to 64")
        is_possible = 0 <= self.context_length <= 1 << 20
        _require(is_possible, "context_length", self.context_length, "0 (the model's) to 1048576")
        _require(0 <= self.draft_tokens <= 7, "draft_tokens", self.draft_tokens, "0 to 7")
        _require(self.prefill_chunk >= 0, "prefill_chunk", self.prefill_chunk, "0 or more")
