"""How each family of models wants its prompt: one row of ``DIALECTS`` a family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from midfill.engine.api import Order
from midfill.engine.errors import InfillingNotSupportedError
from midfill.engine.stopping.suffix_fit import EndWeights

if TYPE_CHECKING:
    from midfill.engine.tokens.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of models wants its prompt."""

    name: str
    markers: tuple[str, str, str] | None = None
    """The pieces for prefix, suffix and middle; None if the family cannot infill."""
    orders: tuple[Order, ...] = ()
    """Orders it was trained on, the better one first; empty for left-to-right."""
    file_markers: tuple[str, str] | None = None
    """The pieces for repository name and file separator; None puts other files in comments."""
    end_at_line: float = 1.0
    """Where a line ends, the middle ends too if that is at least this probable and the line opens
    nothing that is still to come; 1 leaves it to the sampler. A model that has seen few middles
    knows where they end long before it is sure of it."""
    end_weights: EndWeights | None = None
    """What tells it instead where a suffix begins with lines of its own; None: not fitted."""


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect("codellama", ("▁<PRE>", "▁<SUF>", "▁<MID>"), (Order.PSM, Order.SPM)),
        Dialect(
            "midfill",
            ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
            (Order.SPM, Order.PSM),
            ("<repo_name>", "<file_sep>"),
            end_at_line=0.1,  # measured, as the weights are: see docs/results.md
            end_weights=EndWeights(bias=3.021, end=0.219, gap=0.505),
        ),
        Dialect(
            "qwen2.5-coder",
            ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
            (Order.PSM,),
            ("<|repo_name|>", "<|file_sep|>"),
        ),
        Dialect("left-to-right"),
    )
}


def choose_dialect(tokenizer: Tokenizer, asked: str | None) -> Dialect:
    """The dialect asked for, else the first one whose markers the vocabulary has.

    Raises:
        InfillingNotSupportedError: there is no such dialect.
    """
    if asked is None:
        return next(dialect for dialect in DIALECTS.values() if _speaks(tokenizer, dialect))
    if asked not in DIALECTS:
        raise InfillingNotSupportedError(
            f"there is no dialect {asked!r}; it must be one of {', '.join(DIALECTS)}"
        )
    return DIALECTS[asked]


def _speaks(tokenizer: Tokenizer, dialect: Dialect) -> bool:
    pieces = (*(dialect.markers or ()), *(dialect.file_markers or ()))
    return all(tokenizer.special_id(piece) is not None for piece in pieces)
