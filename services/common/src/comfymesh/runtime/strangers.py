"""Variables that look like settings and are none: names that somebody has most likely misspelt."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from comfymesh.runtime.known_variables import NAMES
from comfymesh.runtime.secret_files import VARIABLE

_PREFIX = "COMFYMESH_"
_OF_WORKERS = "COMFYMESH_API_WORKER_OF"
_HOST = "_SERVICE_HOST"
_LONGEST = 80
"""Characters of a name that is compared, and told."""
_MOST_TOLD = 8
_SHORT = sorted(name.removeprefix(_PREFIX) for name in NAMES)


def strangers(environment: Mapping[str, str]) -> list[str]:
    """What is to be said of variables that no part of ComfyMesh reads, and of files that stand for such: a line each.

    One environment may be for all services of a host, so a setting of another service is no stranger. Of a value
    nothing is said: it may be a secret whose name is misspelt.
    """
    if _OF_WORKERS in environment:
        return []  # whoever started this worker has told
    names = {name for name in (*environment, *_files(environment)) if name.upper().startswith(_PREFIX)}
    found = sorted(name for name in names - _links(names) if name.upper() not in NAMES)
    lines = [_line(name) for name in found[:_MOST_TOLD]]
    return [*lines, f"and {len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else lines


def _files(environment: Mapping[str, str]) -> Iterable[str]:
    # Where the folder can't be listed, what it holds may be read all the same. If not, the settings say so.
    with contextlib.suppress(OSError):
        if folder := environment.get(VARIABLE):
            return [path.name for path in Path(folder).iterdir()]
    return []


def _links(names: Iterable[str]) -> set[str]:
    """Variables that Kubernetes gives each container for a service called `comfymesh-...`. Nobody has typed them."""
    services = [name.removesuffix(_HOST) for name in names if name.endswith(_HOST)]
    parts = tuple(f"{service}_{part}" for service in services for part in ("SERVICE_", "PORT"))
    return {name for name in names if name.startswith(parts)}


def _line(name: str) -> str:
    near = get_close_matches(name.upper().removeprefix(_PREFIX)[:_LONGEST], _SHORT, n=1, cutoff=0.6)
    hint = f"did you mean {_PREFIX}{near[0]}?" if near else "docs/configuration.md has all that there are"
    return f"{name[:_LONGEST]} is no setting of ComfyMesh and changes nothing; {hint}"
