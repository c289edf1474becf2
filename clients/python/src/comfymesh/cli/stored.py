"""Stored workflows on the command line: how they are named, and how their inputs are read."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfymesh.cli.arguments import parse_file, parse_pairs
from comfymesh.cli.jsonlines import plain
from comfymesh.client import InputKind, WorkflowInput, WorkflowRef
from comfymesh.client.graphs import decode_graph, file_unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from comfymesh.client import AsyncClient, InputValue

_NAME = re.compile(r"(?:workflows/)?[a-z][a-z0-9-]{0,62}(?:(?:@|/versions/)[1-9][0-9]{0,9})?")
_FILES = frozenset({InputKind.IMAGE, InputKind.MASK, InputKind.AUDIO, InputKind.VIDEO})
_TRUTHS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_KEYS = ("name", "kind", "targets", "description", "required", "default", "minimum", "maximum", "options")


def stored(text: str) -> WorkflowRef | None:
    """The stored workflow that an argument names; None for one that names a file.

    A file of that very name goes first.
    """
    return WorkflowRef(text) if _NAME.fullmatch(text) and not Path(text).is_file() else None


def given_to(inputs: Iterable[WorkflowInput], texts: Sequence[str]) -> dict[str, InputValue]:
    """The values that `--input` gives to the inputs of a workflow, each read as its input's kind has it.

    What is no input of the workflow is handed on as a text: the server says what there is instead.

    Raises:
        click.UsageError: One of them can't be read.
    """
    kinds = {each.name: each.kind for each in inputs}
    pairs = parse_pairs("--input", texts)
    return {name: _value(name, kinds.get(name, InputKind.STRING), text) for name, text in pairs.items()}


async def read_inputs(client: AsyncClient, workflow: WorkflowRef, texts: Sequence[str]) -> dict[str, InputValue]:
    """The same for a stored workflow, whose inputs are asked for where any are given."""
    if not texts:
        return {}
    versioned = "@" in workflow.name or "/versions/" in workflow.name
    known = await (client.workflows.version if versioned else client.workflows.get)(workflow.name)
    return given_to(known.inputs, texts)


def specs_at(path: str | None) -> list[WorkflowInput] | None:
    """The inputs in a file, or in standard input where that is `-`; None where none is named."""
    if path is None:
        return None
    if path == "-":
        return read_specs(decode_graph(sys.stdin.buffer.read(), "Standard input"), "Standard input")
    try:
        return read_specs(decode_graph(Path(path).read_bytes(), path), path)
    except OSError as error:
        raise file_unreadable(Path(path), error) from error


def read_specs(text: str, origin: str) -> list[WorkflowInput]:
    """Inputs of a workflow as JSON has them: a list of objects, as `comfymesh workflows derive` prints them.

    Raises:
        click.UsageError: They can't be read.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{origin} is not JSON: {error}.") from error
    if not isinstance(found, list):
        raise click.UsageError(f"{origin} must hold a list of inputs, as `comfymesh workflows derive` prints it.")
    return [_spec(each, f"{origin}, input {index + 1}") for index, each in enumerate(found)]


def spec_json(each: WorkflowInput) -> dict[str, Any]:
    """An input as `read_specs` reads it, without what it does not say."""
    told = plain(each)
    assert isinstance(told, dict)
    said = {key: value for key, value in told.items() if value is not None and value not in ("", [])}
    return {key: value for key, value in said.items() if key != "required" or value}


def _value(name: str, kind: InputKind, text: str) -> InputValue:
    try:
        return _read(name, kind, text)
    except ValueError:
        raise click.UsageError(f"--input {name}={text}: {name} must be {_WORDS[kind]}.") from None


def _read(name: str, kind: InputKind, text: str) -> InputValue:
    match kind:
        case InputKind.INTEGER:
            return int(text)
        case InputKind.FLOAT:
            return float(text)
        case InputKind.BOOL if text.lower() in _TRUTHS:
            return _TRUTHS[text.lower()]
        case InputKind.BOOL:
            raise ValueError(text)
        case _ if kind in _FILES and text.startswith(("@", "assets/", "https://", "http://")):
            return parse_file(name, text)
        case _ if kind in _FILES:
            raise ValueError(text)
        case _:
            return text


_WORDS = {
    InputKind.INTEGER: "an integer",
    InputKind.FLOAT: "a number",
    InputKind.BOOL: "true or false",
    **dict.fromkeys(_FILES, "a file: @FILE to upload one, assets/NAME, or https://... for one that the node fetches"),
}


def _spec(said: Any, where: str) -> WorkflowInput:  # noqa: ANN401  # it may be any JSON
    if not isinstance(said, dict) or not isinstance(said.get("name"), str):
        raise click.UsageError(f"{where}: must be an object with a name.")
    if unknown := ", ".join(sorted(key for key in said if key not in _KEYS)):
        raise click.UsageError(f"{where}: unknown: {unknown}; known are {', '.join(_KEYS)}.")
    return WorkflowInput(
        name=said["name"],
        kind=_kind(said.get("kind"), where),
        targets=_texts(said, "targets", where),
        description=str(said.get("description") or ""),
        required=said.get("required") is True,
        default=_plain(said.get("default"), where),
        minimum=_plain(said.get("minimum"), where),
        maximum=_plain(said.get("maximum"), where),
        options=_texts(said, "options", where),
    )


def _kind(said: object, where: str) -> InputKind:
    kinds = [kind.lower() for kind in InputKind if kind is not InputKind.UNKNOWN]
    if not isinstance(said, str) or said.lower() not in kinds:
        raise click.UsageError(f"{where}: kind must be one of {', '.join(kinds)}.")
    return InputKind(said.upper())


def _texts(said: dict[str, Any], key: str, where: str) -> tuple[str, ...]:
    found = said.get(key) or []
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise click.UsageError(f"{where}: {key} must be a list of texts.")
    return tuple(found)


def _plain(value: Any, where: str) -> Any:  # noqa: ANN401
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise click.UsageError(f"{where}: values must be texts, numbers, true or false.")
