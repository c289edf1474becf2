"""Starts a program whose timers may be a millisecond late: `python -m comfymesh.runtime.timer_slack PROGRAM ...`.

Made for nats-server. A thread of Go's runtime looks every 20 microseconds whether another has been in a system call
since the last look, and then wakes a third to go on with what that one held (`sysmon` and `retake` in runtime/proc.go).
A server that syncs each message is in such a call most of the time. PR_SET_TIMERSLACK, which outlives execve(2), makes
the looks so rare that most syncs are over before (prctl(2); systemd has it as `TimerSlackNSec=`).
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_TIMERSLACK = 29
_SLACK_NANOSECONDS = 1_000_000
_NOT_FOUND = 127


def main(arguments: list[str]) -> None:
    """Become the program, with its arguments. Where the system knows no such thing, it starts as it would alone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(_SLACK_NANOSECONDS), 0, 0, 0)
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606  # what a caller of ours has named
    except OSError as error:
        sys.stderr.write(f"{arguments[0]} can't be started: {error.strerror}\n")
        sys.exit(_NOT_FOUND)


if __name__ == "__main__":
    main(sys.argv[1:] or sys.exit("name the program to start, and its arguments"))
