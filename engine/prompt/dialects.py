"""How each family of models wants its prompt: one row of ``DIALECTS`` a family.

How the parts stand in a prompt is in ``layout``. Any control token ends a middle, in all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from midfill.engine.api import Order
from midfill.engine.errors import InfillingNotSupportedError
from midfill.engine.stopping.suffix_fit import EndWeights

if TYPE_CHECKING:
    from midfill.engine.tokens.tokenizer import Tokenizer

_LIKE_MARKER = re.compile(r"(?i:fim|infill)|\b(?:PRE|SUF|MID|PREFIX|SUFFIX|MIDDLE)\b")


class FileLayout(Enum):
    """Where other files stand in a prompt."""

    COMMENTS = "comments"
    """As comment lines at the head of the prefix."""
    HEADINGS = "headings"
    """As they are at the head of the prefix, with ``#path`` above each, the hole's own too."""
    MARKED = "marked"
    """Behind markers, the path of the hole's own file before the prefix's marker."""
    OWN_PATH_INSIDE = "own path inside"
    """Behind markers, the path of the hole's own file behind the prefix's marker."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of models wants its prompt."""

    name: str
    markers: tuple[str, str, str] | None = None
    """The pieces for prefix, suffix and middle, empty for one that the family does without; None
    if it cannot infill."""
    orders: tuple[Order, ...] = ()
    """Orders it was trained on, the better one first; empty for left-to-right."""
    files: FileLayout = FileLayout.COMMENTS
    file_markers: tuple[str, str] | None = None
    """The pieces for repository name and file separator, the former empty if it is not told; None
    where files have no markers."""
    sign: str = ""
    """A piece by which the vocabulary is told from those of others with the same markers."""
    is_told: bool = False
    """Taken only if it is asked for: models that cannot infill have the same vocabulary."""
    end_at_line: float = 1.0
    """Where a line ends, the middle ends too if that is at least this probable and the line opens
    nothing that is still to come; 1 leaves it to the sampler. A model that has seen few middles
    knows where they end long before it is sure of it."""
    end_weights: EndWeights | None = None
    """What tells it instead where a suffix begins with lines of its own; None: not fitted."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """Those that a vocabulary must have."""
        return tuple(filter(None, (*(self.markers or ()), *(self.file_markers or ()), self.sign)))


_FIM = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
_BARRED_FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")

DIALECTS = {
    dialect.name: dialect
    for dialect in (
        # Roziere et al. 2023, section 2.3; llama/generation.py, infilling_prompt_tokens.
        Dialect("codellama", ("▁<PRE>", "▁<SUF>", "▁<MID>"), (Order.PSM, Order.SPM)),
        Dialect(
            "midfill",
            _FIM,
            (Order.SPM, Order.PSM),
            FileLayout.MARKED,
            ("<repo_name>", "<file_sep>"),
            sign="<fim_end>",
            end_at_line=0.1,  # measured, as the weights are: see docs/results.md
            end_weights=EndWeights(bias=3.021, end=0.219, gap=0.505),
        ),
        # Lozhkov et al. 2024, section 5.1.
        Dialect(
            "starcoder2",
            _FIM,
            (Order.PSM, Order.SPM),
            FileLayout.OWN_PATH_INSIDE,
            ("<repo_name>", "<file_sep>"),
        ),
        # Li et al. 2023, section 5.1; Granite Code has its vocabulary and both orders, too
        # (Mishra et al. 2024, section 4.2). Files were joined at random: none shows another.
        Dialect("starcoder", _FIM, (Order.PSM, Order.SPM)),
        # Hui et al. 2024, figures 3 and 4; Qwen3-Coder's README.
        Dialect(
            "qwen2.5-coder",
            _BARRED_FIM,
            (Order.PSM,),
            FileLayout.MARKED,
            ("<|repo_name|>", "<|file_sep|>"),
        ),
        # CodeGemma Team 2024, figures 2 and 4. How its SPM prompts look was not published.
        Dialect(
            "codegemma",
            _BARRED_FIM,
            (Order.PSM,),
            FileLayout.MARKED,
            ("", "<|file_separator|>"),
        ),
        # The model cards of Granite 3.3 and 4, "fill in the middle".
        Dialect("granite", _BARRED_FIM, (Order.PSM,)),
        # Guo et al. 2024, sections 2.2 and 3.1 (a document is a repository); its README, 4.2, 4.4.
        Dialect(
            "deepseek-coder",
            ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
            (Order.PSM,),
            FileLayout.HEADINGS,
        ),
        # mistral-common, InstructTokenizerV2.encode_fim. Mistral 7B has these tokens, too.
        Dialect("codestral", ("", "[SUFFIX]", "[PREFIX]"), (Order.SPM,), is_told=True),
        Dialect("left-to-right"),
    )
}


def choose_dialect(tokenizer: Tokenizer, asked: str | None) -> Dialect:
    """The dialect asked for, else the first one whose markers the vocabulary has.

    Raises:
        InfillingNotSupportedError: there is no such dialect.
    """
    if asked is None:
        fitting = fitting_dialects(tokenizer)
        return next(dialect for dialect in fitting if not dialect.is_told)
    if asked not in DIALECTS:
        raise InfillingNotSupportedError(
            f"there is no dialect {asked!r}; it must be one of {', '.join(DIALECTS)}"
        )
    return DIALECTS[asked]


def fitting_dialects(tokenizer: Tokenizer) -> list[Dialect]:
    """All whose markers the vocabulary has; left-to-right is the last one."""
    return [
        dialect
        for dialect in DIALECTS.values()
        if all(tokenizer.special_id(piece) is not None for piece in dialect.pieces)
    ]


def why_no_infilling(tokenizer: Tokenizer, dialect: Dialect) -> str:
    """What to do about a vocabulary that looks as if it had markers; empty where nothing is."""
    names = sorted(filter(_LIKE_MARKER.search, tokenizer.special_names))
    if dialect.markers or not names:
        return ""
    fitting = [each.name for each in fitting_dialects(tokenizer) if each.markers]
    advice = f"if it was trained to infill, name a dialect ({', '.join(fitting or DIALECTS)})"
    return f"reads the prefix only, though it has the tokens {', '.join(names)}; {advice}"
