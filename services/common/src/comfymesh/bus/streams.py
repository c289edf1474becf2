"""The JetStream streams of the mesh, as data. Every process applies them when it starts; once is enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

HISTORY = 64
"""Records kept of one task: more than its attempts can make; what a resume token can go back to."""

REPORT_TTL = timedelta(seconds=8)
"""A node whose last report is older than this is lost. Four times the interval at which agents report."""


class Storage(StrEnum):
    """Where a stream keeps its messages."""

    FILE = "file"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream.

    Attributes:
        name: Its name.
        subjects: What it stores.
        storage: File for what must survive; memory for what is told again anyway.
        per_subject: Messages kept of one subject, -1 for all.
        max_age: When messages are dropped, None for never.
        work_queue: Whether a message goes away once it was acknowledged.
        expiring: Whether a message may say by itself when it is dropped.
    """

    name: str
    subjects: tuple[str, ...]
    storage: Storage
    per_subject: int = -1
    max_age: timedelta | None = None
    work_queue: bool = False
    expiring: bool = False


# A task's graph and its records share a stream: messages of one connection to one stream are stored in order, so no
# record can ever be there without its graph.
TASKS = Stream("TASKS", ("task.*.*", "spec.*.*.*"), Storage.FILE, per_subject=HISTORY, expiring=True)
# Nothing expires there but uploads that nobody goes on with, and the marks of assets that are gone.
BLOBS = Stream("BLOBS", ("blob.*.*.*", "asset.*.*", "upload.*.*"), Storage.FILE, per_subject=1, expiring=True)
# Not the truth, only its delivery: what a restart of the server drops is sent again on the next report.
WORK = Stream("WORK", ("work.*",), Storage.MEMORY, work_queue=True)
REPORTS = Stream("REPORTS", ("report.*",), Storage.MEMORY, per_subject=1, max_age=REPORT_TTL)
PROGRESS = Stream("PROGRESS", ("progress.*.*",), Storage.MEMORY, per_subject=1, max_age=timedelta(hours=1))
# On disk: a lease that a restart of the server forgets would begin to count anew, and two could hold the same number.
LEASES = Stream("LEASES", ("lease.*",), Storage.FILE, per_subject=1)
SETTINGS = Stream("SETTINGS", ("settings.*",), Storage.FILE, per_subject=1)
INTENTS = Stream("INTENTS", ("intent.*",), Storage.FILE, per_subject=1)
ACCOUNTS = Stream("ACCOUNTS", ("account.tenant.*", "account.key.*.*"), Storage.FILE, per_subject=1)
AUDIT = Stream("AUDIT", ("audit.*",), Storage.FILE, max_age=timedelta(days=400))
# A head and its versions share a stream: a version is stored before the head that names it.
WORKFLOWS = Stream(
    "WORKFLOWS", ("workflow.head.*.*", "workflow.content.*.*.*"), Storage.FILE, per_subject=1, expiring=True
)

# What was told, what became of it, and what is still to be told. Notices are named; each is stored once.
ALERTS = Stream("ALERTS", ("notice.*", "delivered.*.*"), Storage.FILE, per_subject=1, max_age=timedelta(days=30))
# The notifier's state and what people tell it.
ALERTING = Stream("ALERTING", ("alerting.>",), Storage.FILE, per_subject=1)
WEBHOOKS = Stream("WEBHOOKS", ("webhook.*.*",), Storage.FILE, per_subject=1, max_age=timedelta(days=30))
# Sums of hours, each guarded by the message before it, and how far they have taken in the log.
USAGE = Stream("USAGE", ("usage.*.*.*", "ledger.position"), Storage.FILE, per_subject=1, max_age=timedelta(days=800))

ALL = (
    *(TASKS, BLOBS, WORK, REPORTS, PROGRESS, LEASES, SETTINGS, INTENTS, ACCOUNTS, AUDIT, ALERTS, ALERTING, WEBHOOKS),
    WORKFLOWS,
    USAGE,
)

_OF_KIND = {pattern.partition(".")[0]: stream for stream in ALL for pattern in stream.subjects}


def of(subject: str) -> Stream:
    """The stream that stores what is published on a subject. Each kind of subject, its first word, has one stream.

    Raises:
        KeyError: none does.
    """
    return _OF_KIND[subject.partition(".")[0]]


def plan(progress_retention: timedelta) -> tuple[Stream, ...]:
    """All streams, with what can be set of them.

    Args:
        progress_retention: For how long the latest progress of a task is kept.

    No record in TASKS expires: a task that lives long would lose it. `scheduler/janitor.py` drops tasks; only the marks
    that it leaves expire.
    """
    return tuple(replace(s, max_age=progress_retention) if s is PROGRESS else s for s in ALL)
