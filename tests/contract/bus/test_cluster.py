"""The bus on three servers that replicate: what it stored stays, and it goes on when one of them dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest

from comfymesh.bus.jetstream import JetStreamBus, StreamMismatchError
from comfymesh.bus.port import BusUnavailableError, CaughtUp, Entry, Message, SequenceConflictError
from comfymesh.bus.streams import ALL, TASKS
from comfymesh.bus.tasklog import StaleRecordError, Stored, TaskLog
from comfymesh.runtime.patience import patiently
from comfymesh.tasks.events import Assigned, CancelRequested
from comfymesh.testkit.nats import NatsCluster, NatsServer
from comfymesh.testkit.tasks import queued
from comfymesh.testkit.waiting import take, until
from comfymesh.wire.v1 import spec_pb2

T = TypeVar("T")

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
        except SequenceConflictError as refused:
            return of_earlier_try(refused.last, data)
        else:
            return sequence


def of_earlier_try(last: Message | None, data: bytes) -> int:
    """The sequence of what was stored after all, though nobody said so."""
    assert last is not None
    assert last.data == data
    return last.sequence


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


async def insist(ask: Callable[[], Awaitable[T]]) -> T:
    """An answer, also while the copies agree on who leads."""
    async with asyncio.timeout(ELECTION):
        return await patiently(ask, BusUnavailableError, what="ask the cluster")


async def info(bus: JetStreamBus, stream: str) -> dict[str, Any]:
    return await insist(lambda: bus.call(f"STREAM.INFO.{stream}", {}))


async def test_a_service_that_is_set_to_fewer_copies_takes_none_away(
    cluster: NatsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    async with await JetStreamBus.open(cluster.url, "one", replicas=1, plan=ALL[:1]):
        assert [vars(record)["action"] for record in caplog.records if "REPLICAS" in record.message] == ["bus_replicas"]
    async with await JetStreamBus.open(cluster.url, "three", replicas=3, plan=ALL[:1]) as bus:
        assert (await info(bus, "TASKS"))["config"]["num_replicas"] == 3
        with pytest.raises(StreamMismatchError, match="it has 3 copies"):
            await JetStreamBus.open(cluster.url, "forgot", plan=ALL[:1])
        assert (await info(bus, "TASKS"))["config"]["num_replicas"] == 3


async def test_the_bus_works_on_a_cluster_and_goes_on_without_the_leader_of_its_stream(
    cluster: NatsCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    opening = JetStreamBus.open(cluster.url, "one", replicas=3, monitor_urls=cluster.monitor_urls)
    async with await opening as bus, await JetStreamBus.open(cluster.url, "other", replicas=3) as other:
        for stream in ALL:
            told_of = await info(bus, stream.name)
            assert (told_of["config"]["num_replicas"], len(told_of["cluster"]["replicas"])) == (3, 2)
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
        last = await insist(lambda: bus.last(TASKS, TASK))
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
    """The copies are frozen until who leads has refused a message, which it does though nobody can read another yet.

    Where the machine stands still meanwhile, it is not believed any more that it leads: then again, on another subject.
    """
    async with await JetStreamBus.open(cluster.url, "any", replicas=3) as bus:
        subjects = (f"task.default.r{number}" for number in itertools.count())
        await insist(lambda: refused_while_frozen(cluster, bus, next(subjects)))


async def refused_while_frozen(cluster: NatsCluster, any_: JetStreamBus, subject: str) -> None:
    first = await append(any_, subject, b"first", after=0)
    ahead = cluster.named(await leader(any_))
    async with await JetStreamBus.open(ahead.url, "ahead", replicas=3, plan=()) as bus, watched(bus) as refused:
        with frozen([server for server in cluster.servers if server is not ahead]):
            changes = [
                asyncio.ensure_future(bus.append([Entry(subject, data, first)])) for data in (b"second", b"third")
            ]
            await refused.wait()
            (last,) = await asyncio.gather(bus.last(TASKS, subject), return_exceptions=True)
        stored, told = await asyncio.gather(*changes, return_exceptions=True)
    for answer in (last, stored, told):
        if isinstance(answer, BusUnavailableError):
            raise answer
    assert isinstance(last, Message)
    assert last.sequence == first
    assert isinstance(stored, list)
    assert isinstance(told, SequenceConflictError)
    assert told.last is not None
    assert ([told.last.sequence], told.last.data) == (stored, b"second")


@contextlib.asynccontextmanager
async def watched(bus: JetStreamBus) -> AsyncIterator[asyncio.Event]:
    """An event that is set once the server has refused a message, or does not answer."""
    refused, propose = asyncio.Event(), bus._propose

    async def watching(entries: Sequence[Entry]) -> list[int | None]:
        answers: list[int | None] = [None]
        try:
            answers = await propose(entries)
        finally:
            if None in answers:
                refused.set()
        return answers

    with patch.object(bus, "_propose", watching):
        yield refused


@contextlib.contextmanager
def frozen(servers: Sequence[NatsServer]) -> Iterator[None]:
    for server in servers:
        server.freeze()
    try:
        yield
    finally:
        for server in servers:
            server.thaw()


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
        assert await insist(lambda: bus.last(TASKS, "task.default.none")) is None
        with frozen(behind):
            await until(lambda: is_alone(bus), "a leader that has heard of nobody for long")
            asked = bus.last(TASKS, TASK), bus.last(TASKS, "task.default.none"), bus.state(TASKS)
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert all(isinstance(answer, BusUnavailableError) for answer in answers), answers

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
                # One that stood still for long may want to lead, and then nobody does for a while.
                assert (await insist(lambda: other.state(TASKS))).last >= stored[-1]
                message = await insist(partial(other.at, TASKS, stored[-1]))
                assert message is not None
                assert message.subject == subjects[-1]
                found = await insist(partial(other.after, TASKS, subjects[-1], 0, 10))
                assert [m.sequence for m in found] == stored[-1:]


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
