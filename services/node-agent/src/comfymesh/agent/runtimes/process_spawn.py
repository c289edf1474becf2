"""Starting a child that shares nothing with the agent but its parent."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from comfymesh.agent.runtimes.launch import LOCK_DESCRIPTOR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def spawn(command: list[str], *, environment: Mapping[str, str], log: Path, lock: int) -> None:
    """Start a program in a session of its own, its output appended to a file.

    A signal from the agent's terminal does not reach it, and it goes on when the agent ends. It inherits the descriptor
    `lock` as `LOCK_DESCRIPTOR`, and no other. Who it is, it writes down itself.
    """
    os.posix_spawn(
        command[0],
        command,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), _APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, lock, LOCK_DESCRIPTOR),
        ],
        setsid=True,
        setsigmask=[],
        # What the agent ignores, a child would ignore too: a ComfyUI that ignores SIGINT never cleans up.
        setsigdef=[signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM],
    )
