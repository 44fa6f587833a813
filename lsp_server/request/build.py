r"""The engine's request for one hole, as the language server and the command line both make it.

Long texts are cut here in characters, generously; the engine cuts further, in tokens. The cut must
not move with every keystroke, or nothing of the prompt would stay in the cache. So it is made at an
*anchor*: the first line start at or after a multiple of the stride, counted from the start of the
text for the prefix and from its end for the suffix. However much is typed, the prefix's cut moves
once in a stride, and typing does not move the suffix's at all.

::

    build_request(located, settings, context=(), priority=COMMAND_LINE)

Secrets are masked, in as many characters; the document itself is never changed.

What it decides can be overridden with ``dataclasses.replace(request, order=...)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.engine.api import CompletionRequest, ContextPiece, Priority, Scope
from midfill.lsp_server.settings import CHARACTERS_PER_TOKEN
from midfill.lsp_server.text.secrets import WITHIN, masked_part

if TYPE_CHECKING:
    from midfill.lsp_server.settings import CompletionSettings, Settings
    from midfill.lsp_server.text.located import Hole, Located
    from midfill.lsp_server.text.snapshot import Snapshot

DENSE_CHARACTERS_PER_TOKEN = 3
"""Characters; fewer than most code has, so that the engine does not cut."""
READ_MS = 400
"""Milliseconds; somebody who types or waits should not wait longer for a prompt to be read."""
STRIDES = 8
"""Strides in a window; the cut moves by one of them at a time."""


def build_request(
    located: Located,
    settings: Settings,
    *,
    context: tuple[ContextPiece, ...] = (),
    priority: Priority = Priority.COMMAND_LINE,
) -> CompletionRequest:
    """The request to fill a hole.

    Raises:
        InvalidRequestError: a setting is out of range (never one that came from ``parse``).
    """
    window = settings.prompt.max_tokens * CHARACTERS_PER_TOKEN
    hole, completion = located.hole, settings.completion
    prefix, suffix = end_of(hole.prefix, window), start_of(hole.suffix, window)
    if settings.context.mask_secrets:
        prefix, suffix = _masked(located, prefix, suffix)
    return CompletionRequest(
        prefix=prefix,
        suffix=suffix,
        context=context,
        repo_name=located.root.name if located.root else None,
        path=located.name,
        line_comment=located.language.line_comment,
        document=located.snapshot.uri,
        priority=priority,
        heal=completion.heal,
        allow_empty=priority not in (Priority.COMMAND_LINE, Priority.INVOKED),
        read_ms=READ_MS if priority in (Priority.TYPING, Priority.INVOKED) else None,
        scope=scope_in(hole, completion),
        max_tokens=completion.max_tokens,
        max_prompt_tokens=settings.prompt.max_tokens,
        time_limit_ms=completion.time_limit_ms,
        sampling=completion.sampling(),
        tries=completion.tries,
    )


def _masked(located: Located, prefix: str, suffix: str) -> tuple[str, str]:
    """The two sides of a hole without secrets, of which one may have the hole in it."""
    hole = located.hole
    start, end = len(hole.prefix) - len(prefix), len(suffix)
    before, after = hole.prefix[max(start - WITHIN, 0) : start], hole.suffix[end : end + WITHIN]
    text = masked_part(before, prefix + suffix, after, located.snapshot.language_id)
    return text[: len(prefix)], text[len(prefix) :]


def scope_in(hole: Hole, completion: CompletionSettings) -> Scope:
    """How far a completion may reach: to the line's end only where text follows on the line."""
    rest_of_line = hole.suffix.partition("\n")[0]
    in_line = completion.multiline == "auto" and bool(rest_of_line.strip())
    return Scope.LINE if in_line or completion.multiline == "never" else completion.scope


def end_of(prefix: str, size: int) -> str:
    """The end of a prefix, from an anchor on: at most ``size`` characters."""
    if len(prefix) <= size:
        return prefix
    stride = max(size // STRIDES, 1)
    multiple = -(-(len(prefix) - size) // stride) * stride
    line_start = prefix.find("\n", multiple - 1, multiple + stride - 1) + 1
    return prefix[line_start or multiple :]


def start_of(suffix: str, size: int) -> str:
    """The start of a suffix, up to an anchor: at most ``size`` characters."""
    if len(suffix) <= size:
        return suffix
    stride = max(size // STRIDES, 1)
    multiple = len(suffix) - -(-(len(suffix) - size) // stride) * stride
    line_start = suffix.rfind("\n", multiple - stride, multiple) + 1
    return suffix[: line_start or multiple]


def head_end(snapshot: Snapshot, context: tuple[ContextPiece, ...], max_tokens: int) -> int:
    """The offset up to which a document's first lines fit into a prompt beside its context.

    A prompt for any place in them starts with the same tokens, if the prefix comes first in it.
    """
    size = max_tokens * DENSE_CHARACTERS_PER_TOKEN - sum(len(piece.text) for piece in context)
    if len(snapshot.text) <= size:
        return len(snapshot.text)
    return snapshot.line_start(snapshot.line_of(max(size, 0)))
