"""A backup holds everything that a server keeps, to the number and the time; a restore brings it back so."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest

from comfymesh.backup import operation
from comfymesh.backup.archive import Reader
from comfymesh.backup.errors import BackupError
from comfymesh.backup.plan import KEPT
from comfymesh.bus import streams
from comfymesh.bus.connection import Connection
from comfymesh.bus.jetstream import JetStreamBus
from comfymesh.bus.port import Entry, Message, SequenceConflictError
from comfymesh.bus.streams import BLOBS, TASKS, WORKFLOWS
from comfymesh.testkit.nats import NatsServer
from comfymesh.testkit.waiting import take

SUBJECTS = {
    "TASKS": "task.acme.one",
    "BLOBS": "blob.acme.one.two",
    "SETTINGS": "settings.scheduling",
    "INTENTS": "intent.gpu-1",
    "ACCOUNTS": "account.tenant.acme",
    "AUDIT": "audit.acme",
    "ALERTS": "notice.one",
    "ALERTING": "alerting.rules",
    "WEBHOOKS": "webhook.acme.one",
    "WORKFLOWS": "workflow.head.acme.one",
    "USAGE": "usage.acme.2026-11-28.10",
}
LARGE = 1_500_000
BY_NAME = {stream.name: stream for stream in streams.ALL}


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[tuple[NatsServer, NatsServer]]:
    async with NatsServer(tmp_path, name="before") as before, NatsServer(tmp_path, name="after") as after:
        yield before, after


async def fill(bus: JetStreamBus) -> None:
    for name, subject in SUBJECTS.items():
        await bus.append([Entry(subject, f"{name} {number}".encode()) for number in range(3)])
    # More than a piece of the archive holds, and marks that go by themselves.
    for number in range(7):
        await bus.append([Entry(f"blob.acme.large.{number}", os.urandom(LARGE))])
    await bus.append([Entry("task.acme.gone", b"x"), Entry("task.acme.gone", b"", 4, timedelta(hours=1))])
    await bus.purge(TASKS, "task.acme.gone", 4)


async def held(bus: JetStreamBus) -> dict[str, list[Message]]:
    return {name: [*await bus.after(BY_NAME[name], ">", 0, 1000)] for name in KEPT}


async def back_up(server: NatsServer, path: Path) -> None:
    connection = await Connection.open(server.url, "test")
    try:
        await operation.back_up(connection, path, "nats:", lambda _: None)
    finally:
        await connection.close()


async def restore(
    server: NatsServer, path: Path, told: list[str], *, break_at: str = "", replace: bool = False
) -> None:
    def tell(line: str) -> None:
        told.append(line.partition(":")[0])
        if break_at and line.startswith(break_at):
            raise KeyboardInterrupt

    connection = await Connection.open(server.url, "test")
    try:
        await operation.restore(connection, path, 1, tell, replace=replace)
    finally:
        await connection.close()


async def test_what_a_server_kept_is_on_another_to_the_number(
    servers: tuple[NatsServer, NatsServer], tmp_path: Path
) -> None:
    before, after = servers
    async with await JetStreamBus.open(before.url, "one") as bus:
        await fill(bus)
        kept, states = await held(bus), {name: await bus.state(BY_NAME[name]) for name in KEPT}
        await back_up(before, tmp_path / "x")
    with Reader(tmp_path / "x") as reader:
        (blobs,) = (stream for stream in reader.manifest.streams if stream.name == BLOBS.name)
        assert len(blobs.parts) > 1

    told = list[str]()
    with pytest.raises(KeyboardInterrupt):
        await restore(after, tmp_path / "x", told, break_at="WORKFLOWS")
    assert TASKS.name not in told
    again = list[str]()
    await restore(after, tmp_path / "x", again)
    assert (*told, *again) == tuple(reversed(KEPT)), "it goes on where it was"

    async with await JetStreamBus.open(after.url, "other") as bus:
        assert await held(bus) == kept
        assert {name: (await bus.state(BY_NAME[name])).last for name in KEPT} == {n: s.last for n, s in states.items()}
        assert (await bus.state(TASKS)).created != states["TASKS"].created, "who kept something of the old log can tell"
        last = kept["TASKS"][-2].sequence
        assert kept["TASKS"][-2].subject == SUBJECTS["TASKS"]
        with pytest.raises(SequenceConflictError):
            await bus.append([Entry(SUBJECTS["TASKS"], b"zombie", last - 1)])
        assert await bus.append([Entry(SUBJECTS["TASKS"], b"next", last)]) == [states["TASKS"].last + 1]
        # What a mesh has written since is not touched, and nothing at all under one that runs.
        with pytest.raises(BackupError) as caught:
            await restore(after, tmp_path / "x", [])
        assert caught.value.reason == "STREAMS_NOT_EMPTY"
        async with aclosing(bus.tail(TASKS, "task.>")) as tail:  # type: ignore[type-var]  # a generator
            await take(tail, 1)
            with pytest.raises(BackupError) as caught:
                await restore(after, tmp_path / "x", [], replace=True)
        assert caught.value.reason == "MESH_ALIVE"
        assert (await bus.last(TASKS, SUBJECTS["TASKS"])) is not None


async def test_what_is_damaged_touches_nothing(servers: tuple[NatsServer, NatsServer], tmp_path: Path) -> None:
    before, after = servers
    async with await JetStreamBus.open(before.url, "one") as bus:
        await bus.append([Entry(SUBJECTS["WORKFLOWS"], b"precious" * 1000)])
        await back_up(before, tmp_path / "x")
    data = bytearray((tmp_path / "x").read_bytes())
    data[data.index(b"WORKFLOWS/000000") + 512 + 50] ^= 1
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(BackupError) as caught:
        await restore(after, tmp_path / "x", [])
    assert caught.value.reason == "BACKUP_DAMAGED"
    async with await JetStreamBus.open(after.url, "other", plan=[WORKFLOWS]) as bus:
        assert (await bus.state(WORKFLOWS)).messages == 0


async def test_a_server_without_a_mesh_is_not_taken_for_one(
    servers: tuple[NatsServer, NatsServer], tmp_path: Path
) -> None:
    with pytest.raises(BackupError) as caught:
        await back_up(servers[0], tmp_path / "x")
    assert caught.value.reason == "NO_MESH"
    assert not (tmp_path / "x").exists()
