"""The bus on three servers that replicate: what it stored stays, and it goes on when one of them dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest

from comfymesh.bus.jetstream import JetStreamBus, StreamMismatchError
from comfymesh.bus.port import BusUnavailableError, CaughtUp, Entry, Message, SequenceConflictError
from comfymesh.bus.streams import ALL, TASKS
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog
from comfymesh.tasks.events import Assigned, CancelRequested
from comfymesh.testkit.nats import NatsCluster, NatsServer
from comfymesh.testkit.tasks import queued
from comfymesh.testkit.waiting import take, until
from comfymesh.wire.v1 import spec_pb2

CONFIGURATION = Path(__file__).parents[3] / "deploy" / "nats" / "cluster.conf"
TASK = "task.default.one"
# When a leader dies, the others need up to ten seconds to agree on a new one.
ELECTION = 50.0

pytestmark = pytest.mark.timeout(150)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    async with NatsCluster(tmp_path, CONFIGURATION) as servers:
        yield servers


async def append(bus: JetStreamBus, subject: str, data: bytes, after: int | None = None) -> int:
    """Append until it is confirmed, as those do who insist."""
    while True:
        try:
            (sequence,) = await bus.append([Entry(subject, data, expected=after)])
        except BusUnavailableError:
            await asyncio.sleep(0.05)
        except SequenceConflictError:
            # An earlier try was stored after all.
            last = await bus.last(TASKS, subject)
            assert last is not None
            assert last.data == data
            return last.sequence
        else:
            return sequence


async def leader(bus: JetStreamBus) -> str:
    async def look() -> str:
        with contextlib.suppress(BusUnavailableError):
            return str((await bus.call("STREAM.INFO.TASKS", {}))["cluster"].get("leader", ""))
        return ""

    return await until(look, "a leader of the stream", ELECTION)


async def history(bus: JetStreamBus, subject: str) -> list[int]:
    async def look() -> list[int] | None:
        with contextlib.suppress(BusUnavailableError):
            return [message.sequence for message in await bus.after(TASKS, subject, 0, 1000)]
        return None

    return await until(look, "a history", ELECTION)


async def test_a_service_that_is_set_to_fewer_copies_takes_none_away(
    cluster: NatsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with await JetStreamBus.open(cluster.url, "one", replicas=1, plan=ALL[:1]):
        assert [vars(record)["action"] for record in caplog.records if "REPLICAS" in record.message] == ["bus_replicas"]
    async with await JetStreamBus.open(cluster.url, "three", replicas=3, plan=ALL[:1]) as bus:
        assert (await bus.call("STREAM.INFO.TASKS", {}))["config"]["num_replicas"] == 3
        with pytest.raises(StreamMismatchError, match="it has 3 copies"):
            await JetStreamBus.open(cluster.url, "forgot", plan=ALL[:1])
        assert (await bus.call("STREAM.INFO.TASKS", {}))["config"]["num_replicas"] == 3


async def test_the_bus_works_on_a_cluster_and_goes_on_without_the_leader_of_its_stream(
    cluster: NatsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    opening = JetStreamBus.open(cluster.url, "one", replicas=3, monitor_urls=cluster.monitor_urls)
    async with await opening as bus, await JetStreamBus.open(cluster.url, "other", replicas=3) as other:
        for stream in ALL:
            info = await bus.call(f"STREAM.INFO.{stream.name}", {})
            assert (info["config"]["num_replicas"], len(info["cluster"]["replicas"])) == (3, 2)
        told = [vars(record) for record in caplog.records if vars(record).get("action") == "bus_connected"]
        assert {(fields["cluster"], fields["replicas"]) for fields in told} == {("comfymesh", 3)}
        assert told[0]["sync"] == "always"

        sequences = [await append(bus, TASK, b"0", after=0)]
        tail = other.tail(TASKS, "task.>")
        first, caught_up = await take(tail, 2)
        assert isinstance(first, Message)
        assert caught_up == CaughtUp()
        for n in range(1, 20):
            sequences.append(await append(bus, TASK, str(n).encode(), after=sequences[-1]))
            # Whichever copy answers: what was confirmed is there.
            assert await history(other, TASK) == sequences
        seen = [first.sequence, *(m.sequence for m in await take(tail, 19) if isinstance(m, Message))]
        assert seen == sequences

        await cluster.named(await leader(bus)).kill()
        for n in range(20, 40):
            sequences.append(await append(bus, TASK, str(n).encode(), after=sequences[-1]))
        assert await history(other, TASK) == sequences
        assert await history(bus, TASK) == sequences
        last = await bus.last(TASKS, TASK)
        assert last is not None
        assert (last.sequence, last.data) == (sequences[-1], b"39")
        seen += [m.sequence for m in await take(tail, 20, ELECTION) if isinstance(m, Message)]
        assert seen == sequences
        await tail.aclose()  # type: ignore[attr-defined]  # a generator

        fresh = other.tail(TASKS, "task.>")
        newest, caught_up = await take(fresh, 2)
        assert isinstance(newest, Message)
        assert (newest.sequence, caught_up) == (sequences[-1], CaughtUp())
        await fresh.aclose()  # type: ignore[attr-defined]  # a generator
        await of_two_changes_one_is_refused_and_knows_the_other(TaskLog(bus), TaskLog(other))


async def of_two_changes_one_is_refused_and_knows_the_other(one: TaskLog, other: TaskLog) -> None:
    """Who leads refuses a change also while another is on its way, and then nobody can read that one yet."""
    for number in range(40):
        stored = await one.create(queued(f"race-{number}"), spec_pb2.Spec())
        changes = one.change(stored, CancelRequested(), 0.0), other.change(stored, Assigned("a", "x"), 0.0)
        ended = await asyncio.gather(*changes, return_exceptions=True)
        (won,) = [change for change in ended if isinstance(change, Stored)]
        (lost,) = [error for error in ended if isinstance(error, StaleRecordError)]
        assert lost.last is not None
        assert lost.last.data == won.data


async def test_a_refusal_is_told_once_what_was_on_its_way_can_be_read(cluster: NatsCluster) -> None:
    """The copies are frozen until who leads has refused a message, which it does though nobody can read another yet."""
    async with await JetStreamBus.open(cluster.url, "any", replicas=3) as bus:
        first = await append(bus, TASK, b"first", after=0)
        ahead = cluster.named(await leader(bus))
    behind = [server for server in cluster.servers if server is not ahead]
    async with await JetStreamBus.open(ahead.url, "ahead", replicas=3, plan=()) as bus:
        refused, propose = asyncio.Event(), bus._propose

        async def watched(entries: Sequence[Entry]) -> list[int | None]:
            answers = await propose(entries)
            if None in answers:
                refused.set()
            return answers

        with patch.object(bus, "_propose", watched):
            for server in behind:
                server.freeze()
            changes = [asyncio.ensure_future(bus.append([Entry(TASK, data, first)])) for data in (b"second", b"third")]
            await refused.wait()
            last = await bus.last(TASKS, TASK)
            for server in behind:
                server.thaw()
            (second,) = await changes[0]
            with pytest.raises(SequenceConflictError) as told:
                await changes[1]
    assert last is not None
    assert last.sequence == first
    assert told.value.last is not None
    assert (told.value.last.sequence, told.value.last.data) == (second, b"second")


@pytest.mark.parametrize("elected", [False, True])
async def test_a_leader_that_hears_of_no_copy_is_not_asked_what_is_there(
    cluster: NatsCluster, *, elected: bool
) -> None:
    """For all it knows they have another leader, and have stored what it has never seen.

    One that was elected since another died shows that as one of which it has heard zero seconds ago.
    """
    dead = set[NatsServer]()
    async with await JetStreamBus.open(cluster.url, "any", replicas=3) as bus:
        first = await append(bus, TASK, b"first", after=0)
        if elected:
            dead.add(cluster.named(await leader(bus)))
            await next(iter(dead)).kill()
            await append(bus, TASK, b"second", after=first)
        ahead = cluster.named(await leader(bus))
    behind = [server for server in cluster.servers if server not in {ahead, *dead}]
    async with await JetStreamBus.open(ahead.url, "ahead", replicas=3, plan=()) as bus:
        assert await bus.last(TASKS, "task.default.none") is None
        for server in behind:
            server.freeze()
        await until(lambda: is_alone(bus), "a leader that has heard of nobody for long")
        asked = bus.last(TASKS, TASK), bus.last(TASKS, "task.default.none"), bus.state(TASKS)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, BusUnavailableError) for answer in answers), answers
        for server in behind:
            server.thaw()

        async def found() -> Message | None:
            with contextlib.suppress(BusUnavailableError):
                return await bus.last(TASKS, TASK)
            return None

        assert (await until(found, "an answer", ELECTION)).data == (b"second" if elected else b"first")


async def is_alone(bus: JetStreamBus) -> bool:
    """Whether it has heard of no copy for so long that these may have agreed on another, or leads no more already."""
    try:
        copies = (await bus.call("STREAM.INFO.TASKS", {}))["cluster"]["replicas"]
    except BusUnavailableError:
        return True
    return not any(0 < copy["active"] < 4e9 for copy in copies)


async def test_whoever_begins_to_follow_at_a_copy_that_lags_misses_nothing_that_was_stored_before(
    cluster: NatsCluster,
) -> None:
    """One server is frozen while others store, and asked as soon as it goes on."""
    async with await JetStreamBus.open(cluster.url, "one", replicas=3) as bus:
        first = await append(bus, TASK, b"first", after=0)
        ahead = await leader(bus)
        behind = next(server for server in cluster.servers if server.name != ahead)
        async with await JetStreamBus.open(behind.url, "behind", replicas=3) as other:
            for round_number in range(6):
                behind.freeze()
                subjects = [f"task.default.r{round_number}-{n}" for n in range(40)]
                stored = [await append(bus, subject, b"x", after=0) for subject in subjects]
                behind.thaw()
                whole, later = other.tail(TASKS, "task.>"), other.tail(TASKS, "task.>", first)
                assert stored[-1] in await told_at_once(whole)
                assert set(stored) <= await told_at_once(later)
                assert (await other.state(TASKS)).last >= stored[-1]
                message = await other.at(TASKS, stored[-1])
                assert message is not None
                assert message.subject == subjects[-1]
                assert [m.sequence for m in await other.after(TASKS, subjects[-1], 0, 10)] == stored[-1:]


async def told_at_once(tail: AsyncIterator[Message | CaughtUp]) -> set[int]:
    """Sequences of what a tail tells before it says that it has caught up."""
    told = set[int]()
    async with asyncio.timeout(ELECTION):
        async for item in tail:
            if isinstance(item, CaughtUp):
                break
            told.add(item.sequence)
    await tail.aclose()  # type: ignore[attr-defined]  # a generator
    return told
