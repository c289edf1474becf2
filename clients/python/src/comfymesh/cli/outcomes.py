"""Exit codes by outcome."""

from __future__ import annotations

from enum import IntEnum

from comfymesh.client import (
    ComfyMeshError,
    DeadlineExceeded,
    Incompatible,
    LimitExceeded,
    ServerError,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    Unavailable,
)


class ExitCode(IntEnum):
    """How the command line ends."""

    SUCCEEDED = 0
    FAILED = 1
    INVALID = 2
    CANCELLED = 3
    UNAVAILABLE = 4
    EXPIRED = 5
    INTERRUPTED = 130


EXIT_CODES_HELP = """\b
Exit codes:
  0    the task succeeded, or the command did what it should
  1    the task failed, or its files could not be saved
  2    wrong usage, or the server refused the request as invalid
  3    the task was cancelled
  4    the server can't be reached or can't serve at present
  5    the task expired before it was started
  130  interrupted; the task goes on
"""

_SERVER_SIDE = (Unavailable, DeadlineExceeded, LimitExceeded, Incompatible, ServerError)


def exit_code(error: ComfyMeshError) -> ExitCode:
    """The exit code for an error."""
    match error:
        case TaskCancelled():
            return ExitCode.CANCELLED
        case TaskExpired():
            return ExitCode.EXPIRED
        case TaskFailed():
            return ExitCode.FAILED
        case _ if isinstance(error, _SERVER_SIDE):
            return ExitCode.UNAVAILABLE
        case _:
            return ExitCode.INVALID
