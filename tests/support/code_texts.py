"""Hypothesis strategies for text as editors hold it, with everything that upsets tokenizers."""

from __future__ import annotations

import codecs

from hypothesis import strategies as st

WORDS = (
    "def",
    "self",
    "return",
    "print",
    "pri",
    "x",
    "foo_bar",
    "CamelCase",
    "0x1F",
    "naïve",
    "café",
)
SPACES = (" ", "  ", "    ", "\t", "\t\t", "\n", "\n\n", "\r\n", "\r", "\n    ", "\n        ", "\f")
ODD_SPACES = ("\u00a0", "\u3000", "\u2028", "\u0085", "\u200b", "\x1c", "\x1f", "\v")
DIGITS = ("0", "7", "42", "3.14", "1_000", "½", "٣", "²")
MARKS = (*"()[]{}:;,.=+-*/%<>!#@&|~^`\"'\\_?$", "->", "==", "'''", '"""', "//", "...", "()")
CONTRACTIONS = (
    "'",
    "'s",
    "'l",
    "'ll",
    "'r",
    "'re",
    "'v",
    "'ve",
    "'d",
    "'m",
    "'t",
    "'S",
    "''",
    "l",
    "e",
)
OTHER_SCRIPTS = (
    "日本語",
    "変数",
    "кот",
    "🙂",
    "👩\u200d💻",
    "e\u0301",
    "\u0301",
    "한",
    "ﬁ",
    "𝒳",
    "☺",
)
CONTROLS = ("\x00", "\x04", "\x1b", "\x7f", "\ufeff", "\ufffd", "\U000f0000", "\U00050000")
MARKERS = (
    "<|im_end|>",
    "<|endoftext|>",
    "<fim_prefix>",
    "<PRE>",
    " <PRE>",
    "▁<PRE>",
    "▁<EOT>",
    "▁",
)
BYTE_NAMES = ("<0x0A>", "<0x", "</s>", "<s>", "<unk>")

FRAGMENTS = (
    *WORDS,
    *SPACES,
    *ODD_SPACES,
    *DIGITS,
    *MARKS,
    *CONTRACTIONS,
    *OTHER_SCRIPTS,
    *CONTROLS,
    *MARKERS,
    *BYTE_NAMES,
)


def code_texts(max_fragments: int = 12) -> st.SearchStrategy[str]:
    """Code-like text of a few fragments, now and then with any other character."""
    anything = st.characters(exclude_categories=["Cs"])
    fragments = st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(WORDS + SPACES), anything)
    return st.lists(fragments, max_size=max_fragments).map("".join)


def whole_characters(data: bytes) -> str:
    """With U+FFFD for bytes that are no UTF-8, but nothing for a character cut off at the end."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(data)
