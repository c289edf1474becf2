"""How stored workflows are named on the command line, and their inputs read."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from comfymesh.cli.stored import given_to, read_specs, spec_json, stored
from comfymesh.client import Asset, InputKind, WorkflowInput, WorkflowRef

INPUTS = [
    WorkflowInput(kind.lower(), kind, ("1.x",))
    for kind in (InputKind.STRING, InputKind.INTEGER, InputKind.FLOAT, InputKind.BOOL, InputKind.ENUM, InputKind.IMAGE)
]


@pytest.mark.parametrize("name", ["portrait", "portrait@3", "workflows/portrait", "workflows/portrait/versions/12"])
def test_a_name_is_a_workflows(name: str) -> None:
    assert stored(name) == WorkflowRef(name)


@pytest.mark.parametrize("name", ["graph.json", "-", "./portrait", "Portrait", "portrait@", "portrait@0", "a/b", ""])
def test_what_is_no_name_is_a_file(name: str) -> None:
    assert stored(name) is None


def test_a_file_of_that_name_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("portrait").write_text("{}")
    assert stored("portrait") is None


def test_values_are_read_as_their_inputs_have_it() -> None:
    texts = ["string=42", f"integer={2**64 - 1}", "float=1e3", "bool=yes", "enum=true", "image=assets/x", "else=7"]
    assert given_to(INPUTS, texts) == {
        "string": "42",
        "integer": 2**64 - 1,
        "float": 1000.0,
        "bool": True,
        "enum": "true",
        "image": Asset("assets/x"),
        "else": "7",
    }


@pytest.mark.parametrize(
    "each",
    [
        WorkflowInput("a", InputKind.FLOAT, ("5.cfg",), minimum=0.0, maximum=0),
        WorkflowInput("b", InputKind.BOOL, ("5.on", "6.on"), "What it does.", default=False),
        WorkflowInput("c", InputKind.INTEGER, ("5.seed",), default=0, minimum=0, maximum=2**64 - 1),
        WorkflowInput("d", InputKind.ENUM, ("5.x",), required=True, options=("a", "b")),
    ],
)
def test_an_input_is_read_as_it_is_printed(each: WorkflowInput) -> None:
    assert read_specs(json.dumps([spec_json(each)]), "inputs.json") == [each]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[1]", "[" * 9999, '[{"name": 1}]', '[{"name": "a", "kind": "picture"}]'),
        '[{"name": "a", "kind": "integer", "x": 1}]',
        '[{"name": "a", "kind": "enum", "options": [1]}]',
        '[{"name": "a", "kind": "float", "default": []}]',
    ],
)
def test_specs_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(click.UsageError):
        read_specs(text, "inputs.json")
