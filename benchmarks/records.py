"""Records of tasks that nobody created through the API, for logs of any size. Pure."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator

from benchmarks import graphs
from comfymesh import names
from comfymesh.tasks import codec, machine
from comfymesh.tasks.events import Assigned, Started, Succeeded
from comfymesh.tasks.record import Artifact, ArtifactKind, Definition, Key, Requirements, SpecRef, TaskRecord
from comfymesh.wire.v1 import spec_pb2

TENANT = "default"
_SECONDS = 2.0


def waiting(number: int, now: float) -> TaskRecord:
    """A task that waits for a slot, created at `now` (seconds since the epoch). Any number makes another one."""
    graph = json.dumps(graphs.nothing()).encode()
    spec = spec_pb2.Spec(graph_zlib=zlib.compress(graph)).SerializeToString()
    digest = hashlib.sha256(graph).hexdigest()
    return machine.create(
        Definition(
            key=key(number),
            request_digest=digest,
            spec=SpecRef(digest, len(graph), spec),
            requirements=Requirements(("PreviewAny",)),
            create_time=now,
            labels={"made": "by the benchmark"},
        )
    )


def running(number: int, now: float, node: str) -> TaskRecord:
    """A task that runs on a node."""
    assigned = machine.apply(waiting(number, now), Assigned(node, "comfyui-0"), now)
    return machine.apply(assigned, Started(), now)


def finished(number: int, now: float, node: str) -> TaskRecord:
    """A task that has made a picture."""
    picture = Artifact(
        artifact_id="0",
        filename="picture_00001_.png",
        media_type="image/png",
        size_bytes=1_000_000,
        sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        graph_node="9",
        output_key="images",
        kind=ArtifactKind.OUTPUT,
    )
    return machine.apply(running(number, now, node), Succeeded((picture,)), now + _SECONDS)


def log(live: int, ended: int, now: float) -> Iterator[tuple[Key, bytes]]:
    """The last records of tasks that have ended and then of tasks that wait."""
    yield from _copies(finished(0, now, "elsewhere"), range(ended))
    yield from _copies(waiting(0, now), range(ended, ended + live))


def key(number: int) -> Key:
    """Names a task. Names that follow each other would be kinder to an index than those of real tasks are."""
    return Key(TENANT, f"benchmark-{hashlib.sha256(str(number).encode()).hexdigest()[:16]}")


def _copies(record: TaskRecord, numbers: range) -> Iterator[tuple[Key, bytes]]:
    """The record under other names, which is faster than to make each anew."""
    message = codec.to_message(record)
    for number in numbers:
        named = key(number)
        message.task_id, message.task.name = named.task_id, names.task(named.task_id)
        for artifact in message.task.artifacts:
            artifact.name = names.artifact(named.task_id, "0")
        yield named, message.SerializeToString()
