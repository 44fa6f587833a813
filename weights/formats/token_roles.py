"""Tokens whose role other programs must be told, since no vocabulary says what a token is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midfill.weights.architecture import BytePairVocabulary

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
