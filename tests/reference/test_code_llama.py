"""A random Code Llama of small shape: opened, prompted and run as the real ones are.

Transformers writes its weights (grouped heads, RoPE base 1e6, untied head, 32,016 tokens, several
shards); its tokenizer has the settings and infilling pieces of Code Llama's. What the prompts must
be is built here a second time, from sentencepiece's own processor as Code Llama's ``tokenizer.py``
and ``generation.py`` use it (github.com/meta-llama/codellama).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from code_texts import code_texts
from hypothesis import given, settings
from lsp_client import connected
from sentencepiece import SentencePieceProcessor
from tiny_models import write_llama_folder
from tiny_tokenizers import code_llama_sentencepiece, train_sentencepiece

from midfill.cli import main
from midfill.engine import (
    CompletionRequest,
    EngineConfig,
    FinishReason,
    Order,
    Priority,
    open_engine,
)
from midfill.engine.errors import InfillingNotSupportedError
from midfill.engine.model.kv_cache import Slot
from midfill.engine.runtime import open_runtime
from midfill.lsp_server.engine_host import EngineHost
from midfill.lsp_server.server import MidfillServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import LlamaForCausalLM

    from midfill.engine import Engine
    from midfill.engine.runtime import Runtime

PREFIX = "def area(width, height):\n    # in square metres\n    return wid"
SUFFIX = "\n\n\nprint(area(2, 3))\n"
PRE, SUF, MID, EOT = 32007, 32008, 32009, 32010
MARKERS = ("PRE>", "SUF>", "MID>", "EOT>")


class Reference:
    """Code Llama's own conventions.

    A text encoded behind a sentinel that merges with nothing has no dummy space. The sentinel is
    two tokens of the real vocabulary, and a few byte pieces more here.
    """

    def __init__(self, serialized: bytes) -> None:
        self._processor = SentencePieceProcessor(model_proto=serialized)
        self._sentinel = self._processor.encode("☺")

    def encode(self, text: str) -> list[int]:
        """As a text's start: with the dummy space."""
        ids: list[int] = self._processor.encode(text)
        return ids

    def encode_infilling(self, text: str) -> list[int]:
        """Without it."""
        ids: list[int] = self._processor.encode("☺" + text)
        return ids[len(self._sentinel) :]

    def decode_infilling(self, ids: list[int]) -> str:
        """With the space that a leading token may bring."""
        text: str = self._processor.decode(self._sentinel + ids)
        return text.removeprefix("☺")

    def prompt(self, prefix: str, suffix: str, order: Order) -> list[int]:
        """The whole prompt, BOS included."""
        bos = self._processor.bos_id()
        head, tail = self.encode(prefix), self.encode_infilling(suffix)
        if order is Order.PSM:
            return [bos, PRE, *head, SUF, *tail, MID]
        return [bos, PRE, SUF, *tail, MID, *head]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the model is."""
    return tmp_path_factory.mktemp("models") / "tiny-code-llama"


@pytest.fixture(scope="module")
def theirs(folder: Path) -> LlamaForCausalLM:
    """The model, in transformers; the folder is complete after this."""
    model = write_llama_folder(folder, vocab_size=32016, max_shard_size="1MB")
    (folder / "tokenizer.model").write_bytes(code_llama_sentencepiece(full_size=True))
    assert len(list(folder.glob("*.safetensors"))) > 1
    return model


@pytest.fixture(scope="module")
def runtime(folder: Path, theirs: LlamaForCausalLM) -> Iterator[Runtime]:
    """The model, in our engine."""
    runtime = open_runtime(EngineConfig(str(folder), dtype="fp32", threads=1))
    yield runtime
    runtime.close()


@pytest.fixture(scope="module")
def convention() -> Reference:
    """What the prompts must be."""
    return Reference(code_llama_sentencepiece(full_size=True))


@pytest.fixture(scope="module")
def without_markers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Like Code Llama 34B and the Python variants: its RoPE base and length, but no markers."""
    path = tmp_path_factory.mktemp("models") / "tiny-python-variant"
    write_llama_folder(path, vocab_size=1000, max_position_embeddings=16384)
    (path / "tokenizer.model").write_bytes(train_sentencepiece())
    return path


def greedy(model: LlamaForCausalLM, prompt: list[int], tokens: int) -> list[int]:
    """The likeliest next token again and again, each time computed from scratch."""
    ids = list(prompt)
    for _ in range(tokens):
        with torch.inference_mode():
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def build(runtime: Runtime, request: CompletionRequest) -> tuple[list[int], bytes]:
    """Our prompt with nothing cached, and what healing holds."""
    prompt = runtime.machine.prompter.build(request, 10_000, lambda _ids: 0)
    return prompt.ids, prompt.held


def test_it_is_recognized(runtime: Runtime) -> None:
    """By its vocabulary, in which the markers have the ids of the real one."""
    assert runtime.info.dialect == "codellama"
    assert runtime.info.model == "tiny-code-llama"
    tokenizer = runtime.machine.tokenizer
    markers = [tokenizer.special_id(f"▁<{name}") for name in MARKERS]
    assert markers == [PRE, SUF, MID, EOT]


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
@given(prefix=code_texts(), suffix=code_texts())
@settings(deadline=None)
def test_prompts_are_those_of_the_reference_implementation(
    runtime: Runtime, convention: Reference, order: Order, prefix: str, suffix: str
) -> None:
    """Token for token, where the text does not spell a marker (which theirs would take for one)."""
    prefix, suffix = (text.replace("▁", "_").replace("<", "(") for text in (prefix, suffix))
    ids, held = build(runtime, CompletionRequest(prefix, suffix, order=order, heal=False))
    assert ids == convention.prompt(prefix, suffix, order)
    assert held == b""


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
@given(prefix=code_texts(), suffix=code_texts())
@settings(deadline=None)
def test_a_healed_prompt_lacks_exactly_the_tokens_that_spell_what_is_held(
    runtime: Runtime, order: Order, prefix: str, suffix: str
) -> None:
    """They are the last of the prefix: at the end in SPM, in front of the suffix in PSM."""
    request = CompletionRequest(prefix, suffix, order=order)
    healed, held = build(runtime, request)
    plain, _ = build(runtime, replace(request, heal=False))
    end = plain.index(SUF) if order is Order.PSM else len(plain)
    start = end - (len(plain) - len(healed))
    assert healed == plain[:start] + plain[end:]
    assert held == b"".join(map(runtime.machine.tokenizer.token_bytes, plain[start:end]))


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
def test_markers_in_the_text_stay_text(runtime: Runtime, order: Order) -> None:
    """The file may be about infilling."""
    text = "a <PRE> b ▁<SUF> <MID> c <EOT>\n"
    ids, _ = build(runtime, CompletionRequest(text, text, order=order, heal=False))
    assert [ids.count(marker) for marker in (PRE, SUF, MID, EOT)] == [1, 1, 1, 0]


@pytest.mark.parametrize("order", [Order.PSM, Order.SPM])
def test_logits_equal_those_of_transformers(
    runtime: Runtime, theirs: LlamaForCausalLM, convention: Reference, order: Order
) -> None:
    """In fp32, after each token of a prompt; relative to the largest."""
    ids = convention.prompt(PREFIX, SUFFIX, order)
    model = runtime.machine.model
    ours = model.logits(model.forward(ids, Slot(model.architecture, model.dtype, model.device)))
    with torch.inference_mode():
        expected = theirs(torch.tensor([ids])).logits[0]
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() / expected.abs().max() < 1e-4


@pytest.mark.parametrize("order", ["psm", "spm"])
def test_the_command_line_fills_in_what_transformers_would(
    folder: Path,
    theirs: LlamaForCausalLM,
    convention: Reference,
    order: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the file with the hole to the greedy middle, with nothing of ours in the expectation.

    It is no code, and so its syntax is not judged.
    """
    file = tmp_path / "area.txt"
    file.write_text(f"{PREFIX}<hole>{SUFFIX}", encoding="utf-8")
    arguments = ["--marker", "<hole>", "--model", str(folder), "--order", order, "--no-context"]
    options = ["--no-heal", "--tries", "1", "--max-tokens", "12", "--format", "json"]
    assert main(["infill", str(file), *arguments, *options], open_engine=open_in_fp32) == 0
    printed = json.loads(capsys.readouterr().out)
    prompt = convention.prompt(PREFIX, SUFFIX, Order(order))
    middle = convention.decode_infilling(greedy(theirs, prompt, 12))
    assert printed["middle"] == middle
    assert printed["stats"]["prompt_tokens"] == len(prompt)
    assert printed["stats"]["order"] == order
    assert printed["dialect"] == "codellama"


async def test_the_language_server_offers_what_transformers_would_write(
    folder: Path, theirs: LlamaForCausalLM, convention: Reference
) -> None:
    """Somebody types, and the order is the one that this favours: suffix first."""
    completion = {"maxTokens": 12, "heal": False}
    options = {"completion": completion, "context": {"enabled": False}}
    host = EngineHost(open_in_fp32)
    async with connected(MidfillServer(host, str(folder))) as client:
        await client.initialize(options=options)
        client.open(PREFIX + SUFFIX)
        await client.ready()
        reply = await client.complete(2, len("    return wid"))
    host.close()
    prompt = convention.prompt(PREFIX, SUFFIX, Order.SPM)
    (item,) = reply["items"]
    assert item["insertText"] == convention.decode_infilling(greedy(theirs, prompt, 12))


def open_in_fp32(
    config: EngineConfig, on_progress: Callable[[str, float], None] | None = None
) -> Engine:
    """As exact as the reference."""
    return open_engine(replace(config, dtype="fp32", threads=1), on_progress)


def test_it_ends_at_the_end_of_the_middle(runtime: Runtime) -> None:
    """EOT and EOS are among the tokens that end it."""
    assert {EOT, 2} <= runtime.machine.end_ids


@pytest.mark.parametrize("dialect", [None, "codellama"])
def test_a_model_without_markers_is_refused_by_name(
    without_markers: Path, dialect: str | None
) -> None:
    """Whether it is told to speak Code Llama or is recognized as one of that family."""
    with pytest.raises(InfillingNotSupportedError, match="'tiny-python-variant'") as raised:
        open_engine(EngineConfig(str(without_markers), dialect=dialect))
    assert "left-to-right" in str(raised.value)


def test_the_command_line_says_so_too(
    without_markers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, with an exit code."""
    file = tmp_path / "empty.py"
    file.write_text("", encoding="utf-8")
    code = main(["infill", str(file), "--at", "1:1", "--model", str(without_markers)])
    assert code == 2
    assert "tiny-python-variant" in capsys.readouterr().err


def test_a_model_without_markers_still_continues_from_left_to_right(without_markers: Path) -> None:
    """And refuses an order by name, as it has none."""
    engine = open_engine(EngineConfig(str(without_markers), dialect="left-to-right"))
    try:
        *_, last = engine.infill(
            CompletionRequest(PREFIX, SUFFIX, max_tokens=4, priority=Priority.INVOKED)
        )
        with pytest.raises(InfillingNotSupportedError, match="'tiny-python-variant'"):
            engine.infill(CompletionRequest(PREFIX, SUFFIX, order=Order.SPM))
    finally:
        engine.close()
    assert last.stats is not None
    assert last.stats.generated_tokens > 0
    assert last.stats.finish_reason in {FinishReason.MAX_TOKENS, FinishReason.LINE}
