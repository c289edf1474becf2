"""Reads `--set`, `--input`, `--label` and durations."""

from __future__ import annotations

import json
import math
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from comfymesh.client import Asset, Url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfymesh.client import InputValue

_DURATION_PART = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_SECONDS = 3650 * 86400


def parse_inputs(sets: Sequence[str], files: Sequence[str]) -> dict[str, InputValue]:
    """The inputs that `--set` and `--input` name.

    Args:
        sets: ``NODE.INPUT=VALUE`` or ``NODE.inputs.INPUT=VALUE``.
        files: ``NODE.INPUT=@FILE``, ``NODE.INPUT=assets/NAME`` or ``NODE.INPUT=https://...``.

    Returns:
        Values by ``NODE.INPUT``.

    Raises:
        click.UsageError: One of them can't be read, or an input is given twice.
    """
    inputs: dict[str, InputValue] = {}
    for option, texts in (("--set", sets), ("--input", files)):
        for text in texts:
            key, value = _pair(option, text)
            key = _input_key(option, key)
            if key in inputs:
                raise click.UsageError(f"{key} is given twice; give it once.")
            inputs[key] = parse_value(value) if option == "--set" else parse_file(key, value)
    return inputs


def parse_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """What an option names that is given as ``NAME=VALUE``, each name once.

    Raises:
        click.UsageError: One of them is not of that form, or is given twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, value = _pair(option, text)
        if key in found:
            raise click.UsageError(f"{key} is given twice; give it once.")
        found[key] = value
    return found


def parse_labels(texts: Sequence[str]) -> dict[str, str]:
    """The labels that `--label` names.

    Raises:
        click.UsageError: One of them is not ``KEY=VALUE``.
    """
    return dict(_pair("--label", text) for text in texts)


def parse_duration(text: str) -> timedelta:
    """A duration such as ``90s``, ``30m``, ``1h30m`` or ``7d``.

    Raises:
        click.UsageError: It is none, or longer than ten years.
    """
    parts = _DURATION_PART.findall(text)
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or not 0 < seconds <= _LONGEST_SECONDS:
        raise click.UsageError(f"{text!r} is not a duration such as 90s, 30m, 1h30m or 7d.")
    return timedelta(seconds=seconds)


def parse_value(text: str) -> bool | int | float | str:
    """A number, truth value or quoted text when it reads as one in JSON; else the text as it stands."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text  # NaN and Infinity are not JSON, though Python reads them
    return value if isinstance(value, (bool, int, float, str)) else text


def _pair(option: str, text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise click.UsageError(f"{option} {text!r} lacks a name and '=': write {option} NAME=VALUE.")
    return key.strip(), value


def _input_key(option: str, key: str) -> str:
    graph_node, dot, name = key.partition(".")
    name = name.removeprefix("inputs.")
    if not dot or not graph_node or not name:
        raise click.UsageError(f"{option} {key!r} names no input of a graph node: write 6.text or 6.inputs.text.")
    return f"{graph_node}.{name}"


def parse_file(key: str, value: str) -> InputValue:
    """The file that a value names: one to be uploaded, or one that was.

    Raises:
        click.UsageError: It names none.
    """
    if value.startswith("assets/"):
        return Asset(value)
    if value.startswith(("https://", "http://")):
        return Url(value)
    if not value.startswith("@") or value == "@":
        raise click.UsageError(
            f"--input {key}={value}: write @FILE to upload a file, assets/NAME for one that was uploaded, or "
            "https://... for one that the node fetches. Other values go with --set."
        )
    path = Path(value[1:]).expanduser()
    if not path.is_file():
        raise click.UsageError(f"--input {key}: there is no file {path}.")
    return path
