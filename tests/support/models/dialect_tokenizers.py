"""A small tokenizer for each dialect, with the markers of the publishers' vocabularies."""

from __future__ import annotations

from dataclasses import replace

from tiny_tokenizers import (
    code_llama_tokenizer_data,
    qwen_vocabulary,
    tiny_byte_level_vocabulary,
    train_sentencepiece,
    vocabulary_with,
)

from midfill.engine.tokens.tokenizer import open_tokenizer
from midfill.weights.architecture import SentencePieceModel

_FIM = ("<fim_prefix>", "<fim_suffix>", "<fim_middle>")
_BARRED_FIM = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
_DEEPSEEK_FIM = ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>")
_MISTRAL = "[INST],[/INST],[PREFIX],[MIDDLE],[SUFFIX]"

STARCODER2 = ("<|endoftext|>", *_FIM, "<fim_pad>", "<repo_name>", "<file_sep>")
STARCODER = ("<|endoftext|>", *_FIM, "<filename>", "<reponame>", "<gh_stars>")
CODEGEMMA = ("<eos>", *_BARRED_FIM, "<|file_separator|>", "<bos>", "<pad>")
GRANITE = ("<|end_of_text|>", *_BARRED_FIM, "<|filename|>", "<|reponame|>", "<|fim_pad|>")
DEEPSEEK = (
    "<｜end▁of▁sentence｜>",
    *_DEEPSEEK_FIM,
    "<|EOT|>",
    "<｜begin▁of▁sentence｜>",
    "<｜User｜>",
)


def _mistral() -> SentencePieceModel:
    serialized = train_sentencepiece(control_symbols=_MISTRAL)
    return SentencePieceModel(serialized, bos_id=1, eos_ids=frozenset({2}))


TOKENIZERS = {
    "codellama": open_tokenizer(code_llama_tokenizer_data(full_size=True)),
    "midfill": open_tokenizer(tiny_byte_level_vocabulary()),
    "starcoder2": open_tokenizer(vocabulary_with(*STARCODER2)),
    "starcoder": open_tokenizer(vocabulary_with(*STARCODER)),
    "qwen2.5-coder": open_tokenizer(qwen_vocabulary()),
    "codegemma": open_tokenizer(replace(vocabulary_with(*CODEGEMMA), bos_id=5)),
    "granite": open_tokenizer(vocabulary_with(*GRANITE)),
    "deepseek-coder": open_tokenizer(replace(vocabulary_with(*DEEPSEEK), bos_id=5)),
    "codestral": open_tokenizer(_mistral()),
    "left-to-right": open_tokenizer(SentencePieceModel(train_sentencepiece(), 1, frozenset({2}))),
}
"""By the dialect's name."""
