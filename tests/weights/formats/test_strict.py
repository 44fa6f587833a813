"""Metadata comes out typed or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_models import TINY_ARCHITECTURE

from midfill.weights.errors import CorruptModelError, UnsupportedModelError
from midfill.weights.families import expected_shapes
from midfill.weights.formats.strict import Metadata, check_heads, check_tensors, read_json

HERE = Path("model")


def metadata(**values: object) -> Metadata:
    """These values, as the metadata of a file."""
    return Metadata(HERE, values)


def test_values_come_out_as_their_type() -> None:
    """Python's own types, checked at run time."""
    read = metadata(whole=3, real=1, yes=True, word="a", words=["a"], wholes=[1], table={"a": 1})
    assert read.integer("whole") == 3
    assert isinstance(read.number("real"), float)
    assert read.flag("yes") is True
    assert read.text("word") == "a"
    assert read.texts("words") == ["a"]
    assert read.integers("wholes") == read.integer_or_integers("wholes", 9) == [1]
    assert read.integer_or_integers("whole", 9) == [3]
    assert read.mapping("table") == {"a": 1}


def test_absent_and_null_keys_take_the_default() -> None:
    """Null is as good as absent."""
    read = metadata(null=None)
    assert "null" not in read
    assert read.integer("null", 5) == read.integer("absent", 5) == 5
    assert read.integer_or_integers("absent", 9) == [9]
    assert read.mapping("absent") == {}


def test_a_required_key_that_is_absent_is_named() -> None:
    """No default, no guess."""
    with pytest.raises(CorruptModelError, match="model: layers is missing"):
        metadata().integer("layers")


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3", [3]])
def test_an_integer_is_a_positive_whole_number_and_no_boolean(value: object) -> None:
    """``isinstance(True, int)`` holds in Python."""
    with pytest.raises(CorruptModelError, match=r"layers is .*; it must be an integer of at least"):
        metadata(layers=value).integer("layers")


@pytest.mark.parametrize("value", [0.0, -2, True, "1", float("nan"), float("inf")])
def test_a_number_is_over_0_and_finite(value: object) -> None:
    """JSON in Python reads NaN and Infinity."""
    with pytest.raises(CorruptModelError, match=r"base is .*; it must be a finite number over 0"):
        metadata(base=value).number("base")


def test_lists_flags_texts_and_tables_of_another_kind_are_refused() -> None:
    """The message has the key and the value."""
    read = metadata(mixed=["a", 1], word=1)
    for getter in (read.texts, read.integers, read.mapping):
        with pytest.raises(CorruptModelError, match="mixed is"):
            getter("mixed")
    for single in (read.flag, read.text):
        with pytest.raises(CorruptModelError, match="word is 1"):
            single("word")


def test_a_key_that_nobody_knows_is_refused_with_its_value() -> None:
    """Keys without the prefix are not looked at."""
    with pytest.raises(
        UnsupportedModelError, match=r"x.twist is 7; .* does not implement this key"
    ):
        Metadata(HERE, {"x.twist": 7, "y.z": 1}).check_known(set(), {}, prefixes=("x.",))


def test_a_fixed_key_is_refused_at_another_value_only() -> None:
    """The message has both values."""
    metadata(bias=False).check_known(set(), {"bias": False})
    with pytest.raises(UnsupportedModelError, match="bias is True; midfill implements False only"):
        metadata(bias=True).check_known(set(), {"bias": False})


def test_a_choice_outside_the_implemented_ones_lists_them() -> None:
    """In order, and with advice if there is some."""
    with pytest.raises(UnsupportedModelError, match="kind is 'c'; midfill implements a, b, sorry"):
        metadata().check_choice("kind", "c", {"b", "a"}, ", sorry")


@pytest.mark.parametrize(
    ("content", "message"), [(None, "is missing"), ("{", "is not JSON"), ("[1]", "be an object")]
)
def test_a_json_file_holds_an_object(tmp_path: Path, content: str | None, message: str) -> None:
    """The message has the path of the file."""
    if content is not None:
        (tmp_path / "a.json").write_text(content)
    with pytest.raises(CorruptModelError, match=message):
        read_json(tmp_path / "a.json")


def test_query_heads_share_key_heads_evenly() -> None:
    """Grouped-query attention repeats each key head the same number of times."""
    with pytest.raises(CorruptModelError, match="4 query heads cannot share 3"):
        check_heads(HERE, replace(TINY_ARCHITECTURE, num_key_value_heads=3))


@pytest.mark.parametrize("width", [0, 1, 7])
def test_heads_have_an_even_width(width: int) -> None:
    """Rotary embedding turns pairs."""
    with pytest.raises(CorruptModelError, match=f"heads are {width} wide"):
        check_heads(HERE, replace(TINY_ARCHITECTURE, head_dim=width))


def test_exactly_the_expected_tensors_pass() -> None:
    """The lists come from one function; this is its other side."""
    check_tensors(HERE, TINY_ARCHITECTURE, expected_shapes(TINY_ARCHITECTURE))


def test_missing_left_over_and_misshapen_tensors_are_named() -> None:
    """The first few by name, the rest counted."""
    shapes = expected_shapes(TINY_ARCHITECTURE)
    with pytest.raises(CorruptModelError, match=r"lacks the tensors: .* and 15 more"):
        check_tensors(HERE, TINY_ARCHITECTURE, {"lm_head.weight": shapes["lm_head.weight"]})
    with pytest.raises(CorruptModelError, match=r"beyond its architecture: score.weight$"):
        check_tensors(HERE, TINY_ARCHITECTURE, shapes | {"score.weight": (1,)})
    with pytest.raises(CorruptModelError, match=r"model.norm.weight has the shape \(31,\), not"):
        check_tensors(HERE, TINY_ARCHITECTURE, shapes | {"model.norm.weight": (31,)})
