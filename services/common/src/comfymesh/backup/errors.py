"""Why a backup or a restore was not made."""

from __future__ import annotations


class BackupError(Exception):
    """It was not made; the message says why and what to do. `reason` is for machines."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)
