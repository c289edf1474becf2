"""Which streams are kept, in which order, and what forbids to put them back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfymesh.backup.errors import BackupError
from comfymesh.backup.manifest import Manifest, StreamBackup
from comfymesh.bus import streams

# What names comes before what is named: a task before its outputs, an alert before the task that it tells of. What is
# stored between two of these snapshots is then too much in the later one, and the earlier one names nothing that is not
# there.
KEPT = tuple(
    stream.name
    for stream in (
        *(streams.AUDIT, streams.ALERTING, streams.ALERTS, streams.WEBHOOKS, streams.USAGE, streams.TASKS),
        streams.WORKFLOWS,
        *(streams.SETTINGS, streams.INTENTS, streams.ACCOUNTS, streams.BLOBS),
    )
)
"""Streams that a backup takes, in its order. A restore goes the other way: no task is there before its outputs are.

The others are told again by whoever runs, and the scheduler's lease is taken anew.
"""

LOOKED_AT = (*KEPT, streams.REPORTS.name)
"""Streams that tell whether somebody runs."""

RESTORED = "comfymesh.restored"
"""In the metadata of a stream: the backup that it was restored from. Services drop it when they start."""

_BY_SERVER = "_nats."
_FRESH = frozenset({streams.REPORTS.name})


@dataclass(frozen=True, slots=True)
class Found:
    """A stream as it is on the server.

    Attributes:
        messages: How many it holds.
        last: Sequence of the last one that it ever held.
        consumers: How many follow it.
        restored: The backup that it was restored from and has not been used since; empty for none.
    """

    messages: int = 0
    last: int = 0
    consumers: int = 0
    restored: str = ""

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Found:
        """From the server's description."""
        state = info["state"]
        restored = (info["config"].get("metadata") or {}).get(RESTORED, "")
        return cls(state["messages"], state["last_seq"], state["consumer_count"], restored)


def to_restore(
    manifest: Manifest, found: Mapping[str, Found], *, replace: bool, live: bool
) -> tuple[list[StreamBackup], list[str]]:
    """What is to be put back, in this order, and which streams are to be removed before.

    Args:
        manifest: Of the backup.
        found: The streams that are there.
        replace: Whether what they hold may go.
        live: Whether that holds though somebody uses them.

    Raises:
        BackupError: the mesh is in use, or what is there would go.
    """
    done = [kept.name for kept in manifest.streams if _is_there(kept, manifest.id, found.get(kept.name))]
    wanted = [kept for kept in reversed(manifest.streams) if kept.name not in done]
    in_use = sorted(name for name, stream in found.items() if stream.consumers or (name in _FRESH and stream.messages))
    if in_use and not live:
        raise BackupError(
            "MESH_ALIVE",
            f"the mesh is running: somebody uses {', '.join(in_use)}. Stop every api, scheduler, notifier and agent,"
            " wait a minute, and try again; --live restores nevertheless, under whoever runs",
        )
    full = sorted(kept.name for kept in wanted if found.get(kept.name, Found()).messages)
    if full and not replace:
        raise BackupError(
            "STREAMS_NOT_EMPTY",
            f"{', '.join(full)} would be lost: there is something in them. Restore into an empty NATS server, or remove"
            " what is there with --replace",
        )
    return wanted, [kept.name for kept in wanted if kept.name in found]


def _is_there(kept: StreamBackup, backup: str, found: Found | None) -> bool:
    """Whether an earlier try, which was cut off later, has put the stream back."""
    return found is not None and found.restored == backup and found.last >= kept.last_sequence


def configuration(kept: StreamBackup, backup: str, replicas: int) -> dict[str, Any]:
    """How the stream is made again: as it was, with as many copies as are wanted here."""
    metadata = {
        name: value
        for name, value in (kept.config.get("metadata") or {}).items()
        if not name.startswith(_BY_SERVER) and name != RESTORED
    }
    return {**kept.config, "num_replicas": replicas, "metadata": {**metadata, RESTORED: backup}}


def check_known(names: Sequence[str]) -> None:
    """Refuse an archive with streams that this version does not know.

    Raises:
        BackupError: there are some.
    """
    if foreign := sorted(set(names) - set(KEPT)):
        raise BackupError(
            "BACKUP_UNKNOWN",
            f"the backup has streams that this version does not know ({', '.join(foreign)}): restore it with the"
            " version that made it, then upgrade",
        )
