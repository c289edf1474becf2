"""A program that writes down who it is, then becomes another program.

The child itself writes its record, while it holds the launch lock that it inherited. So an agent that is killed at any
moment leaves no process that the next agent could not find.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from comfymesh.agent.runtimes import process_record
from comfymesh.agent.runtimes.process_table import identify

if TYPE_CHECKING:
    from comfymesh.agent.runtimes.process_command import ProcessCommand

LOCK_DESCRIPTOR = 3
"""Where the child finds the launch lock."""


def command_line(command: ProcessCommand, *, record: Path, port: int, digest: str) -> list[str]:
    """Return how this program is to be started so that it becomes `command`."""
    # Isolated: variables meant for the command's own Python must not reach this one.
    this = [sys.executable, "-I", "-m", "comfymesh.agent.runtimes.launch"]
    return [*this, str(record), str(port), digest, str(command.directory), *command.words]


def main() -> None:
    """Write the record, change to the directory, become the command."""
    record, port, digest, directory, *command = sys.argv[1:]
    me = identify(os.getpid())
    assert me is not None
    process_record.write(Path(record), process_record.ProcessRecord(me, int(port), digest))
    os.chdir(directory)
    os.set_inheritable(LOCK_DESCRIPTOR, False)  # noqa: FBT003
    try:
        os.execvp(command[0], command)  # noqa: S606 - no shell is meant to be there
    except OSError as error:
        sys.exit(f"cannot start {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
