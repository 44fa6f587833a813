"""Small tokenizers of the real kinds, trained on the spot from Python's own library."""

from __future__ import annotations

import io
import json
import struct
import sysconfig
from dataclasses import replace
from functools import cache
from pathlib import Path

import sentencepiece
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from midfill.weights.architecture import BytePairVocabulary, SentencePieceModel
from midfill.weights.formats.tokenizer.splits import IGNORES_MERGES, SPLITS

FIM_MARKERS = (
    "<|endoftext|>",
    "<fim_prefix>",
    "<fim_suffix>",
    "<fim_middle>",
    "<fim_end>",
    "<repo_name>",
    "<file_sep>",
)
# What Code Llama's tokenizer.model has after Llama 2's 32000 pieces, all of type NORMAL: the steps
# by which merging reaches the markers, the markers (ids 32007 to 32010), chains of the last one.
CODE_LLAMA_PIECES = (
    *("▁<SU", "▁<SUF", "▁<PRE", "▁<M", "▁<MID", "▁<E", "▁<EOT"),
    *("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"),
    *("▁<EOT>" + "<EOT>" * n for n in range(1, 6)),
)
# Llama 2 has these, which the steps above build on; a small vocabulary may not.
_STEPS = ("▁<", "SU", "PR", "PRE", "ID", "OT")
_OTHER_SCRIPTS = (
    "# naïve café, Größe, 日本語の説明, 変数, комментарий, emoji 🙂🚀, ½ ٣, ﬁ, e\u0301\n"
)


@cache
def python_source() -> str:
    """Some 150 kB of real Python, and a little of other scripts."""
    library = Path(sysconfig.get_path("stdlib"))
    names = ("textwrap.py", "shutil.py", "dataclasses.py", "json/decoder.py")
    return "".join((library / name).read_text("utf-8") for name in names) + _OTHER_SCRIPTS * 20


def _byte_level(name: str) -> pre_tokenizers.PreTokenizer:
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    only_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = [pre_tokenizers.Split(Regex(each), "isolated") for each in SPLITS.get(name, ())]
    steps = {
        "gpt-2": [byte_level],
        "smollm": [digits, byte_level],
        "deepseek-coder": [*words, digits, only_bytes],
    }
    return pre_tokenizers.Sequence(steps.get(name, [*words, only_bytes]))


@cache
def tiny_tokenizer_json(pre_tokenizer: str = "smollm") -> str:
    """A ``tokenizer.json`` of 1,200 tokens; its special ones are FIM_MARKERS, ids 0 to 6."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre_tokenizer in IGNORES_MERGES))
    tokenizer.pre_tokenizer = _byte_level(pre_tokenizer)
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        special_tokens=list(FIM_MARKERS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([python_source()], trainer)
    text: str = tokenizer.to_str()
    return text


@cache
def tiny_byte_level_vocabulary(pre_tokenizer: str = "smollm") -> BytePairVocabulary:
    """The same as plain data: no BOS, ended by ``<|endoftext|>`` (id 0)."""
    model = json.loads(tiny_tokenizer_json(pre_tokenizer))["model"]
    ids: dict[str, int] = model["vocab"]
    return BytePairVocabulary(
        tokens=tuple(sorted(ids, key=ids.__getitem__)),
        merges=tuple((left, right) for left, right in model["merges"]),
        special=frozenset(ids[marker] for marker in FIM_MARKERS),
        pre_tokenizer=pre_tokenizer,
        bos_id=None,
        eos_ids=frozenset({0}),
    )


def vocabulary_with(*special: str, pre_tokenizer: str = "smollm") -> BytePairVocabulary:
    """The same with these special tokens instead, as many; the first one ends a text."""
    plain = tiny_byte_level_vocabulary(pre_tokenizer)
    spelled = dict(zip(FIM_MARKERS, special, strict=True))
    return replace(plain, tokens=tuple(spelled.get(token, token) for token in plain.tokens))


def qwen_vocabulary() -> BytePairVocabulary:
    """The same by Qwen's rules, with its spelling of the markers, such as ``<|fim_prefix|>``."""
    spelled = [f"<|{name.strip('<|>')}|>" for name in FIM_MARKERS]
    return vocabulary_with(*spelled, pre_tokenizer="qwen2")


@cache
def train_sentencepiece(**settings: object) -> bytes:
    """A SentencePiece model with Llama's settings (or these instead), without infilling pieces."""
    model = io.BytesIO()
    llama: dict[str, object] = {
        "model_type": "bpe",
        "vocab_size": 1000,
        "byte_fallback": True,
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "character_coverage": 0.99995,
        "num_threads": 1,
        "minloglevel": 2,
    }
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(python_source().split("\n")),
        model_writer=model,
        **llama | settings,
    )
    return model.getvalue()


@cache
def code_llama_sentencepiece(*, full_size: bool = False) -> bytes:
    """A ``tokenizer.model`` like Code Llama's: BOS 1, EOS 2, the infilling pieces among the last.

    Args:
        full_size: Fill up with private-use characters, so that there are 32,016 pieces and each
            infilling piece has its real id; else there are about 1,000.
    """
    model = train_sentencepiece()
    known = set(_pieces(model))
    steps = [step for step in _STEPS if step not in known]
    missing = 32000 - len(known) - len(steps) if full_size else 0
    filler = [chr(0xF0000 + n) for n in range(missing)]
    added = enumerate([*steps, *filler, *CODE_LLAMA_PIECES], len(known))
    return model + b"".join(piece_field(piece, score=-float(i)) for i, piece in added)


def code_llama_tokenizer_data(*, full_size: bool = False) -> SentencePieceModel:
    """The same as a checkpoint gives it."""
    serialized = code_llama_sentencepiece(full_size=full_size)
    return SentencePieceModel(serialized, bos_id=1, eos_ids=frozenset({2}))


def piece_field(piece: str, score: float = 0.0, piece_type: int = 1) -> bytes:
    """One more piece, to be put behind a serialized model: repeated fields concatenate."""
    text = piece.encode()
    message = bytes([0x0A, len(text)]) + text + b"\x15" + struct.pack("<f", score)
    message += bytes([0x18, piece_type])
    return bytes([0x0A, len(message)]) + message


def _pieces(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
