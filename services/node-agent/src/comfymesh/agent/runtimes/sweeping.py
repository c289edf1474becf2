"""Removes what attempts read and wrote, and nothing else."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING

from comfymesh.agent.domain.folders import is_ours

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

KINDS = ("input", "output", "temp")
"""Folders of an instance in which attempts have files."""


def plain(folders: Sequence[str]) -> list[str]:
    """Those that are ours. Anything else would be a defect of ours, and is left alone."""
    return [folder for folder in folders if is_ours(folder)]


def remove(roots: Sequence[Path], folders: Sequence[str]) -> None:
    """Remove folders below each of the roots. Graphs may have put links there: none is followed."""
    for root in roots:
        for folder in plain(folders):
            path = root / folder
            if path.parent.resolve() != (root.resolve() / folder).parent:
                logger.warning("%s leads elsewhere and is left alone", path.parent, extra={"action": "sweep_refused"})
            elif path.is_symlink():
                path.unlink()
            elif path.exists():
                shutil.rmtree(path, ignore_errors=True)
