"""Places at which a test lets a process die: between two steps of which one is seen outside and the other is not.

Inert unless COMFYMESH_FAULT_POINTS names a folder when the process starts. Then the first process that comes to a place
whose number is the name of a file in that folder removes the file and is gone, as by SIGKILL. See docs/testing.md.
"""

from __future__ import annotations

import os
import signal
from enum import IntEnum
from pathlib import Path

VARIABLE = "COMFYMESH_FAULT_POINTS"


class FaultPoint(IntEnum):
    """Every place, by number. A number is never given to another place: seeds and reports name it."""

    TASK_CHECKED = 1
    TASK_STORED = 2
    CANCEL_STORED = 3
    LETTER_COPIED = 4
    LETTER_RESOLVED = 5
    APPEND_SENT = 6
    APPEND_CONFIRMED = 7
    OFFER_DECIDED = 8
    OFFER_SENT = 9
    CHANGE_DECIDED = 10
    CHANGE_STORED = 11
    LEASE_TAKEN = 12
    WORK_RECEIVED = 13
    CLAIM_DECIDED = 14
    CLAIM_STORED = 15
    PROMPT_READY = 16
    PROMPT_SENT = 17
    START_STORED = 18
    PROMPT_ENDED = 19
    OUTPUTS_STORED = 20
    END_STORED = 21
    BLOB_STORED = 22
    CHECKPOINT_WRITTEN = 23


def reached(point: FaultPoint) -> None:
    """The process has come to this place."""
    if _FOLDER:
        _die_where_asked(_FOLDER, point)


def arm(folder: Path, point: FaultPoint) -> Path:
    """Let the next process that comes to a place die there; the file that is answered is gone once one has."""
    file = folder / str(point.value)
    file.touch()
    return file


def _die_where_asked(folder: str, point: FaultPoint) -> None:
    try:
        Path(folder, str(point.value)).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


_FOLDER = os.environ.get(VARIABLE, "")
