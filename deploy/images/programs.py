# ruff: noqa: INP001 - a program of its own, in no package
"""Writes a program for each console script of the distributions in a folder.

    python programs.py FOLDER TARGET INTERPRETER

The programs that pip writes name the interpreter that ran pip, which the image does not have.
"""

from __future__ import annotations

import sys
from importlib.metadata import distributions
from pathlib import Path

PROGRAM = """\
#!{interpreter}
import sys

from {module} import {function}

sys.exit({function}())
"""


def main() -> None:
    """Write the programs."""
    folder, target, interpreter = sys.argv[1:]
    for distribution in distributions(path=[folder]):
        for script in distribution.entry_points.select(group="console_scripts"):
            program = Path(target) / script.name
            program.write_text(PROGRAM.format(interpreter=interpreter, module=script.module, function=script.attr))
            program.chmod(0o755)


if __name__ == "__main__":
    main()
