"""What is made of a task that has failed. Pure.

Nothing leaves a final state, so a dead letter that is requeued becomes another task. Which one follows from its key:
who asks twice, or at the same time as somebody else, asks for the same task.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from uuid import UUID, uuid5

from comfymesh.tasks import machine
from comfymesh.tasks.record import Key, TaskRecord

_NAMESPACE = UUID("b4b1c5c0-7a0e-5f0b-9d3c-2f6f8d1b7e55")


def successor_key(key: Key) -> Key:
    """The task that a dead letter is requeued as."""
    return Key(key.tenant, f"t{uuid5(_NAMESPACE, f'{key.tenant}/{key.task_id}').hex}")


def successor(record: TaskRecord, now: float, trace_parent: str) -> TaskRecord:
    """The first record of the task that a dead letter is requeued as, with everything that was said of the old one.

    Args:
        record: The dead letter.
        now: The time, in seconds since the epoch. Deadlines count from here.
        trace_parent: The W3C trace context of the call that wants it, empty where it is not traced.
    """
    old = record.definition
    # No caller's request has this digest, so no repeated one can be answered with this task.
    digest = hashlib.sha256(f"requeued {old.key.tenant}/{old.key.task_id}".encode()).hexdigest()
    return machine.create(
        replace(
            old,
            key=successor_key(old.key),
            request_digest=digest,
            spec=replace(old.spec, small=b""),
            create_time=now,
            trace_parent=trace_parent,
            requeued_from=old.key.task_id,
        )
    )
