from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfymesh.cli.arguments import parse_inputs, parse_labels, parse_value
from comfymesh.client import Asset, Url

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("18446744073709551615", 2**64 - 1),
        ("-1.5", -1.5),
        ("true", True),
        ('"42"', "42"),
        ("a lighthouse", "a lighthouse"),
        ("", ""),
        ("a=b", "a=b"),
        ("null", "null"),
        ("[1, 2]", "[1, 2]"),
        ('{"a": 1}', '{"a": 1}'),
        ("NaN", "NaN"),
        ("1e999", "1e999"),
        ("0x10", "0x10"),
        ("@photo.png", "@photo.png"),
    ],
)
def test_values_are_json_scalars_or_text(text: str, value: object) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@given(st.text())
def test_every_text_is_a_value(text: str) -> None:
    assert isinstance(parse_value(text), (bool, int, float, str))


def test_both_ways_to_write_an_input_are_the_same() -> None:
    expected = {"6.text": "a = b"}
    assert parse_inputs(["6.inputs.text=a = b"], []) == parse_inputs(["6.text=a = b"], []) == expected


def test_ids_of_expanded_graph_nodes_can_be_written() -> None:
    assert parse_inputs(["12:3.seed=1"], []) == {"12:3.seed": 1}


def test_files_and_assets_are_inputs(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.touch()
    url = "https://files.example/a.png?signature=b"
    assert parse_inputs([], [f"1.image={url}"]) == {"1.image": Url(url)}
    assert "signature" not in repr(Url(url))
    inputs = parse_inputs([], [f"1.image=@{path}", "2.inputs.image=assets/abc"])
    assert inputs == {"1.image": path, "2.image": Asset("assets/abc")}


@pytest.mark.parametrize(
    ("sets", "files", "said"),
    [
        (["x"], [], "NAME=VALUE"),
        (["=5"], [], "NAME=VALUE"),
        (["text=5"], [], "6.inputs.text"),
        (["6.=5"], [], "6.inputs.text"),
        (["6.inputs.=5"], [], "6.inputs.text"),
        (["6.text=5", "6.inputs.text=6"], [], "twice"),
        ([], ["1.image=photo.png"], "@FILE"),
        ([], ["1.image=@"], "@FILE"),
        ([], ["1.image=@/nowhere/photo.png"], "no file"),
    ],
)
def test_what_cannot_be_read_is_explained(sets: list[str], files: list[str], said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        parse_inputs(sets, files)


def test_labels_are_pairs() -> None:
    assert parse_labels(["a=b", "c=d=e"]) == {"a": "b", "c": "d=e"}
    with pytest.raises(click.UsageError):
        parse_labels(["a"])
