r"""The engine's request for one hole, as the language server and the command line both make it.

Long texts are cut here in characters, generously; the engine cuts further, in tokens. The cut must
not move with every keystroke, or nothing of the prompt would stay in the cache. So it is made at an
*anchor*: the first line start at or after a multiple of the stride, counted from the start of the
text for the prefix and from its end for the suffix. However much is typed, the prefix's cut moves
once in a stride, and typing does not move the suffix's at all.

::

    build_request(snapshot, (start, end), settings, roots=(), context=(), priority=COMMAND_LINE)

What it decides can be overridden with ``dataclasses.replace(request, order=...)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midfill.engine.api import CompletionRequest, ContextPiece, Priority, Scope
from midfill.lsp_server.context.workspace_files import path_of, root_of
from midfill.lsp_server.settings import CHARACTERS_PER_TOKEN
from midfill.lsp_server.text.languages import language
from midfill.lsp_server.text.lines import with_newlines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from midfill.lsp_server.settings import CompletionSettings, Settings
    from midfill.lsp_server.text.snapshot import Snapshot

DENSE_CHARACTERS_PER_TOKEN = 3
"""Fewer than most code has, so that the engine does not cut."""
READ_MS = 400
"""Somebody who types or waits should not wait longer for a prompt to be read."""
STRIDES = 8
"""Of the window; the cut moves by one of them at a time."""


def build_request(
    snapshot: Snapshot,
    hole: tuple[int, int],
    settings: Settings,
    *,
    roots: Sequence[Path] = (),
    context: tuple[ContextPiece, ...] = (),
    priority: Priority = Priority.COMMAND_LINE,
) -> CompletionRequest:
    r"""The request to replace the text between two offsets, with "\n" line ends.

    Raises:
        InvalidRequestError: a setting is out of range (never one that came from ``parse``).
    """
    start, end = hole
    window = settings.prompt.max_tokens * CHARACTERS_PER_TOKEN
    path = path_of(snapshot.uri)
    root = root_of(path, roots) if path else None
    completion = settings.completion
    return CompletionRequest(
        prefix=with_newlines(snapshot.text[window_start(snapshot, start, window) : start]),
        suffix=with_newlines(snapshot.text[end : window_end(snapshot, end, window)]),
        context=context,
        repo_name=root.name if root else None,
        path=_shown(path, root),
        line_comment=language(snapshot.language_id).line_comment,
        document=snapshot.uri,
        priority=priority,
        heal=completion.heal,
        allow_empty=priority not in (Priority.COMMAND_LINE, Priority.INVOKED),
        read_ms=READ_MS if priority in (Priority.TYPING, Priority.INVOKED) else None,
        scope=scope_at(snapshot, end, completion),
        max_tokens=completion.max_tokens,
        max_prompt_tokens=settings.prompt.max_tokens,
        time_limit_ms=completion.time_limit_ms,
        sampling=completion.sampling(),
        tries=completion.tries,
    )


def scope_at(snapshot: Snapshot, offset: int, completion: CompletionSettings) -> Scope:
    """How far a completion may reach: to the line's end only where text follows on the line."""
    rest_of_line = snapshot.text[offset : snapshot.line_end(snapshot.line_of(offset))]
    in_line = completion.multiline == "auto" and bool(rest_of_line.strip())
    return Scope.LINE if in_line or completion.multiline == "never" else completion.scope


def window_start(snapshot: Snapshot, offset: int, size: int) -> int:
    """Where the prefix of at most ``size`` characters starts that ends at ``offset``."""
    if offset <= size:
        return 0
    stride = max(size // STRIDES, 1)
    multiple = -(-(offset - size) // stride) * stride
    line = snapshot.line_of(multiple - 1) + 1
    is_near = line < snapshot.line_count and snapshot.line_start(line) < multiple + stride
    return snapshot.line_start(line) if is_near else multiple


def window_end(snapshot: Snapshot, offset: int, size: int) -> int:
    """Where the suffix of at most ``size`` characters ends that starts at ``offset``."""
    length = len(snapshot.text)
    if length - offset <= size:
        return length
    stride = max(size // STRIDES, 1)
    multiple = length - -(-(length - offset - size) // stride) * stride
    line_start = snapshot.line_start(snapshot.line_of(multiple))
    return line_start if line_start > multiple - stride else multiple


def head_end(snapshot: Snapshot, context: tuple[ContextPiece, ...], max_tokens: int) -> int:
    """Where the first lines of a document end that fit into a prompt together with its context.

    A prompt for any place in them starts with the same tokens, if the prefix comes first in it.
    """
    size = max_tokens * DENSE_CHARACTERS_PER_TOKEN - sum(len(piece.text) for piece in context)
    if len(snapshot.text) <= size:
        return len(snapshot.text)
    return snapshot.line_start(snapshot.line_of(max(size, 0)))


def _shown(path: Path | None, root: Path | None) -> str | None:
    """The path as the model sees it: from the workspace folder, or the file's name alone."""
    if path is None:
        return None
    return path.relative_to(root).as_posix() if root else path.name
