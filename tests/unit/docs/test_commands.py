"""Every command of the command line that the docs show is there, with every option that they give it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from comfymesh.cli.main import cli

ROOT = Path(__file__).parents[3]
SHOWN = re.compile(r"(?:`|\$ |# |^)(?:\.venv/bin/)?comfymesh ([^`\n]+)", re.MULTILINE)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = sorted({" ".join(shown.split()) for page in PAGES for shown in SHOWN.findall(page.read_text())})


def named(words: list[str]) -> tuple[list[click.Command], list[str]]:
    """The command that words name, behind the groups that it is in, and the words that are left."""
    path: list[click.Command] = [cli]
    left = list(words)
    while left and isinstance(group := path[-1], click.Group):
        word = left.pop(0)
        if word.startswith("-"):
            # One of the line itself, such as `--api-key @FILE`, stands before the command.
            left = left[1:] if left else left
            continue
        command = group.get_command(click.Context(group), word)
        assert command is not None, f"no command {word}"
        path.append(command)
    return path, left


def test_there_are_many() -> None:
    assert len(COMMANDS) > 50


@pytest.mark.parametrize("shown", COMMANDS)
def test_a_command_in_the_docs_is_there(shown: str) -> None:
    words = shlex.split(shown, comments=True)
    path, left = named(words)
    known = {option for command in path for parameter in command.params for option in parameter.opts}
    known |= {option for command in path for parameter in command.params for option in parameter.secondary_opts}
    given = {word.partition("=")[0] for word in [*words[: len(words) - len(left)], *left] if word.startswith("--")}
    assert given - known - {"--help"} == set()
