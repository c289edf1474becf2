"""How a service says that it can't go on."""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_CONFIGURATION = 78
"""EX_CONFIG of sysexits.h: a supervisor should not try again before somebody has changed something."""


class ServiceFailedError(Exception):
    """The service can't go on; the message says why and what to do.

    Attributes:
        reason: Why, for machines.
        exit_code: What its process ends with.
    """

    reason = "SERVICE_FAILED"
    exit_code = EXIT_FAILED
