"""Options of the commands that open a model themselves: which, how it computes, how much it reads.

::

    add_model_options(parser)
    settings = with_model_options(Settings(), args)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args, get_type_hints

from midfill.lsp_server.settings import Settings

if TYPE_CHECKING:
    import argparse

MAX_PROMPT_TOKENS = 4096
"""Tokens of a prompt, at most: twice what ghost text gets, since nobody types meanwhile."""

_DEFAULT = Settings()


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add a group of options; ``with_model_options`` understands them."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="NAME|PATH", help="see midfill models list")
    group.add_argument("--adapter", metavar="FOLDER", help="a LoRA adapter to lay over the model")
    group.add_argument("--dialect", metavar="NAME", help="prompt layout; default: the model's")
    group.add_argument(
        "--dtype",
        choices=_choices("dtype"),
        default=_DEFAULT.dtype,
        help="number format of the weights (default: %(default)s)",
    )
    group.add_argument(
        "--device",
        choices=_choices("device"),
        default=_DEFAULT.device,
        help="where the model runs (default: %(default)s)",
    )
    group.add_argument(
        "--threads",
        type=int,
        default=_DEFAULT.threads,
        metavar="N",
        help="of the model's arithmetic (default: one for each physical core)",
    )
    group.add_argument(
        "--context-length",
        type=int,
        default=_DEFAULT.context_length,
        metavar="N",
        help="tokens of prompt and completion (default: what the model was made for)",
    )
    group.add_argument(
        "--max-prompt-tokens",
        type=int,
        default=MAX_PROMPT_TOKENS,
        metavar="N",
        help="tokens that the model reads, at most; half of them from other files"
        " (default: %(default)s)",
    )


def with_model_options(settings: Settings, args: argparse.Namespace) -> Settings:
    """The settings with these options over them; whoever uses a value checks its range."""
    tokens = args.max_prompt_tokens
    return replace(
        settings,
        model=args.model or settings.model,
        adapter=args.adapter,
        dialect=args.dialect,
        dtype=args.dtype,
        device=args.device,
        threads=args.threads,
        context_length=args.context_length,
        prompt=replace(settings.prompt, max_tokens=tokens),
        context=replace(settings.context, max_tokens=tokens // 2),
    )


def _choices(name: str) -> tuple[str, ...]:
    """The words that a setting may be."""
    return get_args(get_type_hints(Settings)[name])
