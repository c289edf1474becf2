"""The program `comfymesh-health`: asks a service on this host whether it works, by the file that it writes.

    comfymesh-health [FILE]

The file is that of COMFYMESH_HEALTH_FILE where none is named. Ends with 0 where the service works, with 1 and a line
for each trouble where not, with 2 where no file is named. Imports little, for it is run every few seconds.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from comfymesh.runtime import health


def main() -> None:
    """Entry point of `comfymesh-health`."""
    match sys.argv[1:] or [name for name in (os.environ.get("COMFYMESH_HEALTH_FILE", ""),) if name]:
        case [file] if not file.startswith("-"):
            found = troubles(Path(file))
        case _:
            sys.exit(_usage())
    print(*(found or ("well",)), sep="\n")  # noqa: T201  # the command's answer
    sys.exit(1 if found else 0)


def troubles(path: Path) -> tuple[str, ...]:
    """What is wrong; nothing where the service works."""
    try:
        return health.read(path).verdict(time.monotonic())
    except FileNotFoundError:
        return (f"{path} is missing: the service does not run, or has another COMFYMESH_HEALTH_FILE",)
    except (OSError, ValueError, RecursionError) as error:
        return (f"{path} can't be read: {error}",)


def _usage() -> int:
    print("usage: comfymesh-health FILE, or set COMFYMESH_HEALTH_FILE", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    main()
