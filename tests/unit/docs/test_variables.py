"""The names that every process knows are those of all settings, and whatever else of ours is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from comfymesh.cli.main import cli
from comfymesh.runtime import known_variables
from comfymesh.stack import variables

ROOT = Path(__file__).parents[3]
NAMED = re.compile(r"(?<![A-Z_])COMFYMESH_[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_*])")
DEPLOYED = [ROOT / "compose.yaml", *(path for path in (ROOT / "deploy").rglob("*") if path.suffix in {".env", ".sh"})]


def test_the_module_is_made_from_the_classes() -> None:
    assert Path(known_variables.__file__).read_text() == variables.module(), "run `make docs`"


def test_those_of_the_command_line_are_there() -> None:
    read = {str(parameter.envvar) for parameter in parameters(cli) if parameter.envvar}
    assert {"COMFYMESH_TARGET", "COMFYMESH_TLS_KEY", "COMFYMESH_PREVIEW"} <= read
    assert read <= known_variables.NAMES


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_those_of_deployments_are_there(path: Path) -> None:
    assert set(NAMED.findall(path.read_text())) <= known_variables.NAMES


@pytest.mark.parametrize("folder", ["services", "clients", "devtools", "examples", "tests/testkit"])
def test_those_that_code_names_are_there(folder: str) -> None:
    texts = [path.read_text() for path in (ROOT / folder).rglob("*.*") if path.suffix in {".py", ".sh", ".go"}]
    named = {name for text in texts for name in NAMED.findall(text)}
    assert named
    assert named - {"COMFYMESH_TASK", "COMFYMESH_LOGGER"} <= known_variables.NAMES  # those are fields of the journal


def parameters(command: click.Command) -> Iterator[click.Parameter]:
    yield from command.params
    for each in getattr(command, "commands", {}).values():
        yield from parameters(each)
