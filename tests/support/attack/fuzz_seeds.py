"""Small whole inputs for each target of ``fuzz_targets``, to start from."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from midfill.weights.architecture import BytePairVocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VOCABULARY = BytePairVocabulary(
    tokens=("<|endoftext|>", "<fim_prefix>", "r", "e", "t", "u", "Ġ", "Ċ", "re", "tu", "retu"),
    merges=(("r", "e"), ("t", "u"), ("re", "tu")),
    special=frozenset({0, 1}),
    pre_tokenizer="smollm",
    bos_id=None,
    eos_ids=frozenset({0}),
)
"""A few bytes; others are dropped."""


def seeds(target: str, place: Path) -> Iterator[bytes]:
    """Whole inputs."""
    yield from _SEEDS[target](place)


def _frames(_: Path) -> Iterator[bytes]:
    good = b"Content-Length: 2\r\n\r\n{}"
    yield good + good
    yield b"Content-Type: x\r\ncontent-length :\t3 \n\nabc\n" + good
    yield b"Content-Length: 9999999999999\r\n\r\n{}" + good
    yield b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}xContent-Length: 2\n\n[]"
    yield b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4294967295\r\n\r\nabc"


def _text_model(_: Path) -> Iterator[bytes]:
    yield bytes(range(256))
    yield bytes(255 - byte for byte in range(256)) * 2
    yield bytes((byte * 37 + 11) % 256 for byte in range(400))


def _git_ignore(_: Path) -> Iterator[bytes]:
    yield b"a/b.py\nx y\0*.py\n!x.py\n/a/**/b\n[[:alpha:]]*\n\\#x\nb/\n"
    yield b"\0**/a/\na/**\n[!a-c]?\n[]-]\nx\\ \n*a*b\n!ab\n"
    yield b"q\0\xef\xbb\xbf# c\r\n*\r\n!*/\r\n!src/\n!/src/x.py\n[z-a]\n[[:digit:]\n"


def _imports(_: Path) -> Iterator[bytes]:
    yield b"\0from b.c import (a, # x\n d as e)\nimport a, b.c\nfrom .. import x\n"
    yield b"\1import a, {b as c} from './x'\nconst {d} = require('../x.js')\nimport('./../y.h')\n"
    yield b'\2import (\n "m/m"\n x "m"\n)\nimport "m/../../x"\n'
    yield b"\3use crate::b::{c, self as d};\nmod m;\npub(crate) use super::super::a::*;\n"
    yield b'\4#include "y.h"\n# include "../../outside.py"\n#import "a/b.h"\n'
    yield b"\5import a.B;\nimport static a.B.c;\nimport a.*;\n"


def _gguf(place: Path) -> Iterator[bytes]:
    from tiny_models import TINY_ARCHITECTURE, write_gguf

    small = replace(
        TINY_ARCHITECTURE,
        num_hidden_layers=1,
        intermediate_size=32,
        vocab_size=len(VOCABULARY.tokens),
    )
    for types in (("Q8_0",), ("Q4_0", "F16")):
        file = place / "seed.gguf"
        write_gguf(file, architecture=small, vocabulary=VOCABULARY, types=types)
        yield file.read_bytes()


def _safetensors(_: Path) -> Iterator[bytes]:
    import numpy as np
    from safetensors.numpy import save

    yield save({"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float16)})
    yield save({"model.norm.weight": np.ones(2, np.float32)}, {"format": "pt"})
    yield save({"x": np.ones(3, np.int64)})


def _tokenizer_json(_: Path) -> Iterator[bytes]:
    from midfill.weights.formats.tokenizer.byte_level import to_json

    for rule in ("smollm", "gpt-2", "qwen2"):
        for bos_id in (None, 0):
            vocabulary = replace(VOCABULARY, pre_tokenizer=rule, bos_id=bos_id)
            yield json.dumps(to_json(vocabulary)).encode()


def _tokenizer_model(_: Path) -> Iterator[bytes]:
    from sentencepiece.sentencepiece_model_pb2 import ModelProto, TrainerSpec

    kinds = ModelProto.SentencePiece
    model = ModelProto()
    model.trainer_spec.model_type = TrainerSpec.BPE
    model.trainer_spec.byte_fallback = True
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.remove_extra_whitespaces = False
    model.normalizer_spec.escape_whitespaces = True
    model.pieces.add(piece="<unk>", type=kinds.UNKNOWN)
    model.pieces.add(piece="<s>", type=kinds.CONTROL)
    model.pieces.add(piece="</s>", type=kinds.CONTROL)
    for byte in range(256):
        model.pieces.add(piece=f"<0x{byte:02X}>", type=kinds.BYTE)
    for score, piece in enumerate(("re", "tu", "▁r", "retu", "r", "e", "t", "u", "▁", "▁<PRE>")):
        model.pieces.add(piece=piece, score=-float(score))
    yield model.SerializeToString()
    model.normalizer_spec.add_dummy_prefix = False
    yield model.SerializeToString()


_SEEDS = {
    "frames": _frames,
    "text_model": _text_model,
    "git_ignore": _git_ignore,
    "imports": _imports,
    "gguf": _gguf,
    "safetensors": _safetensors,
    "tokenizer_json": _tokenizer_json,
    "tokenizer_model": _tokenizer_model,
}
