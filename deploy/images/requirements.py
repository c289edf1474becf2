# ruff: noqa: INP001 - a program of its own, in no package
"""Prints, of all the pins in constraints.txt, those that the given distributions need: a hashed requirements file.

    python requirements.py --python 3.11 constraints.txt DISTRIBUTION...

The distributions must be installed in the environment that runs this: their own metadata says what they need. Those of
this workspace are followed and not printed, for they are installed from their wheels.
"""

from __future__ import annotations

import argparse
import re
import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OWN = "comfymesh"


def pins(constraints: str) -> dict[str, str]:
    """Return the block of each pinned distribution: its version and hashes, as they stand in the file."""
    blocks = re.findall(r"^[A-Za-z0-9].*(?:\n[ \t]+.*)*", constraints, flags=re.MULTILINE)
    return {canonicalize_name(re.split(r"[=\s;\[]", block, maxsplit=1)[0]): block for block in blocks}


def closure(roots: list[str], python: str) -> set[str]:
    """Return the names of all distributions that the roots need on this version of Python, the roots included."""
    needed: set[str] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in needed:
            needed.add(name)
            waiting += [found for found in _requirements(requirement) if _applies(found, requirement, python)]
    return needed


def _requirements(requirement: Requirement) -> list[Requirement]:
    return [Requirement(text) for text in requires(requirement.name) or []]


def _applies(found: Requirement, asked_by: Requirement, python: str) -> bool:
    versions = {"python_version": python, "python_full_version": f"{python}.0"}
    extras = asked_by.extras or {""}
    return found.marker is None or any(found.marker.evaluate(versions | {"extra": extra}) for extra in extras)


def main() -> None:
    """Print the requirements file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("constraints", type=Path)
    parser.add_argument("distributions", nargs="+")
    flags = parser.parse_args()
    pinned = pins(flags.constraints.read_text(encoding="utf-8"))
    names = sorted(name for name in closure(flags.distributions, flags.python) if not name.startswith(OWN))
    missing = [name for name in names if name not in pinned]
    if missing:
        sys.exit(f"{flags.constraints} has no pin for {', '.join(missing)}: run `make constraints`")
    sys.stdout.writelines(f"{pinned[name]}\n" for name in names)


if __name__ == "__main__":
    main()
