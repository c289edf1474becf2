"""What of a host may be mounted into a container. Pure.

Who writes the settings is trusted, and still no slip of theirs should hand a host to graphs: custom nodes are code.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEVER = tuple(
    PurePosixPath(path)
    for path in ("/boot", "/dev", "/etc", "/proc", "/root", "/run", "/sys", "/var/run", "/var/lib/docker")
)
"""Folders of the system itself, the engine's socket and its data."""


def refusal(path: PurePosixPath, roots: Sequence[PurePosixPath]) -> str:
    """Why a folder of the host may not be mounted; empty if it may.

    Args:
        path: The folder, absolute, with every symbolic link resolved.
        roots: Folders below which mounts are allowed; none: everywhere but in those of the system.
    """
    parts = set(path.parts)
    if not path.is_absolute() or ".." in parts:
        return f"{path} is not an absolute path without `..`"
    for system in _NEVER:
        if path.is_relative_to(system) or system.is_relative_to(path):
            return f"{path} holds, or is part of, {system}, which no container may see"
    if roots and not any(path.is_relative_to(root) for root in roots):
        allowed = ", ".join(map(str, roots))
        return f"{path} is not below one of {allowed}; see COMFYMESH_AGENT_MOUNT_ROOTS"
    return ""
