"""Reads a sheet of tasks: one JSON object a line. Pure but for the files that it names."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfymesh.cli.options import read_graph
from comfymesh.cli.stored import stored
from comfymesh.client import Asset, NewTask, Url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from comfymesh.client import InputValue, TaskOptions, WorkflowRef

_KINDS: dict[str, tuple[type, ...]] = {
    "display_name": (str,),
    "priority": (int,),
    "labels": (dict,),
    "max_retries": (int,),
    "allow_partial_outputs": (bool,),
    "group": (str,),
    "task_id": (str,),
    "request_id": (str,),
    "execution_timeout": (int, float),
    "start_timeout": (int, float),
}
_DURATIONS = ("execution_timeout", "start_timeout")
_LONGEST = 1e9
"""Seconds that a duration holds with certainty; what is allowed is for the server to say."""

_KEYS = ("graph", "inputs", *_KINDS)


class WrongLineError(Exception):
    """A line does not describe a task; the message says why."""


def read_sheet(text: str, graph: str | None) -> list[NewTask]:
    """The tasks of a sheet.

    Args:
        text: One JSON object a line; empty lines are left out.
        graph: Path of the graph of lines that have none, or the name of a stored workflow.

    Raises:
        click.UsageError: A line can't be read; says which, and why.
        InvalidRequest: A graph's file can't be read.
    """
    graphs: dict[str, str | WorkflowRef] = {}
    tasks: list[NewTask] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            tasks.append(_task(json.loads(line), graph, graphs))
        except (WrongLineError, ValueError, RecursionError) as error:
            raise click.UsageError(f"line {number}: {_problem(error)}") from error
    if not tasks:
        raise click.UsageError("the sheet has no tasks; write one JSON object a line.")
    return tasks


def _problem(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"is not JSON: {error.msg} at column {error.colno}."
    return str(error)


def _task(said: Any, graph: str | None, graphs: dict[str, str | WorkflowRef]) -> NewTask:  # noqa: ANN401  # it may be any JSON
    if not isinstance(said, dict):
        raise WrongLineError("is not a JSON object.")
    unknown = ", ".join(sorted(key for key in said if key not in _KEYS))
    if unknown:
        raise WrongLineError(f"unknown: {unknown}; known are {', '.join(_KEYS)}.")
    written = said.get("graph", graph)
    if not isinstance(written, (str, dict)):
        raise WrongLineError(
            "has no graph: write a file's name, the graph itself or a workflow's name, or name one with --graph."
        )
    if isinstance(written, str):
        if written not in graphs:
            graphs[written] = stored(written) or read_graph(written)
        written = graphs[written]
    return NewTask(written, dict(_inputs(said.get("inputs", {}))), _options(said))


def _inputs(said: object) -> Iterator[tuple[str, InputValue]]:
    if not isinstance(said, dict):
        raise WrongLineError('inputs must be an object such as {"3.seed": 42}.')
    for key, value in said.items():
        yield key, _value(key, value)


def _value(key: str, value: object) -> InputValue:
    match value:
        case {"url": str(url), **rest} if not rest:
            return Url(url)
        case str() if value.startswith("@"):
            return _file(key, value[1:])
        case str() if value.startswith("assets/"):
            return Asset(value)
        case bool() | int() | float() | str():
            return value
    raise WrongLineError(f'input {key} must be a text, a number, true, false, or {{"url": "https://..."}}.')


def _file(key: str, name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise WrongLineError(f"input {key}: there is no file {path}.")
    return path


def _options(said: Mapping[str, Any]) -> TaskOptions:
    options: dict[str, Any] = {key: value for key, value in said.items() if key in _KINDS}
    for key, value in options.items():
        _check_kind(key, value, _KINDS[key])
    if not all(isinstance(text, str) for text in options.get("labels", {}).values()):
        raise WrongLineError("labels must have texts as values.")
    for key in _DURATIONS:
        if key in options:
            options[key] = _seconds(key, options[key])
    found: TaskOptions = options  # type: ignore[assignment]  # every key and kind was checked
    return found


def _seconds(key: str, value: float) -> timedelta:
    if not 0 < value < _LONGEST:
        raise WrongLineError(f"{key} must be a number of seconds above 0.")
    return timedelta(seconds=value)


def _check_kind(key: str, value: object, kinds: tuple[type, ...]) -> None:
    # A truth value is a number in Python, and not in JSON.
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise WrongLineError(f"{key} must be {_WORDS[kinds[0]]}.")


_WORDS = {str: "a text", int: "a number", dict: "an object", bool: "true or false"}
