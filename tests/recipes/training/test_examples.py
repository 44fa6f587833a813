"""Examples: what is trained is what the engine asks, and the middle is the document's own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from tiny_corpus import tiny_base_vocabulary, tiny_documents

from midfill.recipes.training.examples import (
    FIM_TOKENS,
    Document,
    Example,
    ExampleConfig,
    Examples,
    read_documents,
    with_fim_tokens,
)

if TYPE_CHECKING:
    from pathlib import Path

ALWAYS = ExampleConfig(infill_rate=1.0, context_share=0.0)


def examples(config: ExampleConfig = ALWAYS) -> Examples:
    """A maker of examples of the tiny repository."""
    return Examples(with_fim_tokens(tiny_base_vocabulary()), tiny_documents(), config)


def spelled(maker: Examples, ids: list[int]) -> str:
    """The text of ids, control tokens by name."""
    tokenizer = maker.tokenizer
    names = {
        tokenizer.special_id(name): name.encode()
        for name in (*FIM_TOKENS, "<repo_name>", "<file_sep>", "<|endoftext|>")
    }
    return b"".join(names.get(i) or tokenizer.token_bytes(i) for i in ids).decode()


def drawn(maker: Examples, document: Document, count: int = 200) -> list[Example]:
    """Some examples of one document."""
    rng = Random(3)
    return [example for _ in range(count) if (example := maker.make(document, rng))]


@pytest.mark.parametrize("index", range(4))
def test_an_example_holds_a_piece_of_its_document_put_together_again(index: int) -> None:
    """Prefix, middle and suffix, other scripts included."""
    maker, document = examples(), tiny_documents()[index]

    for example in drawn(maker, document):
        text = spelled(maker, example.ids)
        assert text.endswith("<fim_end>")
        before, rest = text.removesuffix("<fim_end>").split("<fim_prefix>")[1].split("<fim_suffix>")
        suffix, middle = rest.split("<fim_middle>")
        assert before + middle + suffix in document.text


def test_the_middle_starts_behind_the_prompt_of_either_order() -> None:
    """Which is where the loss starts to count."""
    maker = examples()

    for example in drawn(maker, tiny_documents()[0]):
        prompt = spelled(maker, example.ids[: example.middle])
        if example.kind.endswith("psm"):
            assert prompt.endswith("<fim_middle>")
        else:
            assert "<fim_prefix><fim_suffix>" in prompt
        assert 0 < example.middle < len(example.ids)


def test_in_spm_prefix_and_middle_are_encoded_together() -> None:
    """No token ends at the cursor because of the cursor."""
    maker = examples(replace(ALWAYS, spm_share=1.0))

    for example in drawn(maker, tiny_documents()[0]):
        marker = maker.tokenizer.special_id("<fim_middle>")
        assert marker is not None
        joined = example.ids[example.ids.index(marker) + 1 : -1]
        assert joined == maker.tokenizer.encode(spelled(maker, joined))


def test_both_orders_are_drawn_and_some_documents_are_read_through() -> None:
    """None is rare."""
    maker = examples(ExampleConfig(infill_rate=0.5))
    counts = Counter(
        example.kind.rpartition(", ")[2] for example in drawn(maker, tiny_documents()[0], 400)
    )

    assert set(counts) == {"psm", "spm", "left-to-right"}
    assert min(counts.values()) > 40


def test_a_document_read_to_its_end_is_ended() -> None:
    """By the token that ends texts, not middles."""
    maker = examples(ExampleConfig(infill_rate=0.0, left_to_right=(5000, 5001)))
    example = drawn(maker, tiny_documents()[0], 1)[0]

    assert spelled(maker, example.ids).endswith("<|endoftext|>")
    assert example.middle == len(example.ids)


def test_context_comes_from_the_file_that_defines_what_the_middle_uses() -> None:
    """In the layout that the engine has for it."""
    maker = examples(replace(ALWAYS, context_share=1.0))
    shown = [spelled(maker, e.ids) for e in drawn(maker, tiny_documents()[1])]

    with_context = [text for text in shown if text.startswith("<repo_name>areas\n")]
    assert len(with_context) > len(shown) / 2
    for text in with_context:
        assert "<file_sep>shapes.py\n" in text
        assert "<file_sep>report.py\n<fim_prefix>" in text
        assert "clamp" not in text


def test_a_third_file_shows_how_a_name_is_used() -> None:
    """As the server shows it; where the name is imported or defined does not count."""
    shapes = Document("areas", "shapes.py", "def area_of(shape):\n    return shape.area\n" * 20)
    here = Document("areas", "report.py", "\n".join(f"x{n} = area_of(y{n})" for n in range(30)))
    uses = "from shapes import area_of\n" + "pass\n" * 40 + "total = area_of(circle)\n"
    there = Document("areas", "totals.py", uses)
    config = replace(ALWAYS, context_share=1.0, most_pieces=3)
    vocabulary = with_fim_tokens(tiny_base_vocabulary())

    def shown(use_rate: float) -> str:
        config_here = replace(config, use_rate=use_rate)
        maker = Examples(vocabulary, [shapes, here, there], config_here)
        return "".join(spelled(maker, example.ids) for example in drawn(maker, here, 40))

    assert "<file_sep>totals.py\npass\ntotal = area_of(circle)\n" in shown(1.0)
    assert "totals.py" not in shown(0.0)


def test_the_same_seed_gives_the_same_examples() -> None:
    """So that a run can be repeated."""
    first = [example.ids for example in drawn(examples(), tiny_documents()[0])]

    assert first == [example.ids for example in drawn(examples(), tiny_documents()[0])]


def test_a_long_row_has_exactly_the_tokens_asked_for_and_ends_with_a_hole() -> None:
    """Files come one behind the other."""
    maker = examples()
    documents = [document for document in tiny_documents() if document.repo == "areas"]

    row = maker.make_long(documents * 4, 600, Random(0))

    assert row is not None
    assert len(row.ids) == 600
    text = spelled(maker, row.ids)
    assert text.startswith("<repo_name>areas\n<file_sep>shapes.py\n")
    assert text.endswith("<fim_end>")
    assert row.middle > 300


def test_too_few_documents_make_no_long_row() -> None:
    """Nothing is padded."""
    assert examples().make_long(tiny_documents()[:1], 5000, Random(0)) is None


def test_documents_are_read_as_the_corpus_writes_them(tmp_path: Path) -> None:
    """What is not needed is passed over."""
    file = tmp_path / "documents.jsonl"
    file.write_text(
        '{"repo": "r", "path": "a.py", "text": "x = 1\\n", "licence": "MIT"}\n'
        '{"repo": "r", "path": "b.go", "text": "y", "held_out": true}\n'
    )

    first, second = read_documents(file)

    assert first == Document("r", "a.py", "x = 1\n")
    assert (second.held_out, second.language) == (True, "go")
