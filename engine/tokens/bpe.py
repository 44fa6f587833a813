"""Byte-level BPE (Radford et al. 2019, GPT-2), run by the ``tokenizers`` library.

Special tokens are not in the library's vocabulary at all, so no user text can become one. Bytes
that have no token of their own are dropped, as in transformers and llama.cpp: SmolLM2's vocabulary
lacks the control characters 04, 06, 13, 14, 16 and 1D and the UTF-8 lead bytes F1 and F2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

import tokenizers
from tokenizers import models, pre_tokenizers

from midfill.engine.tokens.vocabulary import Vocabulary, replace_surrogates
from midfill.weights.errors import UnsupportedModelError
from midfill.weights.formats.tokenizer.splits import IGNORES_MERGES, SINGLE_DIGITS, SPLITS

if TYPE_CHECKING:
    from midfill.weights.architecture import BytePairVocabulary

# A place where a pre-token ends whatever comes before or after: behind a run of letters, and before
# whitespace. Only unmistakable characters count, so that Unicode versions cannot matter.
_SEAM = re.compile(r".*(?:[A-Za-z](?=[\x00-@\[-`{-\x7f])|\S(?=[ \t\n\r]))", re.DOTALL)

# The same for Qwen's rules and their like, by which punctuation takes the line ends behind it, and
# a run of digits may be cut from its begin.
_WORDS_SEAM = re.compile(
    r".*(?:[A-Za-z](?=[\x00-@\[-`{-\x7f])|[0-9](?=[\x00-/:-\x7f])|[!-~](?=[ \t]))", re.DOTALL
)

# And for DeepSeek's, by which a line end stands alone, and a blank may be in a word of signs.
_LINES_SEAM = re.compile(r".*(?:[A-Za-z](?=[\x00-@\[-`{-\x7f])|[\r\n])", re.DOTALL)
_HALF_CONTRACTIONS = frozenset("rvl")  # behind an apostrophe, one more letter changes the split


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte: itself if printable Latin-1, else from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + n): byte for n, byte in enumerate(others)
    }


BYTE_ALPHABET = _byte_alphabet()
_TO_LATIN_1 = {ord(character): byte for character, byte in BYTE_ALPHABET.items()}


def _bytes_of(token: str) -> bytes:
    if not token or not BYTE_ALPHABET.keys() >= set(token):
        raise UnsupportedModelError(
            f"token {token!r} cannot be mapped to bytes; every token that is not special must be "
            "written in GPT-2's byte alphabet: mark it as a control token, or use another model"
        )
    return token.translate(_TO_LATIN_1).encode("latin-1")


@dataclass(frozen=True, slots=True)
class Rule:
    """Where the words end into which a text is split before merging."""

    final: frozenset[str]
    """Pre-tokens that never grow."""
    seam: re.Pattern[str] = _SEAM
    """A place where a pre-token ends whatever comes before or after."""
    joins_blanks: bool = False
    """A line end makes one pre-token of all blanks and line ends before it."""
    signs_take_blanks: bool = False
    """The next sign may make one pre-token of the blanks at the end and the signs before them."""


_DIGITS = frozenset("0123456789")
_CONTRACTIONS = frozenset({"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
_LINE_ENDS = frozenset({"\u010a", "\u010d"})  # in the byte alphabet

RULES = {
    "gpt-2": Rule(_CONTRACTIONS),
    "smollm": Rule(_CONTRACTIONS | _DIGITS),
    "qwen2": Rule(_DIGITS, _WORDS_SEAM, joins_blanks=True),
    "qwen35": Rule(_DIGITS, _WORDS_SEAM, joins_blanks=True),
    "llama-bpe": Rule(frozenset(), _WORDS_SEAM, joins_blanks=True),
    "tekken": Rule(_DIGITS, _WORDS_SEAM, joins_blanks=True),
    "deepseek-coder": Rule(_DIGITS | _LINE_ENDS, _LINES_SEAM),
    "deepseek-llm": Rule(_LINE_ENDS, _LINES_SEAM, signs_take_blanks=True),
}
"""What is true of each of PRE_TOKENIZERS."""


def _splitter(name: str) -> pre_tokenizers.PreTokenizer:
    """The rule as the library has it."""
    expressions = SPLITS.get(name, ())
    cuts = [pre_tokenizers.Split(tokenizers.Regex(each), "isolated") for each in expressions]
    has_digits = name in SINGLE_DIGITS
    digits = [pre_tokenizers.Digits(individual_digits=True)] if has_digits else []
    has_words = not expressions
    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=has_words)
    return pre_tokenizers.Sequence([*cuts, *digits, words])


class ByteLevelBpe(Vocabulary):
    """A Tokenizer from a vocabulary and its merges.

    Raises:
        UnsupportedModelError: an unknown pre-tokenizer, or a token that cannot be mapped to bytes.
    """

    def __init__(self, data: BytePairVocabulary) -> None:
        if data.pre_tokenizer not in RULES:
            raise UnsupportedModelError(
                f"the pre-tokenizer is {data.pre_tokenizer!r}; known are {', '.join(RULES)}: "
                "use a model with one of these"
            )
        self._rule = RULES[data.pre_tokenizer]
        whole = data.whole_characters
        plain = {token: i for i, token in enumerate(data.tokens) if i not in data.special}
        super().__init__(
            [
                b"" if i in data.special else token.encode() if i in whole else _bytes_of(token)
                for i, token in enumerate(data.tokens)
            ],
            {i: data.tokens[i] for i in data.special},
            data.bos_id,
            data.eos_ids,
        )
        ignores_merges = data.pre_tokenizer in IGNORES_MERGES
        merging = _merging(plain, data.merges, ignores_merges=ignores_merges)
        self._tokenizer = tokenizers.Tokenizer(merging)
        self._tokenizer.pre_tokenizer = _splitter(data.pre_tokenizer)
        self._whole = {data.tokens[i] for i in whole}
        added = [tokenizers.AddedToken(each, normalized=False) for each in sorted(self._whole)]
        self._tokenizer.add_tokens(added)

    def encode(self, text: str, *, leading_space: bool = True) -> list[int]:  # noqa: ARG002
        """The ids of user text; see the Tokenizer protocol."""
        encoding = self._tokenizer.encode(replace_surrogates(text), add_special_tokens=False)
        ids: list[int] = encoding.ids
        return ids

    def stable_length(self, text: str, ids: list[int]) -> int:
        """How many leading ids no further text could change: those of finished pre-tokens."""
        text = replace_surrogates(text)
        return len(ids) - len(self.encode(text[self._finished(text) :]))

    def _finished(self, text: str) -> int:
        """Where the last pre-token starts, or the text's end if not even that one can grow."""
        seam = self._rule.seam.match(text)
        start = max([seam.end() if seam else 0, *(text.rfind(each) + 1 for each in self._whole)])
        words = self._tokenizer.pre_tokenizer.pre_tokenize_str(text[start:])
        if not words or words[-1][0] in self._rule.final:
            return len(text)
        growing = 1
        if self._rule.joins_blanks:
            blanks = takewhile(lambda word: text[start:][slice(*word[1])].isspace(), words[::-1])
            growing = max(1, sum(1 for _ in blanks))
        elif self._rule.signs_take_blanks and len(words) > 1:
            growing = 2 if text[start:][slice(*words[-1][1])].isspace() else 1
        elif len(words) > 1 and words[-2][0] == "'" and words[-1][0] in _HALF_CONTRACTIONS:
            growing = 2
        first_character: int = words[-growing][1][0]
        return start + first_character


def _merging(
    plain: dict[str, int], merges: tuple[tuple[str, str], ...], *, ignores_merges: bool
) -> models.BPE:
    for left, right in merges:
        if not {left, right, left + right} <= plain.keys():
            raise UnsupportedModelError(
                f"the merge of {left!r} and {right!r} makes or needs a token that is missing or "
                "special; merges must stay within the plain tokens: use another model"
            )
    return models.BPE(vocab=plain, merges=list(merges), ignore_merges=ignores_merges)
