"""The base model's token ids are those of transformers, on several hundred texts.

Transformers (5.23) builds the tokenizer of any GGUF file with model "gpt2" alike: it ignores
``tokenizer.ggml.pre`` and splits by GPT-2's rule, while this file names ``smollm``, which splits
digits first. So the file's own rule is put into transformers' tokenizer before the comparison. As
the two rules part only where whitespace stands before a digit (two or more before an ASCII one),
unmodified transformers must agree everywhere else, and does.

SentencePiece is compared with its own library in tests/engine/tokens/test_sentencepiece.py:
that is what Code Llama's reference implementation calls.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from code_texts import FRAGMENTS, code_texts
from hypothesis import given
from tiny_tokenizers import python_source
from tokenizers import pre_tokenizers

from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.weights.formats.gguf import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from midfill.engine.tokens.tokenizer import Tokenizer

pytestmark = pytest.mark.real_model

SPACES_BEFORE_A_DIGIT = re.compile(r"\s\s[0-9]|\s(?![0-9])[\d½²]")


def texts() -> list[str]:
    """Real code cut at odd places, with other line ends, and all the fragments that upset."""
    source = python_source()
    cuts = [source[n : n + 400] for n in range(0, len(source) - 400, len(source) // 120)]
    windows = [cut.replace("\n", "\r\n") for cut in cuts[::4]]
    tabs = [cut.replace("    ", "\t") for cut in cuts[::4]]
    control = [f"a{chr(c)}b {chr(c)}" for c in (*range(32), *range(127, 160))]
    scripts = [
        "日本語の説明 変数名\n",
        "Größe = «naïve» 🙂🚀\u200d👩\u200d💻",
        "кот\u00a0и\u3000пёс",
        "e\u0301\u0301 ﬁ 𝒳",
    ]
    runs = [f"x{' ' * n}y{' ' * n}1{' ' * n}\n{' ' * n}" for n in (1, 2, 3, 7, 8, 31, 200)]
    numbers = ["3.14159", "0x1F_ff 1e-9", "v1.2.3 (2024-01-01)", "½ ٣ ² 12٣"]
    return [
        *cuts,
        *windows,
        *tabs,
        *control,
        *scripts,
        *runs,
        *numbers,
        *FRAGMENTS,
        "".join(FRAGMENTS),
    ]


@pytest.fixture(scope="module")
def ours(real_model_path: Path) -> Tokenizer:
    """Ours."""
    return open_tokenizer(read_checkpoint(real_model_path, "base").tokenizer)


def transformers_ids(theirs: Any, text: str, *, smollm: bool) -> list[int]:
    """Without special tokens, neither added nor recognized in the text."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = pre_tokenizers.Digits(individual_digits=True)
    split = pre_tokenizers.Sequence([digits, byte_level]) if smollm else byte_level
    theirs.backend_tokenizer.pre_tokenizer = split
    ids: list[int] = theirs.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids


def test_transformers_splits_by_gpt2s_rule(their_tokenizer: Any) -> None:
    """The premise of this file: when this fails, transformers has learned to read the name."""
    pre_tokenizer = their_tokenizer.backend_tokenizer.pre_tokenizer
    assert isinstance(pre_tokenizer, pre_tokenizers.ByteLevel)


def test_ids_equal_transformers_with_the_files_own_pre_tokenizer(
    ours: Tokenizer, their_tokenizer: Any
) -> None:
    """Every text, and at least 200 of them."""
    assert len(set(texts())) >= 200
    for text in texts():
        assert ours.encode(text) == transformers_ids(their_tokenizer, text, smollm=True), repr(text)


def test_ids_equal_unmodified_transformers_but_for_spaces_before_digits(
    ours: Tokenizer, their_tokenizer: Any
) -> None:
    """At least 200 texts here as well; where the rules part, the ids do."""
    same = [text for text in texts() if not SPACES_BEFORE_A_DIGIT.search(text)]
    assert len(set(same)) >= 200
    for text in same:
        assert ours.encode(text) == transformers_ids(their_tokenizer, text, smollm=False), repr(
            text
        )
    assert ours.encode("x  1") != transformers_ids(their_tokenizer, "x  1", smollm=False)


@given(text=code_texts())
def test_ids_equal_transformers_on_generated_text(
    ours: Tokenizer, their_tokenizer: Any, text: str
) -> None:
    """With the file's own pre-tokenizer."""
    assert ours.encode(text) == transformers_ids(their_tokenizer, text, smollm=True)
