"""What the checker finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Promise(StrEnum):
    """The promises that a history can break."""

    P1 = "P1 no task is lost, each reaches one final state"
    P2 = "P2 at most one attempt commits, each record follows from the one before"
    P3 = "P3 creating is idempotent"
    P4 = "P4 watchers and readers see every change once, in order"
    P5 = "P5 what a succeeded task made can be read"
    P6 = "P6 failures are told as what they are"
    P9 = "P9 nothing is taken down by what it did not expect"


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, by what, and for which task (empty: for none in particular)."""

    promise: Promise
    task: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise.name}: {self.what} (task {self.task or '-'})"
