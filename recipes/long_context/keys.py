"""Key retrieval: whether the model finds one line in a long text (Code Llama, section 3.3).

A function that returns a number stands at some depth in a haystack of code. Behind all of it, the
model continues ``assert the_key() == `` and must write that number.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine import CompletionRequest, Scope
from midfill.engine.errors import InvalidRequestError
from midfill.recipes.evaluation.completions import complete_until

if TYPE_CHECKING:
    from midfill.engine import Engine
    from midfill.engine.tokens.tokenizer import Tokenizer

ROOM = 96
"""Tokens beside the haystack, for the key, the question and the answer."""
_ANSWER_TOKENS = 12
_NUMBER = re.compile(r"\s*(\d+)")
_QUESTION = "\n\nassert the_key() == "


@dataclass(frozen=True, slots=True)
class Hunt:
    """One haystack with a key."""

    length: int
    """Tokens of the whole prompt, at most."""
    depth: float
    """The key's place: 0 is the start of the haystack, 1 its end."""
    trial: int

    @property
    def name(self) -> str:
        """The name in journals."""
        return f"{self.length} tokens, depth {self.depth:g}, trial {self.trial}"


@dataclass(frozen=True, slots=True)
class Hidden:
    """A prompt and the number that answers it."""

    prompt: str
    key: int


def hide(hunt: Hunt, tokenizer: Tokenizer, haystack: str, seed: int) -> Hidden:
    """The prompt of a hunt: whole lines of the haystack, from a place drawn for each trial.

    Raises:
        InvalidRequestError: the haystack is too short.
    """
    draw = random.Random(f"{seed}:{hunt.length}:{hunt.trial}")  # noqa: S311  drawn, not secret
    key = random.Random(f"{seed}:{hunt.name}").randrange(10_000, 100_000)  # noqa: S311
    lines = _lines(hunt.length - ROOM, tokenizer, haystack, draw)
    place = _boundary(lines, hunt.depth)
    function = f'def the_key():\n    """Asked for at the end."""\n    return {key}\n\n\n'
    text = "".join(lines[:place]) + function + "".join(lines[place:])
    return Hidden(text.rstrip() + _QUESTION, key)


def seek(engine: Engine, hidden: Hidden, length: int) -> dict[str, object]:
    """Ask, and say whether the number came."""
    request = CompletionRequest(
        hidden.prompt,
        scope=Scope.LINE,
        max_tokens=_ANSWER_TOKENS,
        max_prompt_tokens=max(16, length + ROOM),
    )
    completed = complete_until(engine, request, ("\n",))
    found = _NUMBER.match(completed.text)
    right = found is not None and int(found[1]) == hidden.key
    return {"wanted": hidden.key, "answer": completed.text, "found": right, **completed.costs()}


def _lines(tokens: int, tokenizer: Tokenizer, haystack: str, draw: random.Random) -> list[str]:
    """Whole lines of so many tokens at most; they go on at the start behind the end."""
    lines = haystack.splitlines(keepends=True)
    if tokens < 1 or not lines:
        raise InvalidRequestError(
            f"a prompt must have over {ROOM} tokens and there must be text to hide a key in"
        )
    first = draw.randrange(len(lines))
    rest = [*lines[first:], *lines[:first]]
    kept: list[str] = []
    for line in rest:
        tokens -= len(tokenizer.encode(line))
        if tokens < 0:
            return kept
        kept.append(line)
    raise InvalidRequestError(
        f"the text is {tokens} tokens too short for the longest prompt: give more with --text"
    )


def _boundary(lines: list[str], depth: float) -> int:
    """The number of lines before the key: the start of a top-level definition near that depth."""
    wanted = depth * len(lines)
    starts = [0, len(lines)]
    starts += [
        number for number, line in enumerate(lines) if line.startswith(("def ", "class ", "@"))
    ]
    return min(starts, key=lambda number: abs(number - wanted))
