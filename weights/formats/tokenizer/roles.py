"""What tokens are for, which no vocabulary says: those that steer a model, and their roles."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midfill.weights.architecture import BytePairVocabulary

_MARKER = re.compile(r"▁?<.+>|\[.+\]", re.DOTALL)
_HTML = re.compile(
    r"</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|sub|sup|code)>"
)
"""Tags that Gemma has tokens for, as text; a struck text's looks like the begin of a document."""

END_OF_MIDDLE = "<fim_end>"

GGUF_ROLES = {
    "fim_pre": "<fim_prefix>",
    "fim_suf": "<fim_suffix>",
    "fim_mid": "<fim_middle>",
    "fim_rep": "<repo_name>",
    "fim_sep": "<file_sep>",
    "eot": END_OF_MIDDLE,
}
"""The middle of ``tokenizer.ggml.fim_pre_token_id``, and the token of that role.

llama-server's ``/infill`` asks for these, and llama.cpp ends a generation at ``eot``.
"""


def steers(token: str) -> bool:
    """Whether a token that was added to a vocabulary looks like one that steers the model."""
    return bool(_MARKER.fullmatch(token)) and not _HTML.fullmatch(token)


def gguf_roles(vocabulary: BytePairVocabulary) -> dict[str, int]:
    """The ids of those that the vocabulary has."""
    special = _special(vocabulary)
    return {role: special[name] for role, name in GGUF_ROLES.items() if name in special}


def end_ids(vocabulary: BytePairVocabulary) -> list[int]:
    """What ends a generation: the ends of a text, and the end of a middle."""
    special = _special(vocabulary)
    ends = vocabulary.eos_ids | ({special[END_OF_MIDDLE]} if END_OF_MIDDLE in special else set())
    return sorted(ends)


def _special(vocabulary: BytePairVocabulary) -> dict[str, int]:
    return {vocabulary.tokens[token_id]: token_id for token_id in vocabulary.special}
