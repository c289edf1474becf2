"""A sheet of tasks: what can be said in a line, and how a wrong one is told."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from comfymesh.cli.sheets import read_sheet
from comfymesh.client import Asset, Url, WorkflowRef

GRAPH = {"3": {"class_type": "KSampler", "inputs": {"seed": 1}}}


def lines(*said: Any) -> str:
    return "\n".join(json.dumps(each) for each in said)


def test_a_line_says_all_that_can_be_said_of_a_task(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"x")
    inputs = {
        "3.seed": 2**64 - 1,
        "1.image": f"@{photo}",
        "2.image": f"assets/{'0' * 64}",
        "4.text": "hi",
        "5.on": True,
        "6.image": {"url": "https://files.example/a.png"},
        "7.text": "https://files.example/",
    }
    options = {"display_name": "one", "priority": 5, "labels": {"a": "b"}, "group": "g", "execution_timeout": 1.5}
    (task,) = read_sheet(lines({"graph": GRAPH, "inputs": inputs, **options}), None)
    assert task.graph == GRAPH
    expected = {
        **inputs,
        "1.image": photo,
        "2.image": Asset(f"assets/{'0' * 64}"),
        "6.image": Url("https://files.example/a.png"),
    }
    assert task.inputs == expected
    assert task.options == {**options, "execution_timeout": timedelta(seconds=1.5)}


def test_a_line_may_name_a_stored_workflow() -> None:
    tasks = read_sheet(lines({"graph": "portrait@3", "inputs": {"prompt": "hi"}}, {}), "workflows/landscape")
    assert [task.graph for task in tasks] == [WorkflowRef("portrait@3"), WorkflowRef("workflows/landscape")]
    assert tasks[0].inputs == {"prompt": "hi"}


def test_lines_without_a_graph_take_the_common_one_and_empty_lines_nothing(tmp_path: Path) -> None:
    common, other = tmp_path / "common.json", tmp_path / "other.json"
    common.write_text("{}")
    other.write_text("[]")
    sheet = f"\n{lines({'inputs': {}}, {'graph': str(other)})}\n  \n"
    assert [task.graph for task in read_sheet(sheet, str(common))] == ["{}", "[]"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{oops", "line 2: is not JSON: Expecting property name enclosed in double quotes at column 2"),
        ("[]", "line 2: is not a JSON object"),
        ("5", "line 2: is not a JSON object"),
        ("[" * 100_000, "line 2:"),
        ('{"inputs": {}}', "line 2: has no graph"),
        ('{"graph": 5}', "line 2: has no graph"),
        ('{"graph": {}, "priorty": 5}', "line 2: unknown: priorty; known are graph, inputs"),
        ('{"graph": {}, "priority": "high"}', "line 2: priority must be a number"),
        ('{"graph": {}, "priority": true}', "line 2: priority must be a number"),
        ('{"graph": {}, "labels": ["a"]}', "line 2: labels must be an object"),
        ('{"graph": {}, "labels": {"a": 1}}', "line 2: labels must have texts as values"),
        ('{"graph": {}, "allow_partial_outputs": 1}', "line 2: allow_partial_outputs must be true or false"),
        ('{"graph": {}, "inputs": []}', "line 2: inputs must be an object"),
        ('{"graph": {}, "inputs": {"3.seed": null}}', "line 2: input 3.seed must be"),
        ('{"graph": {}, "inputs": {"1.image": "@nope.png"}}', "line 2: input 1.image: there is no file nope.png"),
        ('{"graph": {}, "execution_timeout": 1e999}', "line 2: execution_timeout must be a number of seconds"),
        ('{"graph": {}, "execution_timeout": NaN}', "line 2: execution_timeout must be a number of seconds"),
        ('{"graph": {}, "execution_timeout": 0}', "line 2: execution_timeout must be a number of seconds"),
        ('{"graph": {}, "start_timeout": -1}', "line 2: start_timeout must be a number of seconds"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(line: str, told: str) -> None:
    with pytest.raises(click.UsageError) as error:
        read_sheet(f'{{"graph": {{}}}}\n{line}\n', None)
    assert told in error.value.message


def test_a_sheet_without_tasks_is_refused() -> None:
    with pytest.raises(click.UsageError, match="no tasks"):
        read_sheet("\n\n", None)
