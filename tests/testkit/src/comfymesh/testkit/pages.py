"""Commands that the docs show, so that tests run them as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

DOCS = Path(__file__).parents[5] / "docs"


def blocks(page: str, section: str) -> list[str]:
    """The blocks of commands below a heading of a page of docs/, in order, as scripts."""
    below = re.split(r"^#+ ", (DOCS / page).read_text(), flags=re.MULTILINE)
    (text,) = (part for part in below if part.startswith(f"{section}\n"))
    found = re.findall(r"```(?:console|sh)\n(.*?)```", text, re.DOTALL)
    return [re.sub(r"^\$ ", "", block, flags=re.MULTILINE) for block in found]


def commands(page: str, section: str) -> list[str]:
    """The lines of these blocks."""
    return [line for block in blocks(page, section) for line in block.splitlines()]


def arguments(command: str, **values: str) -> list[str]:
    """What a command line gives to `comfymesh`; words of `values`, such as `TASK`, are what a reader puts in there."""
    words = shlex.split(command, comments=True)
    assert words.pop(0) == "comfymesh", command
    return [values.get(word, word) for word in words]
